"""One asynchronous psycopg2 connection, watched by the event loop for as long as it lives."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson
import psycopg2
from psycopg2 import errorcodes
from psycopg2.extensions import (
    POLL_OK,
    POLL_READ,
    POLL_WRITE,
    AsIs,
    make_dsn,
    parse_dsn,
    register_adapter,
)
from psycopg2.extras import register_default_json

from db.postgres import libpq
from db.postgres.roles import POWERS, Powers, require_held

log = logging.getLogger("errand.database")

Row = tuple[Any, ...]

# A statement that may not fit the socket's buffer wants to be flushed; a smaller one is sent whole.
FITS_THE_SOCKET = 8192

# Without the first four a network that swallows packets holds a request for minutes.
ALWAYS = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "tcp_user_timeout": 5000,
    "client_encoding": "UTF8",
    "application_name": "errand",
}

# The server shuts down, has crashed, starts, or has become a standby: another connection may serve.
USELESS = {
    errorcodes.ADMIN_SHUTDOWN,
    errorcodes.CRASH_SHUTDOWN,
    errorcodes.CANNOT_CONNECT_NOW,
    errorcodes.READ_ONLY_SQL_TRANSACTION,
}

CANCEL_ACCEPTED = 3


def _literal(value: UUID) -> AsIs:
    return AsIs(f"'{value}'::uuid")


def single_host_urls(url: str) -> list[str]:
    """The URL once for each of its hosts.

    libpq's connect_timeout does not count on asynchronous connections: a host that swallows
    packets would keep it from the next one, so each gets a try and a deadline of its own.
    """
    options = {**ALWAYS, **parse_dsn(url)}
    hosts = options.get("host", "").split(",")
    ports = options.get("port", "").split(",")
    if len(ports) == 1:
        ports *= len(hosts)
    one_each = zip(hosts, ports, strict=True)
    return [
        make_dsn(**{**options, "host": host or None, "port": port or None})
        for host, port in one_each
    ]


class Connection:
    """Runs one statement at a time; not to be used again after it is lost or closed."""

    def __init__(self, raw: Any, url: str, statement_timeout: float) -> None:
        self.url = url
        self.refused_to_write = False
        self.knows_functions = False
        self._raw = raw
        self._cursor = raw.cursor()
        self._loop = asyncio.get_running_loop()
        self._descriptor: int = raw.fileno()
        self._watched = True
        self._loop.add_reader(self._descriptor, self._advance)
        self._answer: asyncio.Future[list[Row]] | None = None
        self._settled: asyncio.Future[None] | None = None
        self._statement_timeout = statement_timeout
        self._deadline = 0.0

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        connect_timeout: float,
        statement_timeout: float,
        preparations: Sequence[str] = (),
        functions: Sequence[str] = (),
    ) -> "Connection":
        """Connect, make statements and functions known, and see that its role is a fit one.

        Every connection is asked, because the database may be another one than at the start.
        """
        async with asyncio.timeout(connect_timeout):
            connection = cls(await _connected(url), url, statement_timeout)
            try:
                [powers] = await connection.fetch("; ".join([*preparations, POWERS]))
                require_held(Powers(*powers))
                if functions:
                    await connection._learn(functions)
            except BaseException:
                connection.close()
                raise
        return connection

    async def _learn(self, functions: Sequence[str]) -> None:
        """Have the functions made, unless it is a standby's, which serves who reads without."""
        [(read_only,)] = await self.fetch("SHOW transaction_read_only")
        if read_only == "on":
            return
        try:
            await self.fetch("; ".join(functions))
        except psycopg2.Error as error:
            if self.lost:
                raise
            log.warning("requests do not share this connection: %s", str(error).strip())
        else:
            self.knows_functions = True

    @property
    def busy(self) -> bool:
        """Whether the database has still to answer."""
        return self._answer is not None

    @property
    def overdue(self) -> bool:
        """Whether a statement takes longer than it may."""
        return self.busy and self._loop.time() > self._deadline

    @property
    def lost(self) -> bool:
        """Whether it is of no further use."""
        return bool(self._raw.closed)

    def fetch(self, sql: str, values: dict[str, Any] | None = None) -> "asyncio.Future[list[Row]]":
        """Send a statement; the future brings its rows."""
        statement: bytes = self._cursor.mogrify(sql, values)
        self._deadline = self._loop.time() + self._statement_timeout
        answer = self._answer = self._loop.create_future()
        try:
            self._cursor.execute(statement)
        except psycopg2.Error as error:
            self.close(error)
        else:
            if len(statement) > FITS_THE_SOCKET:
                self._advance()
        return answer

    def expire(self, error: Exception) -> None:
        """Let whoever waits for the answer wait no longer."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    async def settle(self, timeout: float) -> None:
        """Cancel the statement under way, with its transaction, or else close the connection."""
        try:
            async with asyncio.timeout(timeout):
                await _cancel(self._raw)
                if self.busy:
                    self._settled = self._loop.create_future()
                    await self._settled
                # A cancellation that comes too late hits this one, and not somebody's next.
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

    def _advance(self) -> None:
        """Take what the database has sent; between statements that can only be its farewell."""
        try:
            rows = self._polled()
            if rows is not None:
                self._finish(rows)
        except Exception as error:  # a ValueError, too: a moment after the year 9999
            code = getattr(error, "pgcode", None)
            self.refused_to_write = code == errorcodes.READ_ONLY_SQL_TRANSACTION
            if self._raw.closed or not self.busy or code in USELESS:
                self.close(error)
            else:
                self._finish(error=error)

    def _polled(self) -> list[Row] | None:
        state = self._raw.poll()
        if state == POLL_WRITE:
            self._loop.add_writer(self._descriptor, self._flush)
        elif state == POLL_OK and self.busy:
            return self._cursor.fetchall() if self._cursor.description else []
        return None

    def _flush(self) -> None:
        self._loop.remove_writer(self._descriptor)
        self._advance()

    def _finish(self, rows: list[Row] | None = None, error: Exception | None = None) -> None:
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            if error is None:
                answer.set_result(rows or [])
            else:
                answer.set_exception(error)
        if self._settled is not None and not self._settled.done():
            self._settled.set_result(None)


async def _connected(url: str) -> Any:
    """Follow libpq through its attempt to connect."""
    raw = psycopg2.connect(url, async_=1)
    try:
        while (state := raw.poll()) != POLL_OK:
            await _ready(raw.fileno(), state)
    except BaseException:
        raw.close()
        raise
    register_default_json(raw, loads=orjson.loads)
    # Only towards the database: what comes back stays text, as JSON wants it. Here, for SQLAlchemy,
    # which migrates, registers an adapter of its own, that takes longer.
    register_adapter(UUID, _literal)
    return raw


async def _cancel(raw: Any) -> None:
    """Have the server cancel what it runs for us; it is asked through a second connection.

    psycopg2's own way to cancel blocks, and holds Python's global lock while it does: a network
    that swallows packets would stop the whole process. libpq 17 has one that does not block.
    """
    if raw.closed or not libpq.CAN_CANCEL:
        raise psycopg2.NotSupportedError("a statement of this connection cannot be cancelled")
    request = libpq.new_cancel(raw.pgconn_ptr)
    try:
        state = POLL_WRITE if libpq.start_cancel(request) else POLL_OK
        while state in (POLL_READ, POLL_WRITE):
            await _ready(libpq.cancel_socket(request), state)
            state = libpq.poll_cancel(request)
        if state != CANCEL_ACCEPTED:
            raise psycopg2.OperationalError(libpq.cancel_error(request).decode())
    finally:
        libpq.finish_cancel(request)


async def _ready(descriptor: int, state: int) -> None:
    """Wait until the socket can be read or written; at each step it may be another one."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    if state == POLL_READ:
        add, remove = loop.add_reader, loop.remove_reader
    else:
        add, remove = loop.add_writer, loop.remove_writer
    add(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        remove(descriptor)


def check_url(url: str) -> str:
    """The URL, if libpq understands it."""
    try:
        single_host_urls(url)
    except (psycopg2.Error, ValueError):
        # libpq's own words would tell the password
        raise ValueError(
            "libpq does not understand it; it takes postgresql://user:password@host:port/database,"
            " or several hosts with as many ports, or one"
        ) from None
    return url
