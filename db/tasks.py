"""What can be done with a user's tasks."""

import os
import time
from typing import Any, NamedTuple
from uuid import UUID

from db import cursors, statements
from db.compiled import Statement
from db.database import fetch, fetch_dicts
from db.errors import CursorRefused, TaskNotFound

TaskFields = dict[str, Any]
"""A task by the names of `TaskRead`, its values as JSON writes them."""


class Page(NamedTuple):
    """Some of a user's tasks, newest first, with cursors of the pages beside it."""

    tasks: list[TaskFields]
    previous: str | None
    next: str | None


async def page(
    user_id: UUID, *, offset: int, limit: int, completed: bool | None, cursor: str | None = None
) -> Page:
    """The page that the cursor leads to, or else the one behind so many tasks."""
    if cursor is not None and offset:
        raise CursorRefused("A cursor has its own place: leave out either it or `offset`.")
    listing = f"completed={completed}"
    came_by = None if cursor is None else await cursors.opened(cursor, user_id, listing)
    wanted = {"user_id": user_id, "completed": completed, "limit": limit + 1}
    if came_by is None:
        found = await fetch_dicts(statements.LIST, **wanted, offset=offset)
    else:
        beyond = statements.LIST_BEFORE if came_by.backwards else statements.LIST_AFTER
        found = await fetch_dicts(beyond, **wanted, **came_by.place.values())
    tasks, more = found[:limit], len(found) > limit
    if came_by is not None and came_by.backwards:
        tasks.reverse()
    beside = cursors.beside(tasks, came_by, more)
    return Page(tasks, *[each and await cursors.sealed(each, user_id, listing) for each in beside])


async def create(
    user_id: UUID, *, title: str, description: str | None = None, completed: bool = False
) -> TaskFields:
    """Store a new task; the first one makes its owner known."""
    return await _only(
        statements.CREATE,
        user_id=user_id,
        id=uuid7(),
        title=title,
        description=description,
        completed=completed,
    )


async def get(user_id: UUID, task_id: UUID) -> TaskFields:
    """One task of the user's."""
    return await _only(statements.GET, user_id=user_id, task_id=task_id)


async def update(user_id: UUID, task_id: UUID, changes: TaskFields) -> TaskFields:
    """Change the fields that are named, and no other."""
    return await _only(
        statements.UPDATE,
        user_id=user_id,
        task_id=task_id,
        title=changes.get("title"),
        names_description="description" in changes,
        description=changes.get("description"),
        completed=changes.get("completed"),
    )


async def delete(user_id: UUID, task_id: UUID) -> None:
    """Make a tombstone of the task, which no reader finds any more."""
    if not await fetch(statements.DELETE, user_id=user_id, task_id=task_id):
        raise TaskNotFound(_unknown(task_id))


async def toggle(user_id: UUID, task_id: UUID) -> TaskFields:
    """Complete the task, or open it again."""
    return await _only(statements.TOGGLE, user_id=user_id, task_id=task_id)


def uuid7() -> UUID:
    """A UUID of version 7 (RFC 9562): random, but for the time it begins with."""
    milliseconds = time.time_ns() // 1_000_000
    bits = milliseconds << 80 | int.from_bytes(os.urandom(10), "big")
    bits = bits & ~(0xF << 76) | 0x7 << 76
    bits = bits & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=bits)


async def _only(statement: Statement, **values: Any) -> TaskFields:
    rows = await fetch_dicts(statement, **values)
    if not rows:
        raise TaskNotFound(_unknown(values["task_id"]))
    return rows[0]


def _unknown(task_id: UUID) -> str:
    return f"This user has no task {task_id}."
