"""When a task with a recurrence is due next: its rule starts at its due.

A time in the day is a local time: it stays the same when clocks are changed. Where a change of the
clocks skips it, it is taken with the offset before the change, and so is later by the change; of a
time that comes twice it is the first (RFC 5545, section 3.3.5).
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from typing import Any, NamedTuple

from db.recurrence.days import LAST_YEAR, days_after
from db.recurrence.rule import Rule
from db.zones import zone_of

FIRST_YEAR = 2
DEFAULT_ZONE = "UTC"


class Due(NamedTuple):
    """When a task is due."""

    day: date
    """The day, in the task's time zone."""

    clock: time | None = None
    """The local time, even if clocks skip it; None if the task is due on a day."""

    zone: str = DEFAULT_ZONE

    @property
    def local(self) -> datetime | None:
        """The day and the local time."""
        return None if self.clock is None else datetime.combine(self.day, self.clock)

    @property
    def at(self) -> datetime | None:
        """The moment, in UTC."""
        return None if self.local is None else moment_of(self.local, self.zone)

    @property
    def skipped(self) -> str | None:
        """The local time, if the clocks skip it."""
        if self.at is None or self.local is None or local_of(self.at, self.zone) == self.local:
            return None
        return self.local.isoformat()


def due_of(task: Mapping[str, Any], skipped: str | None = None) -> Due | None:
    """When a task is due, if it is; `skipped` is the local time, if clocks have skipped it."""
    zone = task["time_zone"] or DEFAULT_ZONE
    if task["due_on"] is not None:
        return Due(date.fromisoformat(task["due_on"]), zone=zone)
    if task["due_at"] is None:
        return None
    at = datetime.fromisoformat(task["due_at"])
    # The task may have got another due or time zone since.
    if skipped is not None and moment_of(local := datetime.fromisoformat(skipped), zone) == at:
        return Due(local.date(), local.time(), zone)
    local = local_of(at, zone)
    return Due(local.date(), local.time(), zone)


def following(rule: Rule, due: Due, start: date | None = None) -> Iterator[Due]:
    """When the task is due after this, in ascending order; the rule starts on this day.

    The task is the first that COUNT counts.
    """
    if not FIRST_YEAR <= due.day.year <= LAST_YEAR:
        return iter(())
    later = _later(rule, due, start or due.day)
    return later if rule.times is None else islice(later, rule.times - 1)


def _later(rule: Rule, due: Due, start: date) -> Iterator[Due]:
    previous = due.at if start == due.day else None
    for day in days_after(rule, start):
        found = due._replace(day=day)
        at = found.at
        if rule.until is not None and (day if at is None else at) > rule.until:
            return
        # Where a zone has skipped a whole day, two days are one moment.
        if at is None or previous is None or at > previous:
            yield found
        previous = at


def moment_of(local: datetime, zone: str) -> datetime:
    """The moment of a local time, in UTC."""
    return local.replace(tzinfo=zone_of(zone)).astimezone(UTC)


def local_of(moment: datetime, zone: str) -> datetime:
    """The local time of a moment."""
    try:
        return moment.astimezone(zone_of(zone)).replace(tzinfo=None, fold=0)
    except OverflowError:  # in the first or in the last year
        return moment.replace(tzinfo=None)


def moved(day: date, days: int) -> date:
    """The day so many days later; at the ends of the calendar it stays."""
    try:
        return day + timedelta(days=days)
    except OverflowError:
        return day
