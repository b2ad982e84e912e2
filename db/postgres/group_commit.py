"""Group commit: concurrent calls of one statement share a round trip to the database and a commit.

Calls that arrive while the database runs the statement wait, and are sent as the next group: the
busier the database, the larger the groups. Each call names its own owner to row-level security. If
a group fails, it has no effect, and each of its calls runs alone.
"""

import asyncio
from functools import partial
from typing import Any, NamedTuple

import orjson
import psycopg2

from db.errors import ConnectionLost, StatementTimedOut, Unavailable
from db.owner import OWNER
from db.postgres.activity import LARGEST_GROUP
from db.postgres.calls import ReadCalls, WriteCalls
from db.postgres.connection import Connection, Row
from db.postgres.failures import UNCERTAIN, had_no_effect, is_failing
from db.postgres.group import Call, Document, Group
from db.postgres.owner_locks import MakeError
from db.postgres.pool import Pool
from db.postgres.statement import Access, Statement


class Bounds(NamedTuple):
    """When a group is sent: when it is full, or when few groups are running."""

    most: int
    """The number of calls in a full group."""

    running: int
    """A group that is not full waits while so many groups are running."""


# Writes: one group after the other makes fewer commits, which costs PostgreSQL less time. Reads of
# one task: with two groups both PostgreSQL and this process are busy. With pages one is enough, but
# not a large one: PostgreSQL would have nothing to do while this process writes the responses.
WRITES = Bounds(most=LARGEST_GROUP, running=1)
READS = Bounds(most=16, running=2)
PAGES = Bounds(most=8, running=1)

# A group counts as running for at most so long, which is more than PostgreSQL computes. One that
# takes longer waits for a lock of another server or for a slow disk, or reads many rows: the next
# group gains nothing by waiting for it. A group that is sent while one still computes is smaller
# than it could be, and both compete for the processor.
COUNTED_SECONDS = 0.003
COUNTED_SECONDS_OF_A_CALL = 0.00025

MOST_QUEUES = 128


class NotExecuted(Exception):
    """A call had no effect: its group failed, or took too long to reach it. It is run alone."""


