"""One asynchronous psycopg2 connection, watched by the event loop for as long as it lives."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import orjson
import psycopg2
from psycopg2 import errorcodes
from psycopg2.extensions import POLL_OK, POLL_WRITE, AsIs, register_adapter
from psycopg2.extras import Json, register_default_json

from db.postgres import libpq
from db.postgres.libpq import SWEEP_INTERVAL
from db.postgres.prepared import PreparedStatements
from db.postgres.statement import Statement

Row = tuple[Any, ...]

# A longer statement may not fit into the socket's buffer, and must be flushed.
SENT_AT_ONCE = 8192

# These severities end the session: PostgreSQL shuts down, or a transaction was idle too long.
ENDS_SESSION = {"FATAL", "PANIC"}
# The host has become a standby, or the session lacks our statements: it may be a pooler's.
USELESS = {errorcodes.READ_ONLY_SQL_TRANSACTION, errorcodes.INVALID_SQL_STATEMENT_NAME}


def _literal(value: UUID) -> AsIs:
    return AsIs(f"'{value}'::uuid")


def _json(value: dict[str, Any]) -> Json:
    return Json(value, dumps=lambda document: orjson.dumps(document).decode())


class Connection:
    """Runs one statement at a time. A connection that is lost or closed cannot be used again."""

    def __init__(self, raw: Any, url: str, statement_timeout: float) -> None:
        self.url = url
        self.prepared: PreparedStatements | None = None
        """The statements that its session has prepared; None if it must not prepare any."""
        self.has_functions = False
        """Whether its session has the functions that run groups of calls."""
        self.refused_to_write = False
        self._raw = raw
        self._cursor = raw.cursor()
        self._loop = asyncio.get_running_loop()
        self._descriptor: int = raw.fileno()
        self._watched = True
        self._loop.add_reader(self._descriptor, self.advance)
        self._result: asyncio.Future[list[Row]] | None = None
        self._ended: asyncio.Future[None] | None = None
        self._statement_timeout = statement_timeout
        self._deadline = 0.0

    @classmethod
    async def open(cls, url: str, statement_timeout: float) -> "Connection":
        """Connect."""
        raw = await libpq.connect(url)
        register_default_json(raw, loads=orjson.loads)
        # Parameters only: UUIDs in results stay text, for JSON. At each connection, because
        # SQLAlchemy registers a slower adapter when it runs the migrations.
        register_adapter(UUID, _literal)
        register_adapter(dict, _json)
        return cls(raw, url, statement_timeout)

    @property
    def announced_pid(self) -> int:
        """The process id that PostgreSQL, or a pooler, announced when the connection was opened."""
        pid: int = self._raw.info.backend_pid
        return pid

    @property
    def busy(self) -> bool:
        """Whether a statement is running."""
        return self._result is not None

    @property
    def overdue(self) -> bool:
        """Whether the statement has run longer than the statement timeout."""
        return self.busy and self._loop.time() > self._deadline

    @property
    def lost(self) -> bool:
        """Whether the connection is closed, by either side."""
        return bool(self._raw.closed)

    def sql(self, statement: Statement, values: dict[str, Any]) -> str:
        """The SQL that runs a statement on this connection."""
        return statement.sql(values, prepared=self.has(statement))

    def has(self, statement: Statement) -> bool:
        """Whether its session has prepared the statement."""
        return self.prepared is not None and self.prepared.has(statement)

    def lacks(self, statement: Statement) -> bool:
        """Whether its session could prepare the statement, and has not done so."""
        return self.prepared is not None and self.prepared.lacks(statement)

    async def prepare(self, statement: Statement) -> None:
        """Prepare a statement before its first call; later calls need no such round trip.

        If the database refuses, the statement runs on this connection without being prepared.
        """
        assert self.prepared is not None
        try:
            await self.fetch(self.prepared.preparation(statement, functions=self.has_functions))
        except psycopg2.Error:
            if self.lost:
                raise
            self.prepared.refuse(statement)
        except BaseException:
            self.close()  # it is unknown whether the session has prepared the statement
            raise
        else:
            self.prepared.add(statement)

    def fetch(self, sql: str, values: dict[str, Any] | None = None) -> "asyncio.Future[list[Row]]":
        """Send a statement; the result of the future is its rows."""
        statement: bytes = self._cursor.mogrify(sql, values)
        self._deadline = self._loop.time() + self._statement_timeout
        result = self._result = self._loop.create_future()
        try:
            self._cursor.execute(statement)
        except psycopg2.Error as error:
            self.close(error)
        else:
            if len(statement) > SENT_AT_ONCE:
                self.advance()
        return result

    def expire(self, error: Exception) -> None:
        """Raise an error for the caller of the running statement; the database may still run it."""
        if self._result is not None and not self._result.done():
            self._result.set_exception(error)

    async def cancel(self, timeout: float) -> None:
        """Cancel the running statement and roll back; close the connection if that fails."""
        try:
            async with asyncio.timeout(timeout):
                await libpq.cancel(self._raw)
                if self.busy:
                    self._ended = self._loop.create_future()
                    await self._ended
                # A late cancellation hits this ROLLBACK, and no statement of the next caller.
                await self.fetch("ROLLBACK")
        except Exception:  # the state of the session is unknown
            self.close()

    def close(self, reason: Exception | None = None) -> None:
        """Close the connection; a running statement fails."""
        # Unwatch the descriptor before the close, and once: a new socket may soon have its number.
        if self._watched:
            self._watched = False
            self._loop.remove_reader(self._descriptor)
            self._loop.remove_writer(self._descriptor)
        self._raw.close()
        self._finish(error=reason or psycopg2.OperationalError("the connection was closed"))

    def advance(self) -> None:
        """Read what the database has sent; notice if the connection is lost.

        Called when the socket is readable, and at intervals: libuv stops watching a socket after an
        error, even if there is more to read.
        """
        try:
            rows = self._polled()
            if rows is not None:
                self._finish(rows)
        except Exception as error:  # also a ValueError: a time after the year 9999
            code = getattr(error, "pgcode", None)
            self.refused_to_write = code == errorcodes.READ_ONLY_SQL_TRANSACTION
            if self._raw.closed or not self.busy or code in USELESS or _ends_session(error):
                self.close(error)
            else:
                self._finish(error=error)

    @asynccontextmanager
    async def advancing(self) -> AsyncIterator[None]:
        """Call `advance` at intervals, for a connection that is not in the pool yet."""
        sweeping = asyncio.create_task(self._advance_for_ever())
        try:
            yield
        finally:
            sweeping.cancel()

    async def _advance_for_ever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_INTERVAL)
            self.advance()

    def _polled(self) -> list[Row] | None:
        state = self._raw.poll()
        if state == POLL_WRITE:
            self._loop.add_writer(self._descriptor, self._flush)
        elif state == POLL_OK and self.busy:
            return self._cursor.fetchall() if self._cursor.description else []
        return None

    def _flush(self) -> None:
        self._loop.remove_writer(self._descriptor)
        self.advance()

    def _finish(self, rows: list[Row] | None = None, error: Exception | None = None) -> None:
        result, self._result = self._result, None
        if result is not None and not result.done():
            if error is None:
                result.set_result(rows or [])
            else:
                result.set_exception(error)
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)


def _ends_session(error: Exception) -> bool:
    """Whether PostgreSQL has ended the session with this error."""
    return isinstance(error, psycopg2.Error) and error.diag.severity_nonlocalized in ENDS_SESSION
