"""The operations on a user's tasks."""

import asyncio
import os
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter

from db.database import Database, Part, Session
from db.errors import (
    FieldRefused,
    IdTaken,
    TaskChanged,
    TaskExists,
    TaskNotFound,
    TooManyTasks,
    Unavailable,
)
from db.postgres.connection import Row
from db.postgres.statement import Statement
from db.quotas import MAX_TASKS
from db.schema.clauses import BRIEF_COLUMNS, COLUMNS_OF_NEW
from db.schema.fields import DEFAULTS
from db.schema.rare_fields import with_rare
from db.tasks import creating, statements
from db.tasks.dates import settled
from db.tasks.positions import of_revision
from db.tasks.tags import keyed

# It takes a quarter of the time of `UUID`.
_uuid = TypeAdapter(UUID).validator.validate_python

_BRIEF = frozenset(creating.BRIEF_COLUMNS)
_READ_ONLY = dict.fromkeys(("series_id", "completed_at", "created_at", "updated_at", "revision"))

Task = dict[str, Any]
"""A task by the names of `TaskRead` or `DeletedTaskRead`, its values as JSON writes them."""

Versions = list[int] | None
"""A task is changed only if its revision is one of these; None accepts any."""

NO_REVISION = 0
"""The revision of a user who has no row."""


async def revision(database: Session, user_id: UUID) -> int:
    """The user's current revision."""
    rows = await database.fetch(statements.REVISION, user_id=user_id)
    return rows[0][0] if rows else NO_REVISION


async def changed_users(database: Database, known: Mapping[UUID, int]) -> dict[UUID, int]:
    """The users whose revision is not the known one, and their revisions.

    Each part of the database is asked once for its users, and those that respond count.
    """
    parts = await database.parts_of(known)
    changed = await asyncio.gather(*(_changed(part, users, known) for part, users in parts))
    return {UUID(user_id): revision for rows in changed for user_id, revision in rows}


async def _changed(part: Part, users: Collection[UUID], known: Mapping[UUID, int]) -> list[Row]:
    with suppress(Unavailable):
        return await part.fetch(
            statements.CHANGED_USERS,
            # As texts: the driver would write each value by itself.
            user_ids=f"{{{','.join([user_id.hex for user_id in users])}}}",
            known=f"{{{','.join([str(known[user_id]) for user_id in users])}}}",
        )
    return []


async def create(
    database: Session,
    user_id: UUID,
    fields: Mapping[str, Any],
    *,
    must_be_new: bool = False,
    max_tasks: int = MAX_TASKS,
) -> Task:
    """Store a new task; the first one also creates the user's row."""
    values = {"id": uuid7(), **DEFAULTS, **settled(fields)}
    if fields.keys() <= _BRIEF:
        written = await database.fetch_document(
            creating.CREATE_BRIEF,
            user_id=user_id,
            id=values["id"],
            title=values["title"],
            description=values["description"],
            completed=values["completed"],
            max_tasks=max_tasks,
        )
    else:
        written = await database.fetch_document(
            _creation_of(values, fields), user_id=user_id, max_tasks=max_tasks, **keyed(values)
        )
    if written is None and values["list_id"] is None:
        written = await database.fetch_document(
            creating.CREATE_WITH_USER, user_id=user_id, max_tasks=max_tasks, **keyed(values)
        )
    if written is not None:
        return _created(values, written)
    current = await _fetch_any(database, user_id, values["id"])
    if current is not None:
        kind = TaskExists if must_be_new else IdTaken
        raise kind(id_taken(values["id"]), current)
    if values["list_id"] not in (None, *await live_lists(database, user_id)):
        raise no_list(values["list_id"])
    rows = await database.fetch(creating.TASK_COUNT, user_id=user_id)
    if rows and rows[0][0] >= max_tasks:
        raise too_many(max_tasks)
    # Between the statements the purge has made room, or deleted the task with this id, or there is
    # a new list.
    return await create(database, user_id, values, must_be_new=must_be_new, max_tasks=max_tasks)


def _creation_of(values: Task, fields: Mapping[str, Any]) -> Statement:
    """The statement that stores a task with these fields of a user who has a row."""
    if values["list_id"] is not None:
        return creating.CREATE_IN_LIST
    return creating.CREATE_WITH_ID if "id" in fields else creating.CREATE