class CallQueue:
    """The waiting calls of one statement; sends them in groups."""

    def __init__(self, pool: Pool, statement: Statement) -> None:
        assert statement.returns_document, statement.name
        self._loop = asyncio.get_running_loop()
        self._pool = pool
        self._statement = statement
        self._bounds = _bounds(statement)
        self._sizes = pool.activity.group_sizes[statement.access]
        is_read = statement.access is Access.READ
        self._calls = ReadCalls() if is_read else WriteCalls(pool.owner_locks, self._schedule)
        self._running = 0
        self._is_scheduled = False

    @property
    def deadline(self) -> float:
        """The deadline of its first call."""
        return self._calls.deadline

    def add(self, arguments: bytes, owner: int) -> Call:
        """Queue one call."""
        call = Call(arguments, owner, self._pool.deadline(), self._loop.create_future())
        self._calls.add(call)
        self._schedule()
        return call

    def expire(self, cutoff: float, make_error: MakeError) -> bool:
        """Fail the calls whose deadline is before the cutoff; false if no call is left."""
        self._calls.expire_ready(cutoff, make_error)
        self._is_scheduled = self._calls.ready > 0
        return self._is_scheduled

    def take(self, connection: Connection) -> bool:
        """Send a group on the connection; false if there is none, or it cannot be sent there."""
        is_usable = connection.has_functions and not connection.lost
        if is_usable and connection.lacks(self._statement):
            self._pool.in_background(self._prepare(connection))
            return True
        self._is_scheduled = False
        is_usable = is_usable and connection.has(self._statement)
        calls = self._calls.take(self._bounds.most)
        if calls and is_usable:
            self._send_on(connection, calls)
        else:
            self._calls.release(calls)
            _fail(calls, NotExecuted())
        self._schedule()
        return bool(calls) and is_usable

    async def _prepare(self, connection: Connection) -> None:
        """Prepare the statement on a connection that has not run it yet; then send a group."""
        try:
            await connection.prepare(self._statement)
        except (psycopg2.Error, Unavailable):
            pass  # the connection is closed; each call runs alone, and fails with its own error
        finally:
            if not self.take(connection):
                self._pool.release(connection)

    def _schedule(self) -> None:
        """Send a group soon, if one is due; until then more calls can join it."""
        if not self._is_scheduled and self._is_due():
            self._is_scheduled = True
            self._loop.call_soon(self._send)

    def _is_due(self) -> bool:
        """Whether a group is full, or few groups are running."""
        most, running = self._bounds
        return self._calls.ready >= (most if self._running >= running else 1)

    def _send(self) -> None:
        connection = self._pool.acquire_free()
        if connection is None:
            self._pool.enqueue(self)
        elif not self.take(connection):
            self._pool.release(connection)

    def _send_on(self, connection: Connection, calls: list[Call]) -> None:
        arguments = b",".join([call.arguments for call in calls]).decode()
        rows = connection.fetch(self._statement.prepared_for_each, {"calls": f"[{arguments}]"})
        group = Group(calls, rows, connection)
        seconds = COUNTED_SECONDS + COUNTED_SECONDS_OF_A_CALL * len(calls)
        group.counting = self._loop.call_later(seconds, self._stop_counting, group)
        self._running += 1
        self._sizes[len(calls)] += 1
        rows.add_done_callback(partial(self._end, group))

    def _stop_counting(self, group: Group) -> None:
        """The group has ended, or has run for too long: it no longer delays the next one."""
        if group.counting is not None:
            group.counting.cancel()
            group.counting = None
            self._running -= 1
            self._schedule()

    def _end(self, group: Group, rows: "asyncio.Future[list[Row]]") -> None:
        # The next group is sent before the results are read: the database need not wait for that.
        self._calls.release(group.calls)
        self._stop_counting(group)
        self._pool.release(group.connection)
        if not rows.cancelled():
            if error := rows.exception():
                self._fail(group, error)
            else:
                self._put_back(group.distribute())
        group.calls = []  # breaks a cycle: the results are freed without a garbage collection

    def _fail(self, group: Group, error: BaseException) -> None:
        if isinstance(error, psycopg2.Error) and is_failing(error):
            error = self._pool.translated(error, group.connection)
        elif had_no_effect(error, lost=group.connection.lost):
            error = NotExecuted()
        _fail(group.calls, error)

    def _put_back(self, calls: list[Call]) -> None:
        """Queue the calls that a group did not reach again; the second time they run alone."""
        for call in calls:
            if call.was_put_back:
                call.fail(NotExecuted())
            elif not call.result.done():
                call.was_put_back = True
                self._calls.add(call)
        self._schedule()


def _fail(calls: list[Call], error: BaseException) -> None:
    for call in calls:
        call.fail(error)


def _bounds(statement: Statement) -> Bounds:
    if statement.finds_many:
        return PAGES
    return READS if statement.access is Access.READ else WRITES


class Groups:
    """Runs statements about one user, each of which returns one JSON document."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self._queues: dict[str, CallQueue] = {}

    async def fetch(self, statement: Statement, values: dict[str, Any]) -> Document:
        """The document that the statement returns; it runs in a group or alone."""
        if not self.pool.runs_groups:
            return await self._fetch_alone(statement, values)
        queue = self._queues.get(statement.name) or self._new_queue(statement)
        call = queue.add(orjson.dumps(values), values[OWNER].int)
        try:
            return await call.result
        except asyncio.CancelledError:
            if call.group is not None:
                call.group.cancel_if_abandoned()
            raise
        except NotExecuted:
            return await self._fetch_alone(statement, values)
        except StatementTimedOut:
            # Another call of the group may have taken the time.
            if statement.access is not Access.READ or not call.was_grouped:
                raise
            return await self._fetch_alone(statement, values)
        except psycopg2.Error as error:
            if statement.access is Access.READ:
                return await self._fetch_alone(statement, values)
            raise ConnectionLost(f"The connection to the database broke. {UNCERTAIN}") from error

    def _new_queue(self, statement: Statement) -> CallQueue:
        # Lists have very many statements. A queue that is removed still sends its waiting calls.
        if len(self._queues) == MOST_QUEUES:
            self._queues.clear()
        queue = self._queues[statement.name] = self._queue_of(statement)
        return queue

    def _queue_of(self, statement: Statement) -> CallQueue:
        return CallQueue(self.pool, statement)

    async def _fetch_alone(self, statement: Statement, values: dict[str, Any]) -> Document:
        rows = await self.pool.fetch(statement.alone(values), **values)
        return rows[0][0] if rows else None
