"""A project of Todoist, as it is exported and backed up: CSV."""

import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from db.errors import LineFault
from db.transfers.lines import Incoming, Line, Lines
from db.zones import is_zone, zone_of
from handlers.formats.ids import Numbering

PRIORITIES = {1: "urgent", 2: "high", 3: "medium", 4: "none"}
LABEL = re.compile(r"(?:^|(?<=\s))@([^\s@]+)\s*")
DAYS = ("%Y-%m-%d", "%d %b %Y", "%b %d %Y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y")
TIMES = ("%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%d %b %Y %H:%M")
OTHER_DATE = "Todoist: {}"
UNTITLED = "Untitled"

Row = dict[str, Any]


def from_todoist(lines: Lines, user_id: UUID) -> Lines:
    """The tasks; a section is a list, and a comment is a part of the description."""
    numbering = Numbering(user_id)
    section: str | None = None
    above: list[str] = []
    task: Line | None = None
    for each in lines:
        if isinstance(each, LineFault):
            yield each
            continue
        row = each.value
        if row["TYPE"] == "note" and task is not None:
            _add(task.value.fields, row["CONTENT"])
            continue
        if task is not None:
            yield task
            task = None
        if row["TYPE"] == "section":
            section, above = row["CONTENT"], []
        elif row["TYPE"] == "task":
            above = above[: row.get("INDENT", 1) - 1]
            fields = _fields(row)
            fields["parent_id"] = above[-1] if above else None
            fields["id"] = numbering.id_of(section, fields["parent_id"], row["CONTENT"])
            above.append(fields["id"])
            task = Line(each.number, Incoming("task", fields, section))
    if task is not None:
        yield task


def _fields(row: Row) -> Row:
    title = LABEL.sub("", row["CONTENT"]).strip()
    tags = {each.casefold(): each for each in LABEL.findall(row["CONTENT"])}
    fields: Row = {
        "title": title or UNTITLED,
        "description": row.get("DESCRIPTION"),
        "priority": PRIORITIES[row.get("PRIORITY", 4)],
        "tags": [*tags.values()],
        **_due(row.get("DATE"), row.get("TIMEZONE")),
    }
    if row.get("DATE") and fields["due_on"] is None and fields["due_at"] is None:
        _add(fields, OTHER_DATE.format(row["DATE"]))
    return fields


def _due(text: str | None, zone: str | None) -> Row:
    """When it is due; a date in words, or one that recurs, is none."""
    due: Row = {"due_on": None, "due_at": None, "time_zone": None}
    for form in DAYS:
        with suppress(ValueError):
            return {**due, "due_on": datetime.strptime(text or "", form).date().isoformat()}
    for form in TIMES:
        with suppress(ValueError):
            local = datetime.strptime(text or "", form)
            known = zone if zone and is_zone(zone) else None
            at = local.replace(tzinfo=zone_of(known) if known else UTC)
            return {**due, "due_at": at.astimezone(UTC).isoformat(), "time_zone": known}
    return due


def _add(fields: Row, text: str) -> None:
    """Add a paragraph to the description."""
    described = fields.get("description")
    fields["description"] = f"{described}\n\n{text}" if described else text
