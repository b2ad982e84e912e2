"""The rules of writes: pure functions over a draft of a user's tasks.

A rule raises an error if it refuses the operation. It returns an event for each task that changes,
first for the one that the operation names. It never changes the draft: `Draft.apply` applies an
event. A batch runs the rules; the statements of single writes do the same in SQL, and a test
compares the two.
"""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from db.errors import IdTaken
from db.schema.clauses import PLACE_COLUMNS
from db.schema.fields import DEFAULTS
from db.tasks import places, recurring, reminders, series
from db.tasks.dates import settled
from db.tasks.draft import Draft, Event
from db.tasks.positions import of_revision
from db.tasks.tasks import (
    Task,
    Versions,
    as_expected,
    id_taken,
    too_many,
    unknown,
    uuid7,
)

_PLACE = frozenset(PLACE_COLUMNS)


def check_dates(task: Task, changes: Mapping[str, Any]) -> None:
    """Raise if the task, after these changes, cannot recur as it should, or have its reminders."""
    recurring.check(task, changes)
    reminders.check(task, changes)


def create(draft: Draft, _: Versions, fields: Mapping[str, Any]) -> list[Event]:
    """Create a task with an id that the user has never used."""
    task_id = fields.get("id") or str(uuid7())
    if task_id in draft.tasks:
        raise IdTaken(id_taken(task_id), draft.tasks[task_id])
    if draft.room <= 0:
        raise too_many(draft.max_tasks)
    fields = places.of_new(draft.tasks, reminders.settled(settled(fields)))
    places.check(draft.tasks, draft.lists, draft.unread, fields)
    stamps = draft.stamps()
    key: Task = {"id": task_id, "user_id": draft.user_id}
    times = {"created_at": stamps["updated_at"], **stamps}
    place = {"position": of_revision(stamps["revision"])}
    key["series_id"] = task_id if fields.get("recurrence") else None
    task = {**DEFAULTS, **place, **fields, **key, **times}
    check_dates(task, fields)
    event = Event("create", None, {**task, "completed_at": _completion(None, task, stamps)})
    return series.followed(draft, [event])


def update(draft: Draft, expected: Versions, fields: Mapping[str, Any]) -> list[Event]:
    """Change the named fields; without any, nothing changes.

    All that is below the task moves to another list with it. To complete a task, or to reopen it,
    means the same as to toggle it.
    """
    task = as_expected(draft.active(fields["id"]), expected)
    if fields.keys() == {"id"}:
        return []
    fields = reminders.settled(settled(fields))
    if fields.get("recurrence") and task["series_id"] is None:
        fields = {**fields, "series_id": task["id"]}
    event = _changed("update", task, fields, draft.stamps())
    check_dates(event.after, fields)
    events = [event]
    if not _PLACE.isdisjoint(fields):
        places.check(draft.tasks, draft.lists, draft.unread, event.after, task["id"])
        if event.after["list_id"] != task["list_id"]:
            moved = {"list_id": event.after["list_id"]}
            below = enumerate(draft.below(task), start=1)
            events += (_changed("update", each, moved, draft.stamps(n)) for n, each in below)
    return series.followed(draft, events)


def toggle(draft: Draft, expected: Versions, fields: Mapping[str, Any]) -> list[Event]:
    """Complete the task, or reopen it; a task that recurs gets or loses its successor."""
    task = as_expected(draft.active(fields["id"]), expected)
    event = _changed("toggle", task, {"completed": not task["completed"]}, draft.stamps())
    return series.followed(draft, [event])


def skip(draft: Draft, expected: Versions, fields: Mapping[str, Any]) -> list[Event]:
    """Move the task on to its next due, if it is open and its series has one."""
    return series.skipped(draft, as_expected(draft.active(fields["id"]), expected))


def delete(draft: Draft, expected: Versions, fields: Mapping[str, Any]) -> list[Event]:
    """Soft delete the task and all that is below it: they become tombstones in the trash."""
    task = as_expected(draft.active(fields["id"]), expected)
    return draft.deletion(task)


def restore(draft: Draft, expected: Versions, fields: Mapping[str, Any]) -> list[Event]:
    """Restore the task from the trash, and with it what its deletion took along.

    A task that is not in the trash does not change.
    """
    if fields["id"] not in draft.tasks:
        raise unknown(UUID(fields["id"]))
    task = as_expected(draft.tasks[fields["id"]], expected)
    if "deleted_at" not in task:
        return []
    together = draft.taken_along(task)
    found = places.of_restored(draft.tasks, draft.lists, draft.unread, task, together)
    return [
        _restored(each, {**place, **draft.stamps(number)})
        for number, (each, place) in enumerate(zip([task, *together], found, strict=True))
    ]


def _restored(task: Task, changes: Mapping[str, Any]) -> Event:
    kept = {name: value for name, value in task.items() if name != "deleted_at"}
    return Event("restore", task, {**kept, **changes})


def _changed(
    kind: str, before: Task, fields: Mapping[str, Any], stamps: Mapping[str, Any]
) -> Event:
    after = {**before, **fields, **stamps}
    return Event(kind, before, {**after, "completed_at": _completion(before, after, stamps)})


def _completion(before: Task | None, after: Task, stamps: Mapping[str, Any]) -> str | None:
    """When the task was completed, if the change with these stamps leaves it as `after`."""
    if before and before["completed"] == after["completed"]:
        unchanged: str | None = before["completed_at"]
        return unchanged
    return stamps["updated_at"] if after["completed"] else None


Rule = Callable[[Draft, Versions, Mapping[str, Any]], list[Event]]

RULES: dict[str, Rule] = {
    "create": create,
    "update": update,
    "toggle": toggle,
    "skip": skip,
    "delete": delete,
    "restore": restore,
}
"""The rule of each operation."""
