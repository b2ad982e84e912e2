"""A fixed number of asynchronous connections, shared by all requests of one process."""

import asyncio
import logging
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from typing import Any

import psycopg2
from psycopg2 import errorcodes

from db.compiled import Statement
from db.connection import Connection, Row, single_host_urls
from db.errors import ConnectionLost, DatabaseAway, StatementTimedOut

log = logging.getLogger("errand.database")

# The statement had no effect, and the same one may well succeed.
WORTH_A_RETRY = {
    errorcodes.SERIALIZATION_FAILURE,
    errorcodes.DEADLOCK_DETECTED,
    errorcodes.READ_ONLY_SQL_TRANSACTION,
}
RETRIES = 3

SHORTEST_PAUSE = 0.05
LONGEST_PAUSE = 2.0
SWEEP_INTERVAL = 0.1
CANCEL_TIMEOUT = 3.0


@dataclass(frozen=True)
class PoolOptions:
    """What a pool wants to know."""

    url: str
    size: int
    connect_timeout: float
    wait_timeout: float
    statement_timeout: float
    prepare: bool


class Pool:
    """Runs statements, each on whichever connection is free; replaces connections that are lost."""

    def __init__(self, options: PoolOptions, statements: Sequence[Statement]) -> None:
        self._options = options
        self._preparations = [each.preparation for each in statements] if options.prepare else []
        self._urls = cycle(single_host_urls(options.url))
        self._connections: set[Connection] = set()
        self._free: list[Connection] = []
        self._waiting: deque[asyncio.Future[Connection]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._connecting = asyncio.Lock()
        self._closed = False

    def open(self) -> None:
        """Begin to connect; requests may come at once, and wait."""
        for _ in range(self._options.size):
            self._in_background(self._connect())
        self._in_background(self._sweep())

    async def close(self) -> None:
        """Stop, and close every connection."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in self._connections:
            connection.close()

    async def fetch(self, statement: Statement, **values: Any) -> list[Row]:
        """Run one statement as a transaction of its own; once more where that is safe."""
        for retries_left in reversed(range(RETRIES)):
            connection = await self._acquire()
            try:
                return await self._run(connection, statement, values)
            except psycopg2.Error as error:
                safe = error.pgcode in WORTH_A_RETRY or (connection.lost and statement.only_reads)
                if not (retries_left and safe):
                    raise self._translated(error, connection) from error
            finally:
                self._release(connection)
        raise AssertionError("the last try returns or raises")

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["Transaction"]:
        """Statements that take effect together, or not at all."""
        connection = await self._acquire()
        try:
            await connection.fetch("BEGIN")
            try:
                yield Transaction(partial(self._run, connection))
            except BaseException:
                if not connection.busy and not connection.lost:
                    await connection.fetch("ROLLBACK")
                raise
            await connection.fetch("COMMIT")
        except psycopg2.Error as error:
            raise self._translated(error, connection) from error
        finally:
            self._release(connection)

    def _run(
        self, connection: Connection, statement: Statement, values: dict[str, Any]
    ) -> "asyncio.Future[list[Row]]":
        sql = statement.prepared if self._options.prepare else statement.plain
        return connection.fetch(sql, values)

    def _translated(self, error: psycopg2.Error, connection: Connection) -> Exception:
        if error.pgcode in WORTH_A_RETRY:
            return DatabaseAway("The database could not take the change; nothing was changed.")
        if connection.lost:
            return ConnectionLost(
                "The connection to the database broke. A change may have been made or not: look."
            )
        return error

    async def _acquire(self) -> Connection:
        while self._free:
            connection = self._free.pop()
            if not connection.lost:
                return connection
        return await self._wait_for_one()

    async def _wait_for_one(self) -> Connection:
        waiter: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(self._options.wait_timeout):
                return await waiter
        except TimeoutError:
            # Critical section: a connection may have been handed over as the time ran out.
            if waiter.done() and not waiter.cancelled():
                return waiter.result()
            raise DatabaseAway(
                f"No database connection became free within {self._options.wait_timeout:g} s."
            ) from None
        except asyncio.CancelledError:
            # Critical section: as above, but nobody is left to use it.
            if waiter.done() and not waiter.cancelled():
                self._release(waiter.result())
            raise

    def _release(self, connection: Connection) -> None:
        """Hand the connection to whoever waits the longest, once it has nothing left to do."""
        if connection.lost:
            self._replace(connection)
        elif connection.busy:
            self._in_background(self._settle(connection))
        else:
            while self._waiting:
                waiter = self._waiting.popleft()
                if not waiter.done():
                    waiter.set_result(connection)
                    return
            self._free.append(connection)

    async def _settle(self, connection: Connection) -> None:
        """Make a connection usable again whose statement was abandoned."""
        await connection.settle(CANCEL_TIMEOUT)
        self._release(connection)

    def _replace(self, connection: Connection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
            if not self._closed:
                self._in_background(self._connect())

    async def _connect(self) -> None:
        """Open a connection, however long it takes; one try at a time spares a database in need."""
        pause = SHORTEST_PAUSE
        async with self._connecting:
            while (connection := await self._try_to_connect()) is None:
                await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311
                pause = min(2 * pause, LONGEST_PAUSE)
        self._connections.add(connection)
        self._release(connection)

    async def _try_to_connect(self) -> Connection | None:
        try:
            return await Connection.open(
                next(self._urls),
                connect_timeout=self._options.connect_timeout,
                statement_timeout=self._options.statement_timeout,
                preparations=self._preparations,
            )
        except (psycopg2.Error, OSError) as error:
            log.warning("cannot connect to the database: %s", str(error).strip() or repr(error))
            return None

    async def _sweep(self) -> None:
        """Let no statement take longer than it may, and no lost connection go unnoticed.

        One look at all connections ten times a second costs a request nothing, unlike a timer each.
        """
        while True:
            await asyncio.sleep(SWEEP_INTERVAL)
            for connection in list(self._connections):
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


class Transaction:
    """Runs statements on the one connection of a transaction."""

    def __init__(self, run: Callable[[Statement, dict[str, Any]], Awaitable[list[Row]]]) -> None:
        self._run = run

    async def fetch(self, statement: Statement, **values: Any) -> list[Row]:
        """Run one statement within the transaction."""
        return await self._run(statement, values)