def _created(values: Task, written: list[Any]) -> Task:
    """The new task: its values, and those that the database has written."""
    task: Task = {"id": None, "user_id": None, **values, **_READ_ONLY}
    task.update(zip(COLUMNS_OF_NEW, written, strict=True))
    moment = task["created_at"] = task["updated_at"]
    task["completed_at"] = moment if task["completed"] else None
    if task["position"] is None:
        task["position"] = of_revision(task["revision"])
    return task


async def get(database: Session, user_id: UUID, task_id: UUID) -> Task:
    """The task, unless it is in the trash."""
    values = await database.fetch_document(statements.GET, user_id=user_id, task_id=task_id)
    task = _named(values)
    if task is None:
        raise unknown(task_id)
    return task


async def update(
    database: Session,
    user_id: UUID,
    task_id: UUID,
    changes: Mapping[str, Any],
    *,
    expected: Versions = None,
) -> Task | None:
    """Change the fields that are named, and no other; if none is, only read the task.

    It returns None if the task is not there as expected, or recurs.
    """
    if not changes:
        return as_expected(await get(database, user_id, task_id), expected)
    updated = await database.fetch_document(
        statements.UPDATE,
        user_id=user_id,
        task_id=task_id,
        expected=expected,
        changes=keyed(settled(changes)),
    )
    return _named(updated)


async def delete_alone(
    database: Session, user_id: UUID, task_id: UUID, *, expected: Versions = None
) -> bool:
    """Soft delete the task, if it is there as expected and no task is below it."""
    deleted = await database.fetch_document(
        statements.DELETE, user_id=user_id, task_id=task_id, expected=expected
    )
    return deleted is not None


async def toggle(
    database: Session, user_id: UUID, task_id: UUID, *, expected: Versions = None
) -> Task | None:
    """Complete the task, or reopen it; None if it is not there as expected, or recurs."""
    toggled = await database.fetch_document(
        statements.TOGGLE, user_id=user_id, task_id=task_id, expected=expected
    )
    return _named(toggled)


def uuid7() -> UUID:
    """A UUID of version 7 (RFC 9562): it begins with the time, the rest is random."""
    milliseconds = time.time_ns() // 1_000_000
    bits = milliseconds << 80 | int.from_bytes(os.urandom(10), "big")
    bits = bits & ~(0xF << 76) | 0x7 << 76
    bits = bits & ~(0x3 << 62) | 0x2 << 62
    made: UUID = _uuid(bits.to_bytes(16, "big"))
    return made


def as_expected(task: Task, expected: Versions) -> Task:
    """The task, if its revision is expected."""
    if expected is not None and task["revision"] not in expected:
        raise _conflict(task)
    return task


async def _fetch_any(database: Session, user_id: UUID, task_id: UUID) -> Task | None:
    """The task, in the trash or not."""
    task = await database.fetch_document(statements.FIND, user_id=user_id, task_id=task_id)
    return None if task is None else as_read(task)


def _named(values: list[Any] | None) -> Task | None:
    """The task with these values of its fields."""
    return None if values is None else with_rare(dict(zip(BRIEF_COLUMNS, values, strict=True)))


def as_read(task: Task) -> Task:
    """The task as clients read it: it has `deleted_at` only in the trash."""
    return {name: value for name, value in task.items() if (name, value) != ("deleted_at", None)}


async def live_lists(database: Session, user_id: UUID) -> set[str]:
    """The ids of the user's lists that are not in the trash."""
    rows = await database.fetch(statements.LIVE_LISTS, user_id=user_id)
    return {list_id for (list_id,) in rows}


def no_list(list_id: str) -> FieldRefused:
    """A task cannot be in this list."""
    return FieldRefused(f"This user has no list {list_id}.", "list_id")


def id_taken(task_id: UUID | str) -> str:
    """The reason why no new task can have the id."""
    return f"This user has used the id {task_id}."


def too_many(max_tasks: int) -> TooManyTasks:
    """No more tasks are stored for the user."""
    return TooManyTasks(
        f"This server stores {max_tasks:,} tasks of a user, those in the trash included."
    )


def unknown(task_id: UUID) -> TaskNotFound:
    """There is no such task."""
    return TaskNotFound(f"This user has no task {task_id}.")


def _conflict(current: Task) -> TaskChanged:
    return TaskChanged(f"The task is at revision {current['revision']}.", current)
