"""Single writes of several tasks, or of one that recurs or has reminders: batches of one.

Whatever else is one statement in `db.tasks.tasks`.
"""

from collections.abc import Coroutine, Mapping
from typing import Any
from uuid import UUID

from db.database import Session
from db.errors import IdTaken, TaskExists
from db.quotas import MAX_TASKS
from db.schema.clauses import RULED_COLUMNS
from db.tasks import batches, tasks
from db.tasks.tasks import Task, Versions

_BY_RULES = frozenset(RULED_COLUMNS)
_OF_NEW = _BY_RULES - {"list_id"}


def create(
    database: Session,
    user_id: UUID,
    fields: Mapping[str, Any],
    *,
    must_be_new: bool = False,
    max_tasks: int = MAX_TASKS,
) -> Coroutine[Any, Any, Task]:
    """Store a new task; the first one also creates the user's row."""
    by_rules = not _OF_NEW.isdisjoint(fields) and any(fields.get(name) for name in _OF_NEW)
    write = _create_by_rules if by_rules else tasks.create
    return write(database, user_id, fields, must_be_new=must_be_new, max_tasks=max_tasks)


async def _create_by_rules(
    database: Session,
    user_id: UUID,
    fields: Mapping[str, Any],
    *,
    must_be_new: bool,
    max_tasks: int,
) -> Task:
    operation = {"op": "create", **fields}
    try:
        return await batches.run_one(database, user_id, operation, max_tasks=max_tasks)
    except IdTaken as taken:
        if must_be_new:
            raise TaskExists(str(taken), taken.current) from None
        raise


async def update(
    database: Session,
    user_id: UUID,
    task_id: UUID,
    changes: Mapping[str, Any],
    *,
    expected: Versions = None,
    max_tasks: int = MAX_TASKS,
) -> Task:
    """Change the fields that are named, and no other; if none is, only read the task."""
    if _BY_RULES.isdisjoint(changes):
        updated = await tasks.update(database, user_id, task_id, changes, expected=expected)
        if updated is not None:
            return updated
    operation = {"op": "update", "id": str(task_id), **changes}
    return await batches.run_one(
        database, user_id, operation, expected=expected, max_tasks=max_tasks
    )


async def toggle(
    database: Session,
    user_id: UUID,
    task_id: UUID,
    *,
    expected: Versions = None,
    max_tasks: int = MAX_TASKS,
) -> Task:
    """Complete the task, or reopen it; one that recurs gets or loses its successor."""
    toggled = await tasks.toggle(database, user_id, task_id, expected=expected)
    if toggled is not None:
        return toggled
    operation = {"op": "toggle", "id": str(task_id)}
    return await batches.run_one(
        database, user_id, operation, expected=expected, max_tasks=max_tasks
    )


def skip(
    database: Session, user_id: UUID, task_id: UUID, *, expected: Versions = None
) -> Coroutine[Any, Any, Task]:
    """Move the task on to its next due without completing it, if there is one."""
    operation = {"op": "skip", "id": str(task_id)}
    return batches.run_one(database, user_id, operation, expected=expected)


async def delete(
    database: Session, user_id: UUID, task_id: UUID, *, expected: Versions = None
) -> None:
    """Soft delete the task, and all that is below it: from now on they are in the trash."""
    if not await tasks.delete_alone(database, user_id, task_id, expected=expected):
        operation = {"op": "delete", "id": str(task_id)}
        await batches.run_one(database, user_id, operation, expected=expected)


def restore(
    database: Session, user_id: UUID, task_id: UUID, *, expected: Versions = None
) -> Coroutine[Any, Any, Task]:
    """Restore a task from the trash, and with it what its deletion took along."""
    operation = {"op": "restore", "id": str(task_id)}
    return batches.run_one(database, user_id, operation, expected=expected)
