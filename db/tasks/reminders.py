"""Reminders of tasks: what is refused, when each falls due, and how they move with a series.

A reminder is `at` a time, or so long `before` the due. A day is due at nine o'clock.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any, NamedTuple

from db.errors import FieldRefused
from db.recurrence.occurrences import DEFAULT_ZONE, Due, due_of, local_of, moment_of, moved
from db.tasks.dates import in_utc

Reminder = dict[str, str]

CLOCK = time(9)
"""The local time from which reminders of a day are counted."""
DUES = ("due_on", "due_at")
NO_DUE = "A reminder before the due needs one: the task is due on no day and at no time."
TWICE = "This is the same reminder as one before it."
EARLIEST = datetime.min.replace(tzinfo=UTC)

_FIELDS = {"reminders", *DUES}
_DURATION = re.compile(
    "P(?:(?P<weeks>[0-9]+)W)?(?:(?P<days>[0-9]+)D)?"
    "(?:T(?:(?P<hours>[0-9]+)H)?(?:(?P<minutes>[0-9]+)M)?(?:(?P<seconds>[0-9]+)S)?)?"
)


class Duration(NamedTuple):
    """A duration: days have the length that they have in a time zone (RFC 5545, 3.3.6)."""

    days: timedelta
    exact: timedelta

    @classmethod
    def of(cls, text: str) -> "Duration":
        """The duration that the text is (ISO 8601); the contract has checked it."""
        found = _DURATION.fullmatch(text)
        parts = {} if found is None else found.groupdict(default="0")
        days = timedelta(weeks=int(parts.pop("weeks")), days=int(parts.pop("days")))
        return cls(days, timedelta(**{name: int(number) for name, number in parts.items()}))


def settled(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields, the times of reminders as they are stored."""
    if not fields.get("reminders"):
        return fields
    reminders = [
        {"at": in_utc(each["at"])} if "at" in each else each for each in fields["reminders"]
    ]
    return {**fields, "reminders": reminders}


def check(task: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
    """Raise if the task, after these changes, cannot have its reminders."""
    if not task["reminders"] or _FIELDS.isdisjoint(changes):
        return
    known = set()
    for index, each in enumerate(task["reminders"]):
        key = each.get("at") or Duration.of(each["before"])
        if key in known:
            raise FieldRefused(TWICE, f"reminders/{index}")
        known.add(key)
        if "before" in each and task["due_on"] is None and task["due_at"] is None:
            removed = [name for name in DUES if name in changes and "reminders" not in changes]
            raise FieldRefused(NO_DUE, removed[0] if removed else f"reminders/{index}/before")


def times_of(task: Mapping[str, Any], skipped_due: str | None) -> list[str] | None:
    """When its reminders fall due, each time once, in UTC; None if it has none."""
    if not task["reminders"]:
        return None
    due = due_of(task, skipped_due)
    return sorted({_time_of(each, task, due) for each in task["reminders"]})


def moved_reminders(task: Mapping[str, Any], days: int) -> list[Reminder]:
    """The reminders of a task that moves by so many days; the local time of each stays the same."""
    zone = task["time_zone"] or DEFAULT_ZONE
    return [
        {"at": _moved_time(each["at"], zone, days)} if "at" in each else each
        for each in task["reminders"]
    ]


def _time_of(reminder: Reminder, task: Mapping[str, Any], due: Due | None) -> str:
    if due is None or "at" in reminder:
        return reminder["at"]
    before = Duration.of(reminder["before"])
    try:
        if task["due_at"] and not before.days:
            begin = datetime.fromisoformat(task["due_at"])
        else:
            local = datetime.combine(due.day, due.clock or CLOCK)
            begin = moment_of(local - before.days, due.zone)
        found = begin - before.exact
    except OverflowError:
        found = EARLIEST
    return in_utc(found.isoformat())


def _moved_time(at: str, zone: str, days: int) -> str:
    local = local_of(datetime.fromisoformat(at), zone)
    try:
        found = moment_of(datetime.combine(moved(local.date(), days), local.time()), zone)
    except OverflowError:
        return at
    return in_utc(found.isoformat())
