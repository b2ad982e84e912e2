"""Statements that take effect together, or not at all."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from db.postgres.connection import Connection, Row
from db.postgres.statement import Statement

# PostgreSQL ends the transaction, and with it its locks, of a server that has frozen or vanished.
BEGIN = "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '3s'; "
MARK = "SAVEPOINT part; "
UNMARK = "RELEASE part; "
UNDO = "ROLLBACK TO part; RELEASE part; "


class Transaction:
    """Runs statements on the one connection of a transaction, one round trip each time.

    What begins it, and what marks or undoes a part of it, goes ahead of the next statement. Whose
    data it changes is noted in `written`.
    """

    def __init__(
        self, connection: Connection, sql: Callable[[Statement, dict[str, Any]], str]
    ) -> None:
        self.over = False
        self.written: set[Any] = set()
        self._connection = connection
        self._sql = sql
        self._ahead = BEGIN

    async def fetch(self, *statements: Statement, **values: Any) -> list[Row]:
        """Run statements in this order, and return the rows of the last."""
        return await self._send([self._sql(each, values) for each in statements], values)

    async def finish(self, *statements: Statement, **values: Any) -> None:
        """Run the last statements, and commit."""
        await self._send([*(self._sql(each, values) for each in statements), "COMMIT"], values)
        self.over = True

    async def commit(self) -> None:
        """Let it take effect, unless that is done, or nothing was."""
        if not self.over and self._ahead != BEGIN:
            await self._send(["COMMIT"], {})

    @asynccontextmanager
    async def part(self) -> AsyncIterator["Transaction"]:
        """Statements of which none takes effect if one of them, or what is between them, fails."""
        self._ahead += MARK
        try:
            yield self
        except BaseException:
            self._leave_part(UNDO)
            raise
        self._leave_part(UNMARK)

    def _leave_part(self, how: str) -> None:
        if self._ahead.endswith(MARK):  # nothing has been sent since
            self._ahead = self._ahead.removesuffix(MARK)
        else:
            self._ahead += how

    def _send(self, texts: list[str], values: dict[str, Any]) -> "asyncio.Future[list[Row]]":
        if self.over:
            raise RuntimeError("the transaction is over, and its connection somebody else's")
        ahead, self._ahead = self._ahead, ""
        return self._connection.fetch(ahead + "; ".join(texts), values)
