"""Reads of many rows from a hot standby, as fresh as those of the primary.

While the standby reads, the primary is asked for the owner's revision, which costs it next to
nothing. The standby's rows count if its own revision, of the same snapshot, is not lower: so a
client always sees what it has written, whichever server it has written to. In any other case the
primary reads.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, NamedTuple, Self

import psycopg2
from sqlalchemy import JSON, func, select

from db.database import Database, pool_of
from db.errors import Unavailable
from db.owner import OWNER
from db.postgres.group import Document
from db.postgres.pool_options import PoolOptions
from db.postgres.statement import Access, Statement
from db.postgres.tracing import Tracer
from db.schema.clauses import this_owner, users

MOST_STATEMENTS = 512
SECONDS = 1.0

# None without the user's row: the primary has nothing of a user who was erased.
_revision = select(func.to_json(users.c.revision, type_=JSON)).where(this_owner)
CATALOGUE = (Statement("current_revision", _revision, Access.READ),)
"""The statement that connections to the primary prepare besides those of its own catalogue."""


class Snapshot(NamedTuple):
    """What a standby has of one user."""

    revision: int | None
    document: Document

    def is_fresh(self, revision: int | None) -> bool:
        """Whether it has all that the primary has, where the user has this revision."""
        if revision is None or self.revision is None:
            return False
        return self.revision >= revision


class Standby:
    """The pool of a hot standby; it is never waited for in a queue."""

    def __init__(self, options: PoolOptions, tracer: Tracer | None) -> None:
        self._pool = pool_of(options, CATALOGUE, tracer)
        self._statements: OrderedDict[str, Statement] = OrderedDict()
        self.reads = {"fresh": 0, "stale": 0, "failed": 0}
        """The reads that the standby has served, and those that it has not."""

    def open(self) -> None:
        """Begin to connect."""
        self._pool.open()

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()

    @property
    def is_free(self) -> bool:
        """Whether a connection is free."""
        return self._pool.state().idle > 0

    async def read(self, statement: Statement, values: dict[str, Any]) -> Snapshot | None:
        """What one snapshot has; None if the standby does not respond soon, or with an error."""
        try:
            async with asyncio.timeout(SECONDS):
                rows = await self._pool.fetch(self._with_revision(statement), **values)
        except (Unavailable, TimeoutError, psycopg2.Error):
            return None
        return Snapshot(*rows[0][0])

    def _with_revision(self, statement: Statement) -> Statement:
        """The statement that also returns the owner's revision; the latest used ones are kept."""
        found = self._statements.get(statement.name)
        if found is None:
            found = self._statements[statement.name] = statement.beside(_revision)
            if len(self._statements) > MOST_STATEMENTS:
                self._statements.popitem(last=False)
        return found


class DatabaseWithStandby(Database):
    """A database whose reads of many rows are served by a hot standby, if that is fresh."""

    def __init__(
        self,
        options: PoolOptions,
        catalogue: Sequence[Statement],
        tracer: Tracer | None = None,
        *,
        standby: PoolOptions,
    ) -> None:
        super().__init__(options, (*catalogue, *CATALOGUE), tracer)
        self._standby = Standby(standby, tracer)

    @property
    def standby_reads(self) -> Mapping[str, int]:
        """The reads that were sent to the standby, by what came of them."""
        return self._standby.reads

    async def __aenter__(self) -> Self:
        self._standby.open()
        return await super().__aenter__()

    async def __aexit__(self, *error: object) -> None:
        await self._standby.close()
        await super().__aexit__(*error)

    def fetch_document(
        self, statement: Statement, /, **values: Any
    ) -> Coroutine[Any, Any, Document]:
        """Run a statement about one user that returns one JSON document or none."""
        if statement.finds_many and statement.access is Access.READ and self._standby.is_free:
            return self._fetch_many(statement, values)
        return super().fetch_document(statement, **values)

    async def _fetch_many(self, statement: Statement, values: dict[str, Any]) -> Document:
        reading = asyncio.create_task(self._standby.read(statement, values))
        try:
            revision = await super().fetch_document(CATALOGUE[0], user_id=values[OWNER])
            found = await reading
        finally:
            reading.cancel()
        if found is not None and found.is_fresh(revision):
            self._standby.reads["fresh"] += 1
            return found.document
        self._standby.reads["failed" if found is None else "stale"] += 1
        return await super().fetch_document(statement, **values)
