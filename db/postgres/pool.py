"""A fixed number of asynchronous connections, shared by all requests of one process."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from typing import Any
from uuid import UUID

import psycopg2

from db.errors import ConnectionLost, StatementTimedOut
from db.owner import OWNER
from db.postgres.activity import Activity, PoolState
from db.postgres.connection import Connection, Row
from db.postgres.connection_queue import ConnectionQueue, ConnectionRequest, ConnectionWaiter
from db.postgres.connector import Connector
from db.postgres.failures import UNCERTAIN, domain_error, is_failing, is_retryable
from db.postgres.libpq import SWEEP_INTERVAL
from db.postgres.overload import CLOSING, Overload, fail_all
from db.postgres.owner_locks import OwnerLocks
from db.postgres.pool_options import PoolOptions
from db.postgres.roles import powers_query
from db.postgres.statement import Access, Statement
from db.postgres.throttled_log import ThrottledLog
from db.postgres.transaction import BEGIN, BEGIN_SNAPSHOT, Transaction

MOST_ATTEMPTS = 3

CANCEL_TIMEOUT = 3.0


class Pool:
    """Runs each statement on a connection that is free, and replaces lost connections."""

    def __init__(
        self,
        options: PoolOptions,
        statements: Sequence[Statement],
        owned_tables: Sequence[str],
    ) -> None:
        """Every connection prepares the statements; it is only used with row-level security."""
        self._options = options
        self._connector = Connector(
            options,
            prepared=statements,
            powers_query=powers_query(owned_tables),
        )
        self._log = ThrottledLog()
        self._connections: set[Connection] = set()
        self._free: list[Connection] = []
        self._queue = ConnectionQueue()
        self._overload = Overload(options.wait_timeout, options.overload_timeout)
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self.owner_locks = OwnerLocks()
        self.activity = Activity()
        self.runs_groups = True
        """Whether the connections have the functions that run groups of calls."""

    def open(self) -> None:
        """Begin to connect; requests that come before that wait."""
        for _ in range(self._options.size):
            self.in_background(self._connect())
        self.in_background(self._sweep())

    async def close(self) -> None:
        """Fail all waiting requests, cancel all statements, and close every connection."""
        self._closed = True
        self._free.clear()
        fail_all(self._queue, self.owner_locks)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*map(self._dismiss, self._connections))

    async def fetch(self, statement: Statement, **values: Any) -> list[Row]:
        """Run one statement as its own transaction; run it again if it failed and that is safe."""
        if not statement.changes_user_data:
            return await self._fetch(statement, values)
        async with self.owner_locks.hold(values[OWNER].int, self.deadline()):
            return await self._fetch(statement, values)

    async def _fetch(self, statement: Statement, values: dict[str, Any]) -> list[Row]:
        for attempt in count(1):
            connection = await self.acquire(self.deadline())
            try:
                return await self._run(connection, statement, values)
            except psycopg2.Error as error:
                if not self._is_retried(error, connection, statement, attempt):
                    raise self.translated(error, connection) from error
            finally:
                self.release(connection)
        raise AssertionError("every attempt returns, raises, or is followed by another one")

    async def _run(
        self, connection: Connection, statement: Statement, values: dict[str, Any]
    ) -> list[Row]:
        if connection.lacks(statement):
            await connection.prepare(statement)
        return await connection.fetch(connection.sql(statement, values), values)

    @asynccontextmanager
    async def transaction(self, owner: UUID | None = None) -> AsyncIterator[Transaction]:
        """Statements that take effect together, or not at all.

        If they write the data of an owner, the transaction waits for the owner's lock before it
        takes a connection.
        """
        if owner is None:
            async with self._transaction() as transaction:
                yield transaction
        else:
            async with (
                self.owner_locks.hold(owner.int, self.deadline()),
                self._transaction() as transaction,
            ):
                yield transaction

    def snapshot(self) -> AbstractAsyncContextManager[Transaction]:
        """Statements that all read the data as it was at the first of them."""
        return self._transaction(BEGIN_SNAPSHOT)

    @asynccontextmanager
    async def _transaction(self, begin: str = BEGIN) -> AsyncIterator[Transaction]:
        connection = await self.acquire(self.deadline())
        transaction = self._begun(connection, begin)
        try:
            try:
                yield transaction
                await transaction.commit()
            except BaseException:
                # Critical section: if the caller was cancelled just as a result came, no statement
                # runs, but the transaction is still open.
                if not connection.busy and not connection.lost:
                    await connection.fetch("ROLLBACK")
                raise
        except psycopg2.Error as error:
            raise self.translated(error, connection) from error
        finally:
            transaction.over = True
            self.release(connection)

    def _begun(self, connection: Connection, begin: str) -> Transaction:
        return Transaction(connection, connection.sql, begin)

    def _is_retried(
        self, error: psycopg2.Error, connection: Connection, statement: Statement, attempt: int
    ) -> bool:
        if is_retryable(error):
            return attempt < MOST_ATTEMPTS
        # After a restart of PostgreSQL every connection may be lost.
        is_read = statement.access is Access.READ
        return connection.lost and is_read and attempt < MOST_ATTEMPTS + self._options.size

    def translated(self, error: psycopg2.Error, connection: Connection) -> Exception:
        """The error for callers; logs that the database is failing, if it is."""
        if is_failing(error):
            cause = f"{error.diag.message_primary} ({error.pgcode})"
            self._log.warn(str(error.pgcode), f"the database is failing: {cause}")
        return self.activity.count_failure(domain_error(error, lost=connection.lost))

    def state(self) -> PoolState:
        """The state of the pool at this moment."""
        idle = len(self._free)
        age = self.deadline() - self._queue.oldest_deadline
        return PoolState(idle, len(self._connections) - idle, len(self._queue), max(age, 0.0))

    def deadline(self) -> float:
        """The time until which a request that comes now may wait for a connection."""
        return asyncio.get_running_loop().time() + self._options.wait_timeout

    async def acquire(self, deadline: float, *, ahead: bool = False) -> Connection:
        """A free connection; the caller must release it."""
        while (connection := self.acquire_free()) is None:
            connection = await self._requested(deadline, ahead)
            if not connection.lost:
                break
            self._replace(connection)
        return connection

    def acquire_free(self) -> Connection | None:
        """A free connection, if there is one now; the caller must release it."""
        while self._free:
            connection = self._free.pop()
            if not connection.lost:
                return connection
            self._replace(connection)
        return None

    def enqueue(self, waiter: ConnectionWaiter, *, ahead: bool = False) -> None:
        """Give the waiter the next free connection; its requests fail at their deadlines."""
        if ahead:
            self._queue.add_first(waiter)
        else:
            self._queue.add(waiter)
        if self._closed:
            fail_all(self._queue, self.owner_locks)

    async def _requested(self, deadline: float, ahead: bool) -> Connection:
        request = ConnectionRequest(deadline)
        self.enqueue(request, ahead=ahead)
        try:
            return await request.connection
        except asyncio.CancelledError:
            # Critical section: the connection may have been handed over in the same moment.
            connection = request.connection
            if connection.done() and not connection.cancelled() and not connection.exception():
                self.release(connection.result())
            raise

    def release(self, connection: Connection) -> None:
        """Give the connection to the first waiter, as soon as no statement runs on it."""
        if connection.lost:
            self._replace(connection)
        elif self._closed:
            pass  # close() closes it
        elif connection.busy:
            self.in_background(self._cancel(connection))
        elif not self._queue.take(connection):
            self._free.append(connection)

    async def _cancel(self, connection: Connection) -> None:
        """Cancel a statement whose caller was cancelled, then release its connection."""
        await connection.cancel(CANCEL_TIMEOUT)
        self.release(connection)

    async def _dismiss(self, connection: Connection) -> None:
        try:
            if connection.busy:
                connection.expire(ConnectionLost(f"{CLOSING} {UNCERTAIN}"))
                await connection.cancel(CANCEL_TIMEOUT)
        finally:
            connection.close()

    def _replace(self, connection: Connection) -> None:
        if self._closed or connection not in self._connections:
            return
        self._connections.remove(connection)
        self.activity.lost += 1
        if connection in self._free:
            self._free.remove(connection)
        if connection.refused_to_write:
            self._connector.avoid(connection.url)
        self.in_background(self._connect())

    async def _connect(self) -> None:
        connection = await self._connector.connect()
        self.runs_groups = connection.has_functions
        self._connections.add(connection)
        self.activity.connects += 1
        self.release(connection)

    async def _sweep(self) -> None:
        """Fail requests and statements that take too long, and replace lost connections.

        One check of everything ten times a second costs a request nothing; a timer for each would.
        """
        while True:
            await asyncio.sleep(SWEEP_INTERVAL)
            self._overload.fail_overdue(
                self._queue,
                self.owner_locks,
                asyncio.get_running_loop().time(),
                early=SWEEP_INTERVAL,
                is_connected=bool(self._connections),
            )
            for connection in list(self._connections):
                connection.advance()
                if connection.lost:
                    self._replace(connection)
                elif connection.overdue:
                    limit = self._options.statement_timeout
                    late = StatementTimedOut(f"The database took longer than {limit:g} s.")
                    connection.expire(self.activity.count_failure(late))

    def in_background(self, work: Coroutine[Any, Any, None]) -> None:
        """Run work in the background; `close` cancels it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
