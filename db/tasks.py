"""What can be done with a user's tasks."""

import os
import time
from typing import Any
from uuid import UUID

from db import statements
from db.compiled import Statement
from db.database import fetch, fetch_dicts
from db.errors import TaskNotFound

TaskFields = dict[str, Any]
"""A task by the names of `TaskRead`, its values as JSON writes them."""


async def page(
    user_id: UUID, *, offset: int, limit: int, completed: bool | None
) -> tuple[list[TaskFields], bool]:
    """Some of the user's tasks, newest first, and whether there are more behind them."""
    found = await fetch_dicts(
        statements.LIST, user_id=user_id, completed=completed, limit=limit + 1, offset=offset
    )
    return found[:limit], len(found) > limit


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
