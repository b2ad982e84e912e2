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

# A statement that may not fit the socket's buffer wants to be flushed; a smaller one is sent whole.
FITS_THE_SOCKET = 8192

# PostgreSQL ends the session with it: it shuts down, or a transaction was idle for too long.
ENDS_SESSION = {"FATAL", "PANIC"}
# The host has become a standby; the session does not know our statements, be it a pooler's.
USELESS = {errorcodes.READ_ONLY_SQL_TRANSACTION, errorcodes.INVALID_SQL_STATEMENT_NAME}


def _literal(value: UUID) -> AsIs:
    return AsIs(f"'{value}'::uuid")


def _json(value: dict[str, Any]) -> Json:
    return Json(value, dumps=lambda document: orjson.dumps(document).decode())


class Connection:
    """Runs one statement at a time; not to be used again after it is lost or closed."""

    def __init__(self, raw: Any, url: str, statement_timeout: float) -> None:
        self.url = url
        self.prepared: PreparedStatements | None = None
        """What its session has prepared; None if sessions cannot prepare, be it a pooler's."""
        self.has_functions = False
        """Whether its session knows the functions that run a group of calls."""
        self.refused_to_write = False
        self._raw = raw
        self._cursor = raw.cursor()
        self._loop = asyncio.get_running_loop()
        self._descriptor: int = raw.fileno()
        self._watched = True
        self._loop.add_reader(self._descriptor, self.advance)
        self._result: asyncio.Future[list[Row]] | None = None
        self._settled: asyncio.Future[None] | None = None
        self._statement_timeout = statement_timeout
        self._deadline = 0.0

    @classmethod
    async def open(cls, url: str, statement_timeout: float) -> "Connection":
        """Connect."""
        raw = await libpq.connect(url)
        register_default_json(raw, loads=orjson.loads)
        # Only towards the database: what comes back stays text, as JSON wants it. Here, for
        # SQLAlchemy, which migrates, registers an adapter of its own, that takes longer.
        register_adapter(UUID, _literal)
        register_adapter(dict, _json)
        return cls(raw, url, statement_timeout)

    @property
    def announced_pid(self) -> int:
        """The process id of the session, as it was announced when this connected."""
        pid: int = self._raw.info.backend_pid
        return pid

    @property
    def busy(self) -> bool:
        """Whether a statement is under way."""
        return self._result is not None

    @property
    def overdue(self) -> bool:
        """Whether a statement takes longer than it may."""
        return self.busy and self._loop.time() > self._deadline

    @property
    def lost(self) -> bool:
        """Whether it is of no further use."""
        return bool(self._raw.closed)

    def sql(self, statement: Statement, values: dict[str, Any]) -> str:
        """What runs a statement on this connection."""
        return statement.sql(values, prepared=self.has(statement))

    def has(self, statement: Statement) -> bool:
        """Whether its session has prepared the statement."""
        return self.prepared is not None and self.prepared.has(statement)

    def lacks(self, statement: Statement) -> bool:
        """Whether its session could prepare the statement, and has not done so."""
        return self.prepared is not None and self.prepared.lacks(statement)

    async def prepare(self, statement: Statement) -> None:
        """Prepare a statement on demand: a round trip that later calls of it are spared.

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
            self.close()  # what its session knows is uncertain
            raise
        else:
            self.prepared.add(statement)

    def fetch(self, sql: str, values: dict[str, Any] | None = None) -> "asyncio.Future[list[Row]]":
        """Send a statement; the future brings its rows."""
        statement: bytes = self._cursor.mogrify(sql, values)
        self._deadline = self._loop.time() + self._statement_timeout
        result = self._result = self._loop.create_future()
        try:
            self._cursor.execute(statement)
        except psycopg2.Error as error:
            self.close(error)
        else:
            if len(statement) > FITS_THE_SOCKET:
                self.advance()
        return result

    def expire(self, error: Exception) -> None:
        """Fail the statement under way for its caller; the database may go on with it."""
        if self._result is not None and not self._result.done():
            self._result.set_exception(error)

    async def settle(self, timeout: float) -> None:
        """Cancel the statement under way, with its transaction, or else close the connection."""
        try:
            async with asyncio.timeout(timeout):
                await libpq.cancel(self._raw)
                if self.busy:
                    self._settled = self._loop.create_future()
                    await self._settled
                # A cancellation that comes too late hits this one, and not the next caller's.
                await self.fetch("ROLLBACK")
        except Exception:  # one that cannot be settled, for whatever reason, is not used again
            self.close()

    def close(self, reason: Exception | None = None) -> None:
        """Close it, whatever it is doing."""
        # Forget the descriptor first, and once: the closed socket's may soon be another's.
        if self._watched:
            self._watched = False
            self._loop.remove_reader(self._descriptor)
            self._loop.remove_writer(self._descriptor)
        self._raw.close()
        self._finish(error=reason or psycopg2.OperationalError("the connection was closed"))

    def advance(self) -> None:
        """Take what the database has sent; between statements that can only be its farewell.

        Called when there is something to read, and now and then: libuv stops to watch a socket on
        which it has seen an error, though there may be more to read.
        """
        try:
            rows = self._polled()
            if rows is not None:
                self._finish(rows)
        except Exception as error:  # a ValueError, too: a moment after the year 9999
            code = getattr(error, "pgcode", None)
            self.refused_to_write = code == errorcodes.READ_ONLY_SQL_TRANSACTION
            if self._raw.closed or not self.busy or code in USELESS or _ends_session(error):
                self.close(error)
            else:
                self._finish(error=error)

    @asynccontextmanager
    async def advancing(self) -> AsyncIterator[None]:
        """Advance it now and then: one that no pool has yet is swept by none."""
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
        if self._settled is not None and not self._settled.done():
            self._settled.set_result(None)


def _ends_session(error: Exception) -> bool:
    """Whether PostgreSQL has ended the session with this error."""
    return isinstance(error, psycopg2.Error) and error.diag.severity_nonlocalized in ENDS_SESSION
