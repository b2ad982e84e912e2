"""An export: all that a user has, read from one snapshot of the database.

A snapshot holds a connection, and keeps PostgreSQL from removing old versions of rows. So it is
read at the pace of the database, never at that of a client, and few are read at a time.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from db.database import Database
from db.errors import Overloaded
from db.postgres.transaction import Transaction
from db.tasks.tasks import as_read
from db.transfers.export_statements import EXPORT_DIGEST, EXPORT_LISTS, EXPORT_TASKS

FORMAT = 1
AT_ONCE = 200
"""Tasks of one read: after them, other requests have their turn."""
FIRST_ID = UUID(int=0)
TOO_MANY = "The server reads as many exports as it can at a time."

Line = dict[str, Any]
"""A line of an export; `kind` says what it has."""


class Exports:
    """The exports of this process; so many may read the database at a time."""

    def __init__(self, database: Database, most: int, patience: float) -> None:
        """Another export waits for so many seconds."""
        self._database = database
        self._room = asyncio.Semaphore(most)
        self._patience = patience

    async def lines(self, user_id: UUID, *, with_trash: bool) -> AsyncGenerator[Line, None]:
        """The lines of an export, the lists before the tasks."""
        async with self._admitted(), self._database.snapshot() as snapshot:
            yield {
                "kind": "export",
                "format": FORMAT,
                "user_id": str(user_id),
                "exported_at": _written(datetime.now(UTC)),
            }
            counts = {"lists": 0, "tasks": 0}
            rows = await snapshot.fetch(EXPORT_LISTS, user_id=user_id, with_trash=with_trash)
            for _, document in rows:
                counts["lists"] += 1
                yield _list_line(document)
            async for row in _tasks(snapshot, user_id, with_trash=with_trash):
                counts["tasks"] += 1
                yield _task_line(*row)
            found = await snapshot.fetch(EXPORT_DIGEST, user_id=user_id)
            yield {"kind": "end", **counts, "digest": found[0][1] if found else 0}

    @asynccontextmanager
    async def _admitted(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._patience):
                await self._room.acquire()
        except TimeoutError:
            raise Overloaded(TOO_MANY) from None
        try:
            yield
        finally:
            self._room.release()


async def _tasks(
    snapshot: Transaction, user_id: UUID, *, with_trash: bool
) -> AsyncGenerator[tuple[Any, ...], None]:
    """The document of each task, the revision of its deletion, and its skipped due."""
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


def _list_line(document: dict[str, Any]) -> Line:
    found = as_read(document)
    return {"kind": "deleted_list" if "deleted_at" in found else "list", "list": found}


def _task_line(document: dict[str, Any], deletion: int | None, skipped_due: str | None) -> Line:
    task = as_read(document)
    if "deleted_at" not in task:
        return {"kind": "task", "task": task, "skipped_due": skipped_due}
    kept = {"skipped_due": skipped_due, "deletion": deletion}
    return {"kind": "deleted_task", "task": task, **kept}


def _written(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
