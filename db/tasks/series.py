"""What follows when a task that recurs is completed, reopened or skipped."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from db.errors import FieldRefused
from db.tasks import places, recurring
from db.tasks.draft import Draft, Event
from db.tasks.tasks import Task, too_many, uuid7


def followed(draft: Draft, events: list[Event]) -> list[Event]:
    """The events, and those that follow if the first one completes or reopens a task that recurs.

    A task that is completed gets a successor, unless it has one. One that is reopened loses it,
    unless the successor, or what is below it, has changed since.
    """
    before, after = events[0].before, events[0].after
    was_completed = before is not None and before["completed"]
    if after["completed"] == was_completed:
        return events
    if was_completed:
        return [*events, *_taken_back(draft, before or after, len(events))]
    return [*events, *_succeeded(draft, events[0], len(events))]


def skipped(draft: Draft, task: Task) -> list[Event]:
    """The task and the open tasks below it, as they move on without a completion."""
    stamps = draft.stamps()
    moment = stamps["updated_at"]
    following = recurring.next_of(task, draft.skipped_dues.get(task["id"]), moment)
    if following is None or task["completed"]:
        return []
    after = {**task, **following.fields, **stamps}
    moves = (
        (each, {**each, **recurring.moved_dates(each, following.days)})
        for each in draft.below(task)
        if not each["completed"]
    )
    moved = [(before, after) for before, after in moves if before != after]
    return [
        Event("skip", task, after, skipped_due=following.skipped_due),
        *(
            Event("skip", before, {**after, **draft.stamps(number)})
            for number, (before, after) in enumerate(moved, start=1)
        ),
    ]


def related(draft: Draft, task_ids: list[str]) -> set[str]:
    """The ids of all tasks that the events of these may write, beside those below them."""
    found: set[str] = set()
    below: dict[str, set[str]] = {}
    for each in task_ids:
        members = {task["id"] for task in draft.below({"id": each})} | below.get(each, set())
        made = recurring.successor_id(each)
        below[made] = {recurring.id_of_copy(made, member) for member in members}
        found |= {made, *below[made]}
    return found


def _succeeded(draft: Draft, event: Event, later: int) -> list[Event]:
    """The successor of a completed task, and the copies of its open subtasks, as they are made."""
    task = event.after
    following = recurring.next_of(task, draft.skipped_dues.get(task["id"]), event.moment)
    if following is None or _is_taken(draft, recurring.successor_id(task["id"]), task["series_id"]):
        return []
    successor = recurring.successor(task, following)
    named = partial(_copy_id, draft, successor["id"])
    below = draft.below(task)
    made = [successor, *recurring.copies(task, successor, below, following.days, named)]
    new = sum(each["id"] not in draft.tasks for each in made) + (event.before is None)
    if new > draft.room:
        raise too_many(draft.max_tasks)
    if task["parent_id"] is not None:
        more = [each["id"] for each in (task, *below, *made)]
        if places.are_too_many(draft.tasks, draft.unread, task["parent_id"], more):
            raise FieldRefused(places.TOO_MANY_BELOW)
    return [*_made(draft, made, later, following.skipped_due)]


def _copy_id(draft: Draft, made_id: str, subtask_id: str) -> str | None:
    """The id of a new copy of a subtask; None if an earlier copy is still there, somewhere else.

    It is a random one if a task that was not read may have the usual one: a batch moves or restores
    subtasks after it has read the copies. No copy may overwrite a task.
    """
    copy_id = recurring.id_of_copy(made_id, subtask_id)
    if _is_active(draft, copy_id):
        return None
    if copy_id in draft.tasks or copy_id in draft.asked:
        return copy_id
    return recurring.id_of_copy(str(uuid7()), subtask_id)


def _made(draft: Draft, tasks: list[Task], later: int, skipped_due: str | None) -> Iterator[Event]:
    """The tasks as they are created, or, if a reopening took them back, restored."""
    for number, task in enumerate(tasks):
        stamps = draft.stamps(later + number)
        created: dict[str, Any] = {"created_at": stamps["updated_at"], **stamps}
        before = draft.tasks.get(task["id"])
        kind = "create" if before is None else "restore"
        skipped = skipped_due if number == 0 else None
        yield Event(kind, before, {**task, **created}, skipped_due=skipped)


def _taken_back(draft: Draft, task: Task, later: int) -> list[Event]:
    """The deletion of the task's successor, if there is one that nothing has changed."""
    made = recurring.successor_id(task["id"])
    if task["recurrence"] is None or not _is_active(draft, made):
        return []
    successor = draft.tasks[made]
    if successor["series_id"] != task["series_id"]:
        return []
    together = [successor, *draft.below(successor)]
    if not all(recurring.is_untouched_copy(each, successor) for each in together):
        return []
    return draft.deletion(successor, later)


def _is_taken(draft: Draft, task_id: str, series_id: str) -> bool:
    """Whether a task has the id, unless it is one of the series and in the trash."""
    stored = draft.tasks.get(task_id)
    return stored is not None and ("deleted_at" not in stored or stored["series_id"] != series_id)


def _is_active(draft: Draft, task_id: str) -> bool:
    return task_id in draft.tasks and "deleted_at" not in draft.tasks[task_id]
