"""Where a task is: its list, and the task above it. What is refused, and what is left out."""

from collections.abc import Collection, Iterable, Mapping
from itertools import chain
from typing import Any

from db.errors import FieldRefused
from db.quotas import MAX_BELOW, MAX_DEPTH
from db.tasks import trees
from db.tasks.tasks import Task, no_list

Place = Mapping[str, Any]
"""A `list_id` and a `parent_id`."""

IN_ANOTHER_LIST = "The parent is in another list: a task is in the list of its parent."
BELOW_ITSELF = "The parent is the task itself, or is below it."
TOO_DEEP = f"A task has at most {MAX_DEPTH} tasks above it."
TOO_MANY_BELOW = f"A task has at most {MAX_BELOW:,} tasks below it, at all depths together."


def of_new(tasks: Mapping[str, Task], fields: Place) -> dict[str, Any]:
    """The fields of a new task; without a list it is in that of its parent."""
    parent = tasks.get(fields.get("parent_id") or "", {})
    return {"list_id": parent.get("list_id"), "parent_id": None, **fields}


def check(
    tasks: Mapping[str, Task],
    lists: Collection[str],
    unread: Mapping[str, int],
    place: Place,
    task_id: str | None = None,
) -> None:
    """Raise if a task, with all that is below it, cannot be at the place.

    `unread` has the number of tasks below each task at the top that are not among `tasks`.
    """
    if place["list_id"] is not None and place["list_id"] not in lists:
        raise no_list(place["list_id"])
    if fault := _fault_of_parent(tasks, unread, place, task_id, active(tasks)):
        raise FieldRefused(fault, "parent_id")


def of_restored(
    tasks: Mapping[str, Task],
    lists: Collection[str],
    unread: Mapping[str, int],
    task: Task,
    together: list[Task],
) -> list[Place]:
    """The places of a task that is restored, and of those that its deletion took along.

    A list or a parent that is not there, or that no longer fits, is left out.
    """
    list_id = task["list_id"] if task["list_id"] in lists else None
    place = {"list_id": list_id, "parent_id": task["parent_id"]}
    if _fault_of_parent(tasks, unread, place, task["id"], together):
        place["parent_id"] = None
    ids = {each["id"] for each in (task, *together)}
    parents = [each["parent_id"] if each["parent_id"] in ids else None for each in together]
    return [place, *({"list_id": list_id, "parent_id": each} for each in parents)]


def active(tasks: Mapping[str, Task]) -> list[Task]:
    """The tasks that are not in the trash."""
    return [task for task in tasks.values() if "deleted_at" not in task]


def are_too_many(
    tasks: Mapping[str, Task], unread: Mapping[str, int], parent_id: str, more: Iterable[str]
) -> bool:
    """Whether a task above these would have too many below it, if they were below this parent."""
    top = trees.above(tasks, parent_id)[-1]
    below = trees.levels_below(active(tasks), top)
    return unread.get(top, 0) + len({*more, *chain.from_iterable(below)}) > MAX_BELOW


def _fault_of_parent(
    tasks: Mapping[str, Task],
    unread: Mapping[str, int],
    place: Place,
    task_id: str | None,
    movable: list[Task],
) -> str | None:
    """Why the task cannot be below that parent, with those of `movable` that are below it."""
    parent_id = place["parent_id"]
    if parent_id is None:
        return None
    parent = tasks.get(parent_id)
    if parent is None or "deleted_at" in parent:
        return f"This user has no task {parent_id}."
    if parent["list_id"] != place["list_id"]:
        return IN_ANOTHER_LIST
    ancestors = trees.above(tasks, parent_id)
    if task_id in ancestors:
        return BELOW_ITSELF
    below = [] if task_id is None else trees.levels_below(movable, task_id)
    if len(ancestors) + len(below) > MAX_DEPTH:
        return TOO_DEEP
    more = [task_id or "", *chain.from_iterable(below)]
    return TOO_MANY_BELOW if are_too_many(tasks, unread, parent_id, more) else None
