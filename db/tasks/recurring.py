"""Tasks that recur: what is refused."""

from collections.abc import Mapping
from typing import Any

from db.errors import FieldRefused
from db.recurrence.occurrences import due_of, following
from db.recurrence.rule import InvalidRule, Rule, parse
from db.tasks.tasks import Task

DUES = ("due_on", "due_at")
NO_DUE = "A task that recurs is due: on a day, or at a time."
NO_ZONE = "A task that recurs at a time has a time zone."
NEVER = "There is no day of this rule after the due, or only after very many others."
UNTIL_A_DAY = "UNTIL is a day if the task is due on a day, or else a time in UTC."

_FIELDS = {"recurrence", "time_zone", *DUES}


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
