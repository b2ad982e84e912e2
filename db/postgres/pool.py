"""A fixed number of asynchronous connections, shared by all requests of one process."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any, NamedTuple

import psycopg2

from db.errors import ConnectionLost, DatabaseAway, StatementTimedOut
from db.postgres.connection import Connection, Row
from db.postgres.connector import Connector
from db.postgres.failures import UNCERTAIN, domain_error, is_failing, is_worth_a_retry
from db.postgres.roles import powers_query
from db.postgres.statement import Access, Statement
from db.postgres.throttled_log import ThrottledLog
from db.postgres.transaction import Transaction

TRIES = 3

SWEEP_INTERVAL = 0.1
CANCEL_TIMEOUT = 3.0

CLOSING = "The server is stopping."


@dataclass(frozen=True)
class PoolOptions:
    """What a pool wants to know."""

    url: str
    size: int
    connect_timeout: float
    wait_timeout: float
    statement_timeout: float
    prepare: bool


class Waiter(NamedTuple):
    """A request that waits for a connection, and until when."""

    connection: "asyncio.Future[Connection]"
    deadline: float

    def refuse(self, reason: str) -> None:
        """There is none for it."""
        if not self.connection.done():
            self.connection.set_exception(DatabaseAway(reason))


class Pool:
    """Runs statements, each on whichever connection is free; replaces connections that are lost."""

    def __init__(
        self,
        options: PoolOptions,
        statements: Sequence[Statement],
        owned_tables: Sequence[str],
    ) -> None:
        """The statements are prepared; row-level security must be active on the tables."""
        self._options = options
        self._connector = Connector(
            options.url,
            connect_timeout=options.connect_timeout,
            statement_timeout=options.statement_timeout,
            prepared=statements if options.prepare else [],
            powers_query=powers_query(owned_tables),
        )
        self._log = ThrottledLog()
        self._connections: set[Connection] = set()
        self._free: list[Connection] = []
        self._waiting: deque[Waiter] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self.runs_groups = options.prepare
        """Whether its connections know the functions that run groups of calls."""

    def open(self) -> None:
        """Begin to connect; requests may come at once, and wait."""
        for _ in range(self._options.size):
            self._in_background(self._connect())
        self._in_background(self._sweep())

    async def close(self) -> None:
        """Stop, cancel what is under way, and close every connection."""
        self._closed = True
        self._free.clear()
        for waiter in self._waiting:
            waiter.refuse(CLOSING)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*map(self._dismiss, self._connections))

    async def fetch(self, statement: Statement, **values: Any) -> list[Row]:
        """Run one statement as a transaction of its own; once more where that is safe."""
        for tried in count(1):
            connection = await self.acquire(self.deadline())
            try:
                if connection.lacks(statement):
                    await connection.prepare(statement)
                return await connection.fetch(connection.sql(statement, values), values)
            except psycopg2.Error as error:
                if not self._worth_another(error, connection, statement, tried):
                    raise self._explained(error, connection) from error
            finally:
                self.release(connection)
        raise AssertionError("a try returns, raises, or is followed by another")

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Statements that take effect together, or not at all."""
        connection = await self.acquire(self.deadline())
        transaction = Transaction(connection, connection.sql)
        try:
            try:
                yield transaction
                await transaction.commit()
            except BaseException:
                # Critical section: cancelled as an answer came, it would be free, but not idle.
                if not connection.busy and not connection.lost:
                    await connection.fetch("ROLLBACK")
                raise
        except psycopg2.Error as error:
            raise self._explained(error, connection) from error
        finally:
            transaction.over = True
            self.release(connection)

    def _worth_another(
        self, error: psycopg2.Error, connection: Connection, statement: Statement, tried: int
    ) -> bool:
        if is_worth_a_retry(error):
            return tried < TRIES
        # Where the server has restarted, every connection may prove to be lost.
        return (
            connection.lost
            and statement.access is Access.READ
            and tried < TRIES + self._options.size
        )

    def _explained(self, error: psycopg2.Error, connection: Connection) -> Exception:
        """What callers are to know of an error."""
        if is_failing(error):
            self._log.warn(str(error.pgcode), f"the database is failing: {str(error).strip()}")
        return domain_error(error, lost=connection.lost)

    def deadline(self) -> float:
        """Until when a request that comes now may wait for a connection."""
        return asyncio.get_running_loop().time() + self._options.wait_timeout

    async def acquire(self, deadline: float) -> Connection:
        """A connection that has nothing to do; it must be released."""
        while True:
            connection = self._free.pop() if self._free else await self._wait_for_one(deadline)
            if not connection.lost:
                return connection
            self._replace(connection)

    async def _wait_for_one(self, deadline: float) -> Connection:
        if self._closed:
            raise DatabaseAway(CLOSING)
        waiter = Waiter(asyncio.get_running_loop().create_future(), deadline)
        self._line_up(waiter)
        try:
            return await waiter.connection
        except asyncio.CancelledError:
            # Critical section: a connection may have been handed over, and nobody is left to use it
            connection = waiter.connection
            if connection.done() and not connection.cancelled() and not connection.exception():
                self.release(connection.result())
            raise

    def _line_up(self, waiter: Waiter) -> None:
        """Whose request came first stands first, even where another had to be served before it."""
        place = len(self._waiting)
        while place and self._waiting[place - 1].deadline > waiter.deadline:
            place -= 1
        self._waiting.insert(place, waiter)

    def _give_up_waiting(self) -> None:
        """Refuse those who have waited too long; the longest wait stands first."""
        now = asyncio.get_running_loop().time()
        while self._waiting and (
            self._waiting[0].deadline < now or self._waiting[0].connection.done()
        ):
            waiter = self._waiting.popleft()
            limit = self._options.wait_timeout
            waiter.refuse(f"No database connection became free within {limit:g} s.")

    def release(self, connection: Connection) -> None:
        """Hand the connection to whoever waits the longest, once it has nothing left to do."""
        if connection.lost:
            self._replace(connection)
        elif self._closed:
            pass  # close() sees to it
        elif connection.busy:
            self._in_background(self._settle(connection))
        else:
            while self._waiting:
                waiter = self._waiting.popleft().connection
                if not waiter.done():
                    waiter.set_result(connection)
                    return
            self._free.append(connection)

    async def _settle(self, connection: Connection) -> None:
        """Make a connection usable again whose statement was abandoned."""
        await connection.settle(CANCEL_TIMEOUT)
        self.release(connection)

    async def _dismiss(self, connection: Connection) -> None:
        try:
            if connection.busy:
                connection.expire(ConnectionLost(f"{CLOSING} {UNCERTAIN}"))
                await connection.settle(CANCEL_TIMEOUT)
        finally:
            connection.close()

    def _replace(self, connection: Connection) -> None:
        if self._closed or connection not in self._connections:
            return
        self._connections.remove(connection)
        if connection in self._free:
            self._free.remove(connection)
        if connection.refused_to_write:
            self._connector.avoid(connection.url)
        self._in_background(self._connect())

    async def _connect(self) -> None:
        connection = await self._connector.connect()
        self.runs_groups = connection.has_functions
        self._connections.add(connection)
        self.release(connection)

    async def _sweep(self) -> None:
        """Let nobody wait longer than they may, and no lost connection go unnoticed.

        One look at everything ten times a second costs a request nothing, unlike a timer each.
        """
        while True:
            await asyncio.sleep(SWEEP_INTERVAL)
            self._give_up_waiting()
            for connection in list(self._connections):
                connection.advance()
                if connection.lost:
                    self._replace(connection)
                elif connection.overdue:
                    limit = self._options.statement_timeout
                    connection.expire(
                        StatementTimedOut(f"The database took longer than {limit:g} s.")
                    )

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
