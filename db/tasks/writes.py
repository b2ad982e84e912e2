"""Single writes that are about more than one task: batches of one operation.

Whatever else is one statement in `db.tasks.tasks`.
"""

from collections.abc import Coroutine, Mapping
from typing import Any
from uuid import UUID

from db.database import Session
from db.errors import IdTaken, TaskExists
from db.quotas import MAX_TASKS
from db.schema.clauses import PLACE_COLUMNS
from db.tasks import batches, tasks
from db.tasks.tasks import Task, Versions

_PLACE = frozenset(PLACE_COLUMNS)


def create(
    database: Session,
    user_id: UUID,
    fields: Mapping[str, Any],
    *,
    must_be_new: bool = False,
    max_tasks: int = MAX_TASKS,
) -> Coroutine[Any, Any, Task]:
    """Store a new task; the first one also creates the user's row."""
    write = tasks.create if fields.get("parent_id") is None else _create_subtask
    return write(database, user_id, fields, must_be_new=must_be_new, max_tasks=max_tasks)


async def _create_subtask(
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


def update(
    database: Session,
    user_id: UUID,
    task_id: UUID,
    changes: Mapping[str, Any],
    *,
    expected: Versions = None,
) -> Coroutine[Any, Any, Task]:
    """Change the fields that are named, and no other; if none is, only read the task."""
    if _PLACE.isdisjoint(changes):
        return tasks.update(database, user_id, task_id, changes, expected=expected)
    operation = {"op": "update", "id": str(task_id), **changes}
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
