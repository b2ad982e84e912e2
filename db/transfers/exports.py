"""An export: all that a user has, read from one snapshot of the database.

A snapshot holds a connection, and keeps PostgreSQL from removing old versions of rows. So it is
read at the pace of the database, never at that of a client, and few are read at a time.
"""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from db.database import Database
from db.postgres.transaction import Transaction
from db.tasks.dates import rfc_3339
from db.tasks.tasks import as_read
from db.transfers.digests import digest_with
from db.transfers.export_statements import EXPORT_LISTS, EXPORT_TASKS

FORMAT = 1
AT_ONCE = 200
"""Tasks of one read: after them, other requests have their turn."""
FIRST_ID = UUID(int=0)

Line = dict[str, Any]
"""A line of an export; `kind` says what it has."""


async def lines(
    database: Database, user_id: UUID, *, with_trash: bool
) -> AsyncGenerator[Line, None]:
    """The lines of an export, the lists before the tasks."""
    async with database.snapshot(user_id) as snapshot:
        yield {
            "kind": "export",
            "format": FORMAT,
            "user_id": str(user_id),
            "exported_at": rfc_3339(datetime.now(UTC)),
        }
        end = {"lists": 0, "tasks": 0, "digest": 0}
        rows = await snapshot.fetch(EXPORT_LISTS, user_id=user_id, with_trash=with_trash)
        for _, document in rows:
            line = _list_line(document)
            _count(end, "lists", line["list"])
            yield line
        async for row in _tasks(snapshot, user_id, with_trash=with_trash):
            line = _task_line(*row)
            _count(end, "tasks", line["task"])
            yield line
        yield {"kind": "end", **end}


async def _tasks(
    snapshot: Transaction, user_id: UUID, *, with_trash: bool
) -> AsyncGenerator[tuple[Any, ...], None]:
    """The document of each task, and what clients do not see of it."""
    first = FIRST_ID
    while True:
        rows = await snapshot.fetch(
            EXPORT_TASKS, user_id=user_id, with_trash=with_trash, first=first, limit=AT_ONCE + 1
        )
        for _, *row in rows[:AT_ONCE]:
            yield tuple(row)
        if len(rows) <= AT_ONCE:
            return
        first = UUID(rows[-1][0])


def _count(end: dict[str, int], kind: str, found: dict[str, Any]) -> None:
    """Count a list or a task in the last line; the digest is of what is not in the trash."""
    end[kind] += 1
    if "deleted_at" not in found:
        end["digest"] = digest_with(end["digest"], found["revision"])


def _list_line(document: dict[str, Any]) -> Line:
    found = as_read(document)
    return {"kind": "deleted_list" if "deleted_at" in found else "list", "list": found}


def _task_line(
    document: dict[str, Any], completion: int, skipped_due: str | None, deletion: int | None
) -> Line:
    task = as_read(document)
    kept = {"task": task, "completion": completion, "skipped_due": skipped_due}
    if "deleted_at" not in task:
        return {"kind": "task", **kept}
    return {"kind": "deleted_task", **kept, "deletion": deletion}
