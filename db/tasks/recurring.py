"""Tasks that recur: what is refused, and what follows when one is completed, reopened or skipped.

The id of a successor follows from the task's id, and as a rule the id of a subtask's copy from
both. So there is one successor at most, whichever server makes it, and however often.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID, uuid5

from db.errors import FieldRefused
from db.recurrence.occurrences import Due, due_of, following, local_of, moved
from db.recurrence.rule import InvalidRule, Rule, parse, with_count
from db.tasks.dates import in_utc
from db.tasks.reminders import moved_reminders
from db.tasks.tasks import Task

DUES = ("due_on", "due_at")
COPY = 5
"""The version of the UUIDs that are made from others."""
NO_DUE = "A task that recurs is due: on a day, or at a time."
NO_ZONE = "A task that recurs at a time has a time zone."
NEVER = "There is no day of this rule after the due, or only after very many others."
UNTIL_A_DAY = "UNTIL is a day if the task is due on a day, or else a time in UTC."

_FIELDS = {"recurrence", "time_zone", *DUES}


class Next(NamedTuple):
    """What changes in a task when it moves on in its series."""

    fields: Task
    skipped_due: str | None
    """The local time at which it is due, if the clocks skip it."""

    days: int
    """By how many days it moves."""


def check(task: Task, changes: Mapping[str, Any]) -> None:
    """Raise if the task, after these changes, cannot recur as it should."""
    if task["recurrence"] is None or _FIELDS.isdisjoint(changes):
        return
    rule = rule_of(task["recurrence"])
    due = due_of(task)
    if due is None:
        removed = [name for name in DUES if name in changes]
        raise FieldRefused(NO_DUE, removed[0] if removed else "recurrence")
    if due.clock is not None and task["time_zone"] is None:
        raise FieldRefused(NO_ZONE, "time_zone")
    if rule.until is not None and rule.ends_on_a_day != (due.clock is None):
        raise FieldRefused(UNTIL_A_DAY, "recurrence")
    endless = rule._replace(times=None, until=None)
    if next(following(endless, due), None) is None:
        raise FieldRefused(NEVER, "recurrence")


def rule_of(recurrence: str) -> Rule:
    """The rule that the text is."""
    try:
        return parse(recurrence)
    except InvalidRule as fault:
        raise FieldRefused(f"This is no recurrence rule: {fault}.", "recurrence") from None


def upcoming(task: Task, skipped_due: str | None, limit: int) -> list[dict[str, str | None]]:
    """The first dues after the task's own, if it recurs."""
    due = due_of(task, skipped_due)
    if task["recurrence"] is None or due is None:
        return []
    return [_dues(each) for each in islice(following(rule_of(task["recurrence"]), due), limit)]


def next_of(task: Task, skipped_due: str | None, moment: str) -> Next | None:
    """What changes when the task moves on at this moment; None if its series ends."""
    due = due_of(task, skipped_due)
    if task["recurrence"] is None or due is None:
        return None
    rule = rule_of(task["recurrence"])
    start = due.day if task["recurs_from"] == "due" else _day_of(moment, due.zone)
    found = next(following(rule, due, start), None)
    if found is None:
        return None
    days = (found.day - due.day).days
    left = (
        {} if rule.times is None else {"recurrence": with_count(task["recurrence"], rule.times - 1)}
    )
    fields = {**_dues(found), **_moved_others(task, days), **left}
    return Next(fields, found.skipped, days)


def successor_id(task_id: str) -> str:
    """The id of the task that follows this one in its series."""
    return str(uuid5(UUID(task_id), "successor"))


def successor(task: Task, following: Next) -> Task:
    """The task that follows in the series, without its stamps."""
    return {
        **task,
        **following.fields,
        "id": successor_id(task["id"]),
        "completed": False,
        "completed_at": None,
    }


def copies(
    task: Task, made: Task, below: Iterable[Task], days: int, named: Callable[[str], str | None]
) -> Iterator[Task]:
    """The open ones of the tasks below the task, as they are below its successor, without stamps.

    `below` has parents before their children. `named` returns the id of a subtask's copy, or None
    if it is not copied. What is below a task that is completed, or not copied, moves up.
    """
    parents = {task["id"]: made["id"]}
    for each in below:
        parent = parents[each["parent_id"]]
        copy_id = None if each["completed"] else named(each["id"])
        parents[each["id"]] = copy_id or parent
        if copy_id is not None:
            place = {"list_id": made["list_id"], "parent_id": parent}
            yield {**each, **moved_dates(each, days), **place, "id": copy_id}


def id_of_copy(made_id: str, subtask_id: str) -> str:
    """The id of the copy of a subtask that is below a successor."""
    return str(uuid5(UUID(made_id), subtask_id))


def is_untouched_copy(task: Task, made: Task) -> bool:
    """Whether the server has made the task with this successor, and nothing has changed it since.

    One write gives each of its changes the next revision and the next microsecond.
    """
    later = datetime.fromisoformat(task["created_at"]) - datetime.fromisoformat(made["created_at"])
    return (
        task["created_at"] == task["updated_at"]
        and UUID(task["id"]).version == COPY
        and later == timedelta(microseconds=task["revision"] - made["revision"])
    )


def moved_dates(task: Task, days: int) -> Task:
    """The dates of a task that moves by so many days; its local times stay the same."""
    due = due_of(task)
    dues = {} if due is None else _dues(due._replace(day=moved(due.day, days)))
    return {**dues, **_moved_others(task, days)}


def _moved_others(task: Task, days: int) -> Task:
    """The dates but the due, when the task moves by so many days."""
    return {
        "start_on": _moved_day(task["start_on"], days),
        "reminders": moved_reminders(task, days),
    }


def _dues(due: Due) -> dict[str, str | None]:
    if due.at is None:
        return {"due_on": due.day.isoformat(), "due_at": None}
    return {"due_on": None, "due_at": in_utc(due.at.isoformat())}


def _day_of(moment: str, zone: str) -> date:
    return local_of(datetime.fromisoformat(moment), zone).date()


def _moved_day(day: str | None, days: int) -> str | None:
    return None if day is None else moved(date.fromisoformat(day), days).isoformat()
