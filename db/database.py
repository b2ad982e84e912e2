"""The pool of this process: made at start-up, used by every resource of the data layer."""

from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, TypeVar
from uuid import UUID

from db.postgres.connection import Row
from db.postgres.group_commit import Document, Groups, document_in
from db.postgres.pool import Pool, PoolOptions
from db.postgres.statement import OWNER, Statement
from db.postgres.transaction import Transaction
from db.tasks import statements, waiting

Asked = TypeVar("Asked")

UNCONNECTED = "the database is used outside of `connected`"

_groups: Groups | None = None
_transaction: ContextVar[Transaction | None] = ContextVar("transaction", default=None)
_constants: dict[str, list[Row]] = {}


@asynccontextmanager
async def connected(options: PoolOptions) -> AsyncIterator[Pool]:
    """Have a database while the server runs."""
    global _groups
    catalogue = [each for each in vars(statements).values() if isinstance(each, Statement)]
    pool = Pool(options, catalogue)
    _groups = Groups(pool)
    pool.open()
    waiting.begin()
    try:
        yield pool
    finally:
        waiting.end()
        await pool.close()
        _groups = None
        _constants.clear()


def _connected() -> Groups:
    """What runs statements together, and the pool that runs them alone."""
    if _groups is None:
        raise RuntimeError(UNCONNECTED)
    return _groups


def fetch(statement: Statement, **values: Any) -> Coroutine[Any, Any, list[Row]]:
    """Run one statement as a transaction of its own, unless it is asked within another."""
    pool = _connected().pool
    current = _transaction.get()
    changes_data = statement.has_owner and not statement.only_reads
    if current is not None:
        if changes_data:
            current.written.add(values[OWNER])
        return current.fetch(statement, **values)
    asked = pool.fetch(statement, **values)
    return _telling_who_waits(asked, values[OWNER]) if changes_data else asked


async def _telling_who_waits(asked: Coroutine[Any, Any, Asked], user_id: UUID) -> Asked:
    answer = await asked
    waiting.written(user_id)
    return answer


async def fetch_dicts(statement: Statement, **values: Any) -> list[dict[str, Any]]:
    """The same, each row by the names of its columns."""
    columns = statement.columns
    return [dict(zip(columns, row, strict=True)) for row in await fetch(statement, **values)]


async def fetch_document(statement: Statement, **values: Any) -> Document:
    """The same, of a statement of a user's that returns one JSON document at the most."""
    groups = _connected()
    if _transaction.get() is not None:
        return document_in(await fetch(statement, **values))
    asked = groups.fetch(statement, values)
    return await (asked if statement.only_reads else _telling_who_waits(asked, values[OWNER]))


async def fetch_constant(statement: Statement) -> list[Row]:
    """The same, of what never changes: the database is asked but once."""
    if statement.name not in _constants:
        _constants[statement.name] = await fetch(statement)
    return _constants[statement.name]


@asynccontextmanager
async def transaction() -> AsyncIterator[Transaction]:
    """Let all that is fetched meanwhile take effect, or nothing; within another, as a part of it.

    It is the task's own: what it fetches, it fetches one after the other.
    """
    pool = _connected().pool
    outer = _transaction.get()
    if outer is not None:
        async with outer.part():
            yield outer
        return
    async with pool.transaction() as current:
        before = _transaction.set(current)
        try:
            yield current
        finally:
            _transaction.reset(before)
    for user_id in current.written:
        waiting.written(user_id)
