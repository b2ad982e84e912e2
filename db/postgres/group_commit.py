"""Group commit: calls that come at the same time share a round trip to the database, and a commit.

Calls of a statement that come while the database is busy with it go together next: the busier the
database, the larger the groups. Each call still names its own owner to the policies. A group that
cannot be done as a whole has no effect, and each of its calls is then made alone.
"""

import asyncio
from functools import partial
from typing import Any, NamedTuple

import orjson
import psycopg2

from db.errors import ConnectionLost, StatementTimedOut, Unavailable
from db.owner import OWNER
from db.postgres.calls import ReadCalls, WriteCalls
from db.postgres.connection import Connection, Row
from db.postgres.failures import UNCERTAIN, had_no_effect, is_failing
from db.postgres.group import Call, Document, Group
from db.postgres.owner_locks import MakeError
from db.postgres.pool import Pool
from db.postgres.statement import Access, Statement


class Bounds(NamedTuple):
    """How many calls make a full group, and how many groups are awaited by one that is not full."""

    most: int
    awaited: int


# Who writes by turns needs fewer commits, and less of PostgreSQL's time, than who writes at once.
# It takes two groups of gets to keep both PostgreSQL and the server at work, of pages one.
WRITES = Bounds(most=64, awaited=1)
READS = Bounds(most=16, awaited=2)
PAGES = Bounds(most=16, awaited=1)

# Most groups take less. One that takes longer waits for another server's lock or for a slow disk,
# or reads many rows; to wait for it would gain nothing.
LONGEST_AWAITED = 0.003

MOST_QUEUES = 128


class NotExecuted(Exception):
    """A call had no effect: another of its group failed, or there was no time for it left."""


class CallQueue:
    """Calls of one statement; sends them in groups, as connections become free."""

    def __init__(self, pool: Pool, statement: Statement) -> None:
        assert statement.returns_document, statement.name
        self._loop = asyncio.get_running_loop()
        self._pool = pool
        self._statement = statement
        self._bounds = _bounds(statement)
        is_read = statement.access is Access.READ
        self._calls = ReadCalls() if is_read else WriteCalls(pool.owner_locks, self._go_on)
        self._awaited = 0
        self._is_scheduled = False

    @property
    def deadline(self) -> float:
        """Until when its first call may wait for a connection."""
        return self._calls.deadline

    def add(self, arguments: bytes, owner: int) -> Call:
        """Queue one call."""
        call = Call(arguments, owner, self._pool.deadline(), self._loop.create_future())
        self._calls.add(call)
        self._go_on()
        return call

    def expire(self, cutoff: float, make_error: MakeError) -> bool:
        """Fail the calls whose deadline is before the cutoff; false if no call is left."""
        self._calls.expire_ready(cutoff, make_error)
        self._is_scheduled = self._calls.ready > 0
        return self._is_scheduled

    def take(self, connection: Connection) -> bool:
        """Send a group on the connection, or have no use for it."""
        is_usable = connection.has_functions and not connection.lost
        if is_usable and connection.lacks(self._statement):
            self._pool.in_background(self._prepare(connection))
            return True
        self._is_scheduled = False
        is_usable = is_usable and connection.has(self._statement)
        calls = self._calls.take(self._bounds.most)
        if calls and is_usable:
            self._begin(calls, connection)
        else:
            self._calls.release(calls)
            _fail(calls, NotExecuted())
        self._go_on()
        return bool(calls) and is_usable

    async def _prepare(self, connection: Connection) -> None:
        """Make the statement known to the connection, which is to run it for the first time."""
        try:
            await connection.prepare(self._statement)
        except (psycopg2.Error, Unavailable):
            pass  # the connection is closed; each call is made alone, and fails by itself
        finally:
            if not self.take(connection):
                self._pool.release(connection)

    def _go_on(self) -> None:
        """Send a group soon, if it is time; until then others may come that go with it."""
        if not self._is_scheduled and self._is_time():
            self._is_scheduled = True
            self._loop.call_soon(self._send)

    def _is_time(self) -> bool:
        """Whether to wait longer would gain nothing."""
        most, awaited = self._bounds
        return self._calls.ready >= (most if self._awaited >= awaited else 1)

    def _send(self) -> None:
        connection = self._pool.acquire_free()
        if connection is None:
            self._pool.enqueue(self)
        elif not self.take(connection):
            self._pool.release(connection)

    def _begin(self, calls: list[Call], connection: Connection) -> None:
        arguments = b",".join([call.arguments for call in calls]).decode()
        rows = connection.fetch(self._statement.prepared_for_each, {"calls": f"[{arguments}]"})
        group = Group(calls, rows, connection)
        group.awaited = self._loop.call_later(LONGEST_AWAITED, self._await_no_more, group)
        self._awaited += 1
        rows.add_done_callback(partial(self._end, group))

    def _await_no_more(self, group: Group) -> None:
        """The group has ended, or takes long."""
        if group.awaited is not None:
            group.awaited.cancel()
            group.awaited = None
            self._awaited -= 1
            self._go_on()

    def _end(self, group: Group, rows: "asyncio.Future[list[Row]]") -> None:
        # The next group goes first, so that the database need not wait until results are read.
        self._calls.release(group.calls)
        self._await_no_more(group)
        self._pool.release(group.connection)
        if not rows.cancelled():
            if error := rows.exception():
                self._fail(group, error)
            else:
                self._put_back(group.hand_out())
        group.calls = []  # else they stay, with their results, until Python looks for cycles

    def _fail(self, group: Group, error: BaseException) -> None:
        if isinstance(error, psycopg2.Error) and is_failing(error):
            error = self._pool.explained(error, group.connection)
        elif had_no_effect(error, lost=group.connection.lost):
            error = NotExecuted()
        _fail(group.calls, error)

    def _put_back(self, calls: list[Call]) -> None:
        """Calls for which a group had no time go with the next, but once: then they go alone."""
        for call in calls:
            if call.was_put_back:
                call.fail(NotExecuted())
            elif not call.result.done():
                call.was_put_back = True
                self._calls.add(call)
        self._go_on()


