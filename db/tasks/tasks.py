"""What can be done with a user's tasks."""

import os
import time
from collections.abc import Coroutine
from typing import Any, NamedTuple
from uuid import UUID

from db.database import Session
from db.errors import CursorRefused, IdTaken, TaskChanged, TaskExists, TaskNotFound
from db.postgres.statement import Statement
from db.tasks import cursors, statements

TaskFields = dict[str, Any]
"""A task by the names of `TaskRead`, its values as JSON writes them."""

Versions = list[int] | None
"""The revisions of which a task must have one to be changed; None takes any."""

NO_REVISION = 0
"""The revision of a user of whom nothing is known."""


class Page(NamedTuple):
    """Some of a user's tasks, cursors of the pages beside it, and the user's revision."""

    tasks: list[TaskFields]
    previous: str | None
    next: str | None
    revision: int


async def page(
    database: Session,
    user_id: UUID,
    *,
    offset: int,
    limit: int,
    completed: bool | None,
    deleted: bool,
    cursor: str | None = None,
) -> Page:
    """Tasks, or those in the trash, newest first: from the cursor on, or behind so many."""
    if cursor is not None and offset:
        raise CursorRefused("A cursor has its own place: leave out either it or `offset`.")
    listing = statements.TRASH if deleted else statements.TASKS
    filters = f"deleted={deleted} completed={completed}"
    came_by = None if cursor is None else await cursors.opened(database, cursor, user_id, filters)
    wanted = {"user_id": user_id, "completed": completed, "limit": limit + 1}
    place: dict[str, Any] = {}
    if came_by is not None:
        statement = listing.before if came_by.backwards else listing.after
        place = came_by.place.values()
    elif offset:
        statement, place = listing.by_offset, {"offset": offset}
    else:
        statement = listing.first
    owner_revision, *columns = await database.fetch_document(statement, **wanted, **place)
    deletions = columns.pop() if deleted else None
    found = _from_columns(str(user_id), columns, deletions)
    tasks = found[:limit]
    if came_by is not None and came_by.backwards:
        tasks.reverse()
    beside = cursors.beside(tasks, came_by, len(found) > limit, listing.newest_by)
    previous, next_ = [
        each and await cursors.sealed(database, each, user_id, filters) for each in beside
    ]
    return Page(tasks, previous, next_, owner_revision or NO_REVISION)


def _from_columns(owner: str, columns: list[Any], deletions: list[str] | None) -> list[TaskFields]:
    """The tasks of a page, from columns in the order of `TaskRead`.

    They are written out, as names that are looked up take twice as long.
    """
    if columns[0] is None:
        return []
    found = [
        {
            "id": id_,
            "user_id": owner,
            "title": title,
            "description": description,
            "completed": completed,
            "created_at": created_at,
            "updated_at": updated_at,
            "revision": revision,
        }
        for id_, title, description, completed, created_at, updated_at, revision in zip(
            *columns, strict=True
        )
    ]
    if deletions is not None:
        for task, deleted_at in zip(found, deletions, strict=True):
            task["deleted_at"] = deleted_at
    return found


async def revision(database: Session, user_id: UUID) -> int:
    """How often the user's tasks have changed."""
    rows = await database.fetch(statements.REVISION, user_id=user_id)
    return rows[0][0] if rows else NO_REVISION


async def create(
    database: Session,
    user_id: UUID,
    *,
    title: str,
    description: str | None = None,
    completed: bool = False,
    id: UUID | None = None,  # noqa: A002
    must_be_new: bool = False,
) -> TaskFields:
    """Store a new task; the first one makes its owner known."""
    task_id = id or uuid7()
    created: TaskFields | None = await database.fetch_document(
        statements.CREATE,
        user_id=user_id,
        id=task_id,
        title=title,
        description=description,
        completed=completed,
    )
    if created is None:
        kind = TaskExists if must_be_new else IdTaken
        raise kind(
            f"This user has used the id {task_id}.", await _fetch_any(database, user_id, task_id)
        )
    return created


