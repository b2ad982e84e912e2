"""To-dos of calendars (iCalendar, RFC 5545)."""

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from db.errors import LineFault
from db.transfers.lines import Incoming, Line, Lines
from db.zones import is_zone
from handlers.formats.ids import id_from

PRIORITIES = ["none", "urgent", "high", "high", "high", "medium", "low", "low", "low", "low"]
DONE = ("COMPLETED", "CANCELLED")

Fields = dict[str, Any]


def from_todos(lines: Lines, user_id: UUID) -> Lines:
    """The to-dos as tasks; what has no field is left out."""
    # Few servers import calendars, and the library takes memory.
    from icalendar import Todo  # noqa: PLC0415

    for each in lines:
        if isinstance(each, LineFault):
            yield each
            continue
        try:
            todo = Todo.from_ical(each.value)
            yield Line(each.number, Incoming("task", _fields(todo, user_id)))
        except (ValueError, KeyError, AttributeError, TypeError, IndexError) as error:
            yield LineFault(f"This is no to-do: {error!r}"[:300], each.number)


def _fields(todo: Any, user_id: UUID) -> Fields:
    fields: Fields = {
        "id": id_from(user_id, str(todo["UID"])),
        "title": str(todo["SUMMARY"]),
        "description": str(todo["DESCRIPTION"]) if "DESCRIPTION" in todo else None,
        "priority": PRIORITIES[int(todo.get("PRIORITY", 0))],
        "tags": _tags(todo),
        "parent_id": _parent(todo, user_id),
        "completed": str(todo.get("STATUS", "")).upper() in DONE or "COMPLETED" in todo,
        "recurrence": None,
        **_dates(todo),
    }
    if "COMPLETED" in todo:
        fields["completed_at"] = _in_utc(todo["COMPLETED"].dt)
    if "CREATED" in todo:
        fields["created_at"] = _in_utc(todo["CREATED"].dt)
    return fields


def _dates(todo: Any) -> Fields:
    """A rule starts at DTSTART: without DUE, that is the due."""
    recurs = "RRULE" in todo
    due = todo["DUE"].dt if "DUE" in todo else todo["DTSTART"].dt if recurs else None
    start = todo["DTSTART"].dt if "DTSTART" in todo and not (recurs and "DUE" not in todo) else None
    fields: Fields = {"due_on": None, "due_at": None, "time_zone": None, "start_on": None}
    if isinstance(due, datetime):
        fields["due_at"], fields["time_zone"] = _in_utc(due), _zone(due)
    elif due is not None:
        fields["due_on"] = due.isoformat()
    if start is not None:
        fields["start_on"] = (start.date() if isinstance(start, datetime) else start).isoformat()
    if recurs:
        fields["recurrence"] = todo["RRULE"].to_ical().decode()
        fields["time_zone"] = fields["time_zone"] or ("UTC" if fields["due_at"] else None)
    return fields


def _zone(moment: datetime) -> str | None:
    name = str(moment.tzinfo)
    return name if name != "UTC" and is_zone(name) else None


def _in_utc(moment: date) -> str:
    """The moment; a day begins at midnight in UTC, and a local time without zone is in UTC."""
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return zoned.astimezone(UTC).isoformat()


def _tags(todo: Any) -> list[str]:
    """The categories, each once without case."""
    found = todo.get("CATEGORIES", [])
    groups = found if isinstance(found, list) else [found]
    tags: dict[str, str] = {}
    for group in groups:
        for each in group.cats:
            tags.setdefault(str(each).casefold(), str(each))
    return [each for each in tags.values() if each]


def _parent(todo: Any, user_id: UUID) -> str | None:
    found = todo.get("RELATED-TO", [])
    for each in found if isinstance(found, list) else [found]:
        if each.params.get("RELTYPE", "PARENT").upper() == "PARENT":
            return id_from(user_id, str(each))
    return None
