"""The fields that clients write, as they are stored: moments in UTC, ids in lower case."""

from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import repeat
from typing import Any

from sqlalchemy import DateTime, Uuid

from db.schema.clauses import WRITABLE_COLUMNS, tasks

MOMENTS = frozenset(each.name for each in tasks.c if isinstance(each.type, DateTime))
WRITABLE_MOMENTS = MOMENTS.intersection(WRITABLE_COLUMNS)
IDS = [name for name in WRITABLE_COLUMNS if isinstance(tasks.c[name].type, Uuid)]
REPLACED = {
    this: other
    for column in tasks.c
    if "replaces" in column.info
    for this, other in [
        (column.name, column.info["replaces"]),
        (column.info["replaces"], column.name),
    ]
}
"""The other of two fields of which a task has a value in one at the most."""
_CHANGING = {*WRITABLE_MOMENTS, *IDS, *REPLACED}

LENGTH_WITH_MICROSECONDS = len("2026-01-31T09:26:53.589793")
WHOLE_SECOND = ".000000Z"


def settled(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields as they are stored, with null in each field that one of them replaces."""
    changing = [name for name in _CHANGING & fields.keys() if fields[name] is not None]
    if not changing:
        return fields
    replaced = dict.fromkeys(REPLACED[name] for name in changing if name in REPLACED)
    moments = {name: in_utc(fields[name]) for name in changing if name in WRITABLE_MOMENTS}
    ids = {name: fields[name].lower() for name in changing if name in IDS}
    return {**replaced, **fields, **moments, **ids}


def due_of(task: Mapping[str, Any]) -> str | None:
    """When the task is due: the column `due`, as text; a day begins at midnight in UTC."""
    at: str | None = task["due_at"]
    return at if task["due_on"] is None else f"{task['due_on']}T00:00:00.000000Z"


def in_utc(moment: str) -> str:
    """The moment, written as the server writes all; it has no digits beyond the microsecond."""
    return rfc_3339(datetime.fromisoformat(moment).astimezone(UTC))


def rfc_3339(moment: datetime) -> str:
    """A moment in UTC as text, as the server writes all (RFC 3339)."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def moments_of(written: list[Any]) -> list[Any]:
    """Moments in UTC as PostgreSQL writes them in JSON, written as this server writes all.

    PostgreSQL leaves out zeros at the end, or the whole fraction.
    """
    if written and None not in written:
        # A page has a hundred moments: functions in C work on all of them at once.
        if "." in written[0]:
            padded = map(str.ljust, written, repeat(LENGTH_WITH_MICROSECONDS), repeat("0"))
            text = "Z ".join(padded) + "Z"
        else:
            text = f"{WHOLE_SECOND} ".join(written) + WHOLE_SECOND
        if text.count(".") == len(written):
            return text.split(" ")
    return [each and _with_zeros(each) for each in written]


def _with_zeros(written: str) -> str:
    seconds, _, fraction = written.partition(".")
    return f"{seconds}.{fraction:0<6}Z"
