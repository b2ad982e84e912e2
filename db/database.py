"""The pool of this process: made at start-up, used by every resource of the data layer."""

from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any
from uuid import UUID

from db import statements, waiting
from db.compiled import OWNER, Statement
from db.connection import Row
from db.groups import Document, Groups
from db.pool import Pool, PoolOptions
from db.transaction import Transaction

UNCONNECTED = "the database is used outside of `connected`"

_pool: Pool | None = None
_groups: Groups | None = None
_transaction: ContextVar[Transaction | None] = ContextVar("transaction", default=None)
_constants: dict[str, list[Row]] = {}


@asynccontextmanager
async def connected(options: PoolOptions) -> AsyncIterator[Pool]:
    """Have a database while the server runs."""
    global _pool, _groups
    catalogue = [each for each in vars(statements).values() if isinstance(each, Statement)]
    _pool = Pool(options, catalogue)
    _groups = Groups(_pool)
    _pool.open()
    waiting.begin()
    try:
        yield _pool
    finally:
        waiting.end()
        await _pool.close()
        _pool = _groups = None
        _constants.clear()


def fetch(statement: Statement, **values: Any) -> Coroutine[Any, Any, list[Row]]:
    """Run one statement as a transaction of its own, unless it is asked within another."""
    if _pool is None:
        raise RuntimeError(UNCONNECTED)
    current = _transaction.get()
    changes_data = statement.has_owner and not statement.only_reads
    if current is not None:
        if changes_data:
            current.written.add(values[OWNER])
        return current.fetch(statement, **values)
    asked = _pool.fetch(statement, **values)
    return _telling_who_waits(asked, values[OWNER]) if changes_data else asked


async def _telling_who_waits(asked: Coroutine[Any, Any, list[Row]], user_id: UUID) -> list[Row]:
    rows = await asked
    waiting.written(user_id)
    return rows


async def fetch_dicts(statement: Statement, **values: Any) -> list[dict[str, Any]]:
    """The same, each row by the names of its columns."""
    columns = statement.columns
    return [dict(zip(columns, row, strict=True)) for row in await fetch(statement, **values)]


async def fetch_document(statement: Statement, **values: Any) -> Document:
    """The same, of a statement of a user's that returns one JSON document at the most."""
    if _groups is None:
        raise RuntimeError(UNCONNECTED)
    if _transaction.get() is not None:
        rows = await fetch(statement, **values)
        return rows[0][0] if rows else None
    document = await _groups.fetch(statement, values)
    if not statement.only_reads:
        waiting.written(values[OWNER])
    return document


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
    if _pool is None:
        raise RuntimeError(UNCONNECTED)
    outer = _transaction.get()
    if outer is not None:
        async with outer.part():
            yield outer
        return
    async with _pool.transaction() as current:
        before = _transaction.set(current)
        try:
            yield current
        finally:
            _transaction.reset(before)
    for user_id in current.written:
        waiting.written(user_id)
