"""Tasks below other tasks: pure functions."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

Tasks = Mapping[str, Mapping[str, Any]]


def above(tasks: Tasks, parent_id: str | None) -> list[str]:
    """The parent, the parent of that, and so on, up to a task without one."""
    found: list[str] = []
    while parent_id is not None and parent_id in tasks:
        found.append(parent_id)
        parent_id = tasks[parent_id]["parent_id"]
    return found


def levels_below(tasks: Iterable[Mapping[str, Any]], task_id: str) -> list[list[str]]:
    """The ids of those of the tasks that are below one, level by level."""
    children: defaultdict[str | None, list[str]] = defaultdict(list)
    for task in tasks:
        children[task["parent_id"]].append(task["id"])
    found: list[list[str]] = []
    level = children[task_id]
    while level:
        found.append(level)
        level = [child for each in level for child in children[each]]
    return found
