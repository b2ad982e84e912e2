"""Spans of waits and of statements, for a database that was made with a tracer."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from db.postgres.connection import Connection, Row
from db.postgres.group import Call, Document
from db.postgres.group_commit import CallQueue, Groups
from db.postgres.owner_locks import OwnerLocks
from db.postgres.pool import Pool
from db.postgres.pool_options import PoolOptions
from db.postgres.statement import Statement
from db.postgres.transaction import BEGIN, Transaction

QUEUE = "queue"
OWNER_LOCK = "owner lock"
COMMIT = "commit"


class Tracer(Protocol):
    """Records spans."""

    def context(self) -> Any:
        """What the current task does, as the parent of spans; None if that is not traced."""

    def record(self, name: str, context: Any, start: int, *, calls: int = 0) -> None:
        """Record a span that ends now; of a statement, with the number of calls that it ran."""


class TracedPool(Pool):
    """Records how long requests wait for an owner's lock and a connection, and each statement."""

    def __init__(
        self,
        options: PoolOptions,
        statements: Sequence[Statement],
        owned_tables: Sequence[str],
        tracer: Tracer,
    ) -> None:
        super().__init__(options, statements, owned_tables)
        self.owner_locks = TracedOwnerLocks(tracer)
        self._tracer = tracer

    async def _requested(self, deadline: float, ahead: bool) -> Connection:
        start = time.time_ns()
        try:
            return await super()._requested(deadline, ahead)
        finally:
            self._tracer.record(QUEUE, self._tracer.context(), start)

    async def _run(
        self, connection: Connection, statement: Statement, values: dict[str, Any]
    ) -> list[Row]:
        start = time.time_ns()
        try:
            return await super()._run(connection, statement, values)
        finally:
            self._tracer.record(statement.name, self._tracer.context(), start, calls=1)

    def _begun(self, connection: Connection, begin: str) -> Transaction:
        return TracedTransaction(connection, self._tracer, begin)


class TracedOwnerLocks(OwnerLocks):
    """Records how long single statements and transactions wait for a lock."""

    def __init__(self, tracer: Tracer) -> None:
        super().__init__()
        self._tracer = tracer

    @asynccontextmanager
    async def hold(self, owner: int, deadline: float) -> AsyncIterator[None]:
        """Wait for the owner's lock, and hold it inside `async with`."""
        start = time.time_ns() if owner in self._waiters else None
        async with super().hold(owner, deadline):
            if start is not None:
                self._tracer.record(OWNER_LOCK, self._tracer.context(), start)
            yield


class TracedTransaction(Transaction):
    """Records each round trip."""

    def __init__(self, connection: Connection, tracer: Tracer, begin: str = BEGIN) -> None:
        super().__init__(connection, connection.sql, begin)
        self._tracer = tracer

    async def fetch(self, *statements: Statement, **values: Any) -> list[Row]:
        """Run statements in this order, and return the rows of the last."""
        start = time.time_ns()
        try:
            return await super().fetch(*statements, **values)
        finally:
            self._record(start, *(each.name for each in statements))

    async def finish(self, *statements: Statement, **values: Any) -> None:
        """Run the last statements, and commit."""
        start = time.time_ns()
        try:
            await super().finish(*statements, **values)
        finally:
            self._record(start, *(each.name for each in statements), COMMIT)

    async def commit(self) -> None:
        """Commit, unless that is done or nothing was sent."""
        start = time.time_ns()
        is_open = not self.over
        await super().commit()
        if is_open:
            self._record(start, COMMIT)

    def _record(self, start: int, *names: str) -> None:
        self._tracer.record(", ".join(names), self._tracer.context(), start, calls=1)


@dataclass(slots=True)
class Passage:
    """A call on its way through a queue and a group."""

    context: Any
    start: int
    size: int = 0


class TracedGroups(Groups):
    """Records how long each call waits for its group, and how long its group takes."""

    def __init__(self, pool: Pool, tracer: Tracer) -> None:
        super().__init__(pool)
        self._tracer = tracer

    def _queue_of(self, statement: Statement) -> CallQueue:
        return TracedCallQueue(self.pool, statement, self._tracer)


class TracedCallQueue(CallQueue):
    """Records the passages of its calls."""

    def __init__(self, pool: Pool, statement: Statement, tracer: Tracer) -> None:
        super().__init__(pool, statement)
        self._tracer = tracer
        self._passages: dict[Call, Passage] = {}

    def add(self, arguments: bytes, owner: int) -> Call:
        """Queue one call."""
        call = super().add(arguments, owner)
        self._passages[call] = Passage(self._tracer.context(), time.time_ns())
        call.result.add_done_callback(partial(self._leave, call))
        return call

    def _send_on(self, connection: Connection, calls: list[Call]) -> None:
        super()._send_on(connection, calls)
        for call in calls:
            passage = self._passages[call]
            self._tracer.record(QUEUE, passage.context, passage.start)
            passage.start, passage.size = time.time_ns(), len(calls)

    def _leave(self, call: Call, _: "asyncio.Future[Document]") -> None:
        passage = self._passages.pop(call)
        name = self._statement.name if passage.size else QUEUE
        self._tracer.record(name, passage.context, passage.start, calls=passage.size)