def _fail(calls: list[Call], error: BaseException) -> None:
    for call in calls:
        call.fail(error)


def _bounds(statement: Statement) -> Bounds:
    if statement.finds_many:
        return PAGES
    return READS if statement.access is Access.READ else WRITES


class Groups:
    """Runs statements about one user that return a JSON document each."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self._queues: dict[str, CallQueue] = {}

    async def fetch(self, statement: Statement, values: dict[str, Any]) -> Document:
        """What one statement returns, which takes effect with others or alone."""
        if not self.pool.runs_groups:
            return await self._fetch_alone(statement, values)
        queue = self._queues.get(statement.name) or self._new_queue(statement)
        call = queue.add(orjson.dumps(values), values[OWNER].int)
        try:
            return await call.result
        except asyncio.CancelledError:
            if call.group is not None:
                call.group.leave()
            raise
        except NotExecuted:
            return await self._fetch_alone(statement, values)
        except StatementTimedOut:
            # It may have been another of the group that took the time.
            if statement.access is not Access.READ or not call.had_company:
                raise
            return await self._fetch_alone(statement, values)
        except psycopg2.Error as error:
            if statement.access is Access.READ:
                return await self._fetch_alone(statement, values)
            raise ConnectionLost(f"The connection to the database broke. {UNCERTAIN}") from error

    def _new_queue(self, statement: Statement) -> CallQueue:
        # There are as many statements as lists have shapes. A queue in use goes on by itself.
        if len(self._queues) == MOST_QUEUES:
            self._queues.clear()
        queue = self._queues[statement.name] = CallQueue(self.pool, statement)
        return queue

    async def _fetch_alone(self, statement: Statement, values: dict[str, Any]) -> Document:
        rows = await self.pool.fetch(statement, **values)
        return rows[0][0] if rows else None
