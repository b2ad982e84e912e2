"""The database: one object, made when the server starts and passed down."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol, Self, TypeVar
from uuid import UUID

from db.owner import OWNER
from db.postgres.activity import Activity, PoolState
from db.postgres.connection import Row
from db.postgres.group import Document
from db.postgres.group_commit import Groups
from db.postgres.ping import Ping
from db.postgres.pool import Pool
from db.postgres.pool_options import PoolOptions
from db.postgres.statement import Access, Statement
from db.postgres.tracing import TracedGroups, TracedPool, Tracer
from db.postgres.transaction import Transaction
from db.schema.tables import OWNED_TABLES

Result = TypeVar("Result")


class Session(Protocol):
    """Runs statements: the database, or one of its transactions."""

    def fetch(self, statement: Statement, /, **values: Any) -> Coroutine[Any, Any, list[Row]]:
        """Run a statement, and return its rows."""

    def fetch_dicts(
        self, statement: Statement, /, **values: Any
    ) -> Coroutine[Any, Any, list[dict[str, Any]]]:
        """Run a statement, and return its rows by the names of their columns."""

    def fetch_document(
        self, statement: Statement, /, **values: Any
    ) -> Coroutine[Any, Any, Document]:
        """Run a statement about one user that returns one JSON document or none."""

    def fetch_constant(self, statement: Statement, /) -> Coroutine[Any, Any, list[Row]]:
        """Run a statement whose rows never change; the database caches them."""

    async def ping(self) -> None:
        """Return if the database responds."""

    async def parts(self) -> "Sequence[Part]":
        """What runs statements without an owner, so that together they reach all users' rows."""

    def transaction(self, owner: UUID, /) -> AbstractAsyncContextManager[Transaction]:
        """Statements that write the owner's data, and take effect together or not at all.

        Within a transaction it is a savepoint: rolled back alone, committed with the rest.
        """


def pool_of(
    options: PoolOptions,
    catalogue: Sequence[Statement],
    tracer: Tracer | None,
    tables: Sequence[str] = OWNED_TABLES,
) -> Pool:
    """A pool that is only used with row-level security on all tables of users."""
    if tracer is None:
        return Pool(options, catalogue, tables)
    return TracedPool(options, catalogue, tables, tracer)


def groups_of(pool: Pool, tracer: Tracer | None) -> Groups:
    """What runs concurrent calls of a statement together on the connections of a pool."""
    return TracedGroups(pool, tracer) if tracer else Groups(pool)


async def fetch_from_parts(
    database: "Session", statement: Statement, **values: Any
) -> tuple[list[list[Row]], list[BaseException]]:
    """The rows of each part of the database that responds, and the errors of the others."""
    fetches = [part.fetch(statement, **values) for part in await database.parts()]
    results = await asyncio.gather(*fetches, return_exceptions=True)
    rows = [each for each in results if not isinstance(each, BaseException)]
    return rows, [each for each in results if isinstance(each, BaseException)]


class Part(Protocol):
    """Has the rows of some of the users, and runs statements that name none of them."""

    def fetch(self, statement: Statement, /, **values: Any) -> Coroutine[Any, Any, list[Row]]:
        """Run a statement as its own transaction, and return its rows."""


class Database:
    """Runs statements on a pool of connections, each as its own transaction.

    It is open inside `async with`.
    """

    def __init__(
        self,
        options: PoolOptions,
        catalogue: Sequence[Statement],
        tracer: Tracer | None = None,
    ) -> None:
        """The statements of the catalogue are prepared on every connection."""
        self._pool = pool_of(options, catalogue, tracer)
        self._groups = groups_of(self._pool, tracer)
        self._ping = Ping(self._pool, options.size + 1)
        self._constants: dict[str, list[Row]] = {}
        self._observers: list[Callable[[UUID], None]] = []

    async def __aenter__(self) -> Self:
        self._pool.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pool.close()

    async def ping(self) -> None:
        """Return if the database responds; a ping goes before all waiting requests."""
        await self._ping.ping()

    @property
    def activity(self) -> Activity:
        """What it has done since it was opened."""
        return self._pool.activity

    @property
    def standby_reads(self) -> Mapping[str, int]:
        """The reads that were sent to a standby, by what came of them."""
        return {}

    def state(self) -> PoolState:
        """Its connections, and what waits for one, at this moment."""
        return self._pool.state()

    def observe_writes(self, observer: Callable[[UUID], None]) -> None:
        """Call the observer with the owner's id after each write of a user's data."""
        self._observers.append(observer)

    def fetch(self, statement: Statement, /, **values: Any) -> Coroutine[Any, Any, list[Row]]:
        """Run one statement as its own transaction, and return its rows."""
        rows = self._pool.fetch(statement, **values)
        return self._observed(rows, values[OWNER]) if statement.changes_user_data else rows

    async def fetch_dicts(self, statement: Statement, /, **values: Any) -> list[dict[str, Any]]:
        """The same, each row by the names of its columns."""
        return statement.as_dicts(await self.fetch(statement, **values))

    def fetch_document(
        self, statement: Statement, /, **values: Any
    ) -> Coroutine[Any, Any, Document]:
        """The same, of a statement about one user that returns one JSON document or none.

        Concurrent calls of one statement share a round trip and a commit.
        """
        document = self._groups.fetch(statement, values)
        if statement.access is Access.READ:
            return document
        return self._observed(document, values[OWNER])

    async def fetch_constant(self, statement: Statement, /) -> list[Row]:
        """The same, of a statement whose rows never change: it is run once."""
        rows = self._constants.get(statement.name)
        if rows is None:
            rows = self._constants[statement.name] = await self.fetch(statement)
        return rows

    @asynccontextmanager
    async def transaction(self, owner: UUID, /) -> AsyncIterator[Transaction]:
        """Statements on one connection that take effect together, or not at all.

        It waits for the owner's lock before it takes a connection.
        """
        async with self._pool.transaction(owner) as transaction:
            yield transaction
        for user_id in transaction.changed_users:
            self._notify(user_id)

    def snapshot(self, _: UUID, /) -> AbstractAsyncContextManager[Transaction]:
        """Statements that all read the owner's data as they were at the first of them."""
        return self._pool.snapshot()

    async def parts(self) -> Sequence[Part]:
        """What runs statements without an owner, so that together they reach all users' rows."""
        return (self,)

    async def parts_of(self, owners: Collection[UUID]) -> Sequence[tuple[Part, Collection[UUID]]]:
        """The parts that have the rows of these owners, each with those that it has."""
        return ((self, owners),)

    async def _observed(self, write: Coroutine[Any, Any, Result], user_id: UUID) -> Result:
        result = await write
        self._notify(user_id)
        return result

    def _notify(self, user_id: UUID) -> None:
        for observer in self._observers:
            observer(user_id)