async def get(database: Session, user_id: UUID, task_id: UUID) -> TaskFields:
    """One task of the user's."""
    task = await _fetch_active(database, user_id, task_id)
    if task is None:
        raise unknown(task_id)
    return task


async def update(
    database: Session,
    user_id: UUID,
    task_id: UUID,
    changes: TaskFields,
    *,
    expected: Versions = None,
) -> TaskFields:
    """Change the fields that are named, and no other; where none is, the task is but looked at."""
    if not changes:
        return as_expected(await get(database, user_id, task_id), expected)
    return await _changed(
        database,
        statements.UPDATE,
        user_id,
        task_id,
        expected,
        title=changes.get("title"),
        names_description="description" in changes,
        description=changes.get("description"),
        completed=changes.get("completed"),
    )


async def delete(
    database: Session, user_id: UUID, task_id: UUID, *, expected: Versions = None
) -> None:
    """Make a tombstone of the task, which is in the trash and nowhere else."""
    await _changed(database, statements.DELETE, user_id, task_id, expected)


async def toggle(
    database: Session, user_id: UUID, task_id: UUID, *, expected: Versions = None
) -> TaskFields:
    """Complete the task, or open it again."""
    return await _changed(database, statements.TOGGLE, user_id, task_id, expected)


async def restore(
    database: Session, user_id: UUID, task_id: UUID, *, expected: Versions = None
) -> TaskFields:
    """Bring a task back from the trash; one that is not in it is left as it is."""
    restored: TaskFields | None = await database.fetch_document(
        statements.RESTORE, user_id=user_id, task_id=task_id, expected=expected
    )
    if restored is not None:
        return restored
    task = await _fetch_any(database, user_id, task_id)
    if task is None:
        raise unknown(task_id)
    if "deleted_at" in task and expected is None:
        # It was deleted between the two statements.
        return await restore(database, user_id, task_id)
    return as_expected(task, expected)


def uuid7() -> UUID:
    """A UUID of version 7 (RFC 9562): random, but for the time it begins with."""
    milliseconds = time.time_ns() // 1_000_000
    bits = milliseconds << 80 | int.from_bytes(os.urandom(10), "big")
    bits = bits & ~(0xF << 76) | 0x7 << 76
    bits = bits & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=bits)


async def _changed(
    database: Session,
    statement: Statement,
    user_id: UUID,
    task_id: UUID,
    expected: Versions,
    **values: Any,
) -> TaskFields:
    """Change the task at once, if it is as expected; look only afterwards why it was not."""
    task: TaskFields | None = await database.fetch_document(
        statement, user_id=user_id, task_id=task_id, expected=expected, **values
    )
    if task is not None:
        return task
    current = None if expected is None else await _fetch_active(database, user_id, task_id)
    if current is None:
        raise unknown(task_id)
    raise _changed_meanwhile(current)


def as_expected(task: TaskFields, expected: Versions) -> TaskFields:
    """The task, if it is of an expected revision."""
    if expected is not None and task["revision"] not in expected:
        raise _changed_meanwhile(task)
    return task


async def _fetch_any(database: Session, user_id: UUID, task_id: UUID) -> TaskFields | None:
    """The task, be it in the trash or not."""
    task = await database.fetch_document(statements.LOOK, user_id=user_id, task_id=task_id)
    return None if task is None else shown(task)


def _fetch_active(
    database: Session, user_id: UUID, task_id: UUID
) -> Coroutine[Any, Any, TaskFields | None]:
    """The task, unless it is in the trash."""
    return database.fetch_document(statements.GET, user_id=user_id, task_id=task_id)


def shown(task: TaskFields) -> TaskFields:
    """The task as clients know it: only in the trash it has a time of its deletion."""
    return {name: value for name, value in task.items() if (name, value) != ("deleted_at", None)}


def unknown(task_id: UUID) -> TaskNotFound:
    """There is no such task."""
    return TaskNotFound(f"This user has no task {task_id}.")


def _changed_meanwhile(current: TaskFields) -> TaskChanged:
    detail = f"The task is at revision {current['revision']}; `current` shows it."
    return TaskChanged(detail, current)
