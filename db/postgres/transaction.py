"""Statements that take effect together, or not at all."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Self
from uuid import UUID

from db.owner import OWNER
from db.postgres.connection import Connection, Row
from db.postgres.statement import Statement

# If this server freezes or vanishes, PostgreSQL ends the transaction and releases its locks.
IDLE = "SET LOCAL idle_in_transaction_session_timeout = '3s'; "
BEGIN = f"BEGIN; {IDLE}"
BEGIN_SNAPSHOT = f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {IDLE}"
SAVEPOINT = "SAVEPOINT s; "
RELEASE = "RELEASE s; "
ROLLBACK = "ROLLBACK TO s; RELEASE s; "


class Transaction:
    """Runs statements on the one connection of a transaction, one round trip each time.

    BEGIN and the commands of savepoints are sent together with the next statement.
    `changed_users` are the owners of the rows it may have changed.
    """

    def __init__(
        self,
        connection: Connection,
        sql: Callable[[Statement, dict[str, Any]], str],
        begin: str = BEGIN,
    ) -> None:
        self.over = False
        self.changed_users: set[UUID] = set()
        self._connection = connection
        self._sql = sql
        self._begin = self._ahead = begin

    def redirect(self, statement_of: Callable[[Statement], Statement]) -> None:
        """Run from now on, in place of each statement, the one that the function returns."""
        sql = self._sql
        self._sql = lambda statement, values: sql(statement_of(statement), values)

    async def fetch(self, *statements: Statement, **values: Any) -> list[Row]:
        """Run statements in this order, and return the rows of the last."""
        return await self._send(self._texts(statements, values), values)

    async def fetch_dicts(self, statement: Statement, /, **values: Any) -> list[dict[str, Any]]:
        """Run a statement, and return its rows by the names of their columns."""
        return statement.as_dicts(await self.fetch(statement, **values))

    async def fetch_document(self, statement: Statement, /, **values: Any) -> Any:
        """Run a statement that returns one JSON document, or None if it returns no row."""
        rows = await self.fetch(statement, **values)
        return rows[0][0] if rows else None

    async def fetch_constant(self, statement: Statement, /) -> list[Row]:
        """Run a statement whose rows never change."""
        return await self.fetch(statement)

    async def parts(self) -> Sequence[Self]:
        """The transaction itself: it reaches the rows of its owner."""
        return (self,)

    async def ping(self) -> None:
        """Return if the database responds."""
        await self._send(["SELECT 1"], {})

    async def finish(self, *statements: Statement, **values: Any) -> None:
        """Run the last statements, and commit."""
        await self._send([*self._texts(statements, values), "COMMIT"], values)
        self.over = True

    async def commit(self) -> None:
        """Commit, unless that is done or nothing was sent."""
        if not self.over and self._ahead != self._begin:
            await self._send(["COMMIT"], {})

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[Self]:
        """Statements that are rolled back if one of them, or the code between them, fails."""
        self._ahead += SAVEPOINT
        try:
            yield self
        except BaseException:
            self._end_savepoint(ROLLBACK)
            raise
        self._end_savepoint(RELEASE)

    def transaction(self, _: UUID, /) -> AbstractAsyncContextManager[Self]:
        """A savepoint: a transaction within this one."""
        return self.savepoint()

    def _end_savepoint(self, sql: str) -> None:
        if self._ahead.endswith(SAVEPOINT):  # nothing has been sent since
            self._ahead = self._ahead.removesuffix(SAVEPOINT)
        else:
            self._ahead += sql

    def _texts(self, statements: tuple[Statement, ...], values: dict[str, Any]) -> list[str]:
        if any(each.changes_user_data for each in statements):
            self.changed_users.add(values[OWNER])
        return [self._sql(each, values) for each in statements]

    def _send(self, texts: list[str], values: dict[str, Any]) -> "asyncio.Future[list[Row]]":
        if self.over:
            raise RuntimeError("the transaction is over; its connection may serve another request")
        ahead, self._ahead = self._ahead, ""
        return self._connection.fetch(ahead + "; ".join(texts), values)
