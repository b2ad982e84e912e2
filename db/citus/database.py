"""A database on a Citus cluster: each call goes to the node that has the owner's shard."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any, Self, TypeVar
from uuid import UUID

from sqlalchemy import Integer, bindparam, func, select

from db.citus.nodes import Node, options_of
from db.citus.shards import PLACEMENTS, Address, Placement, Shard, ShardMap
from db.database import Database, Part
from db.errors import DatabaseAway, ShardMoved, Unavailable
from db.owner import OWNER
from db.postgres.activity import PoolState
from db.postgres.connection import Row
from db.postgres.group import Document
from db.postgres.pool import Pool
from db.postgres.pool_options import PoolOptions
from db.postgres.statement import Access, Statement
from db.postgres.tracing import Tracer
from db.postgres.transaction import Transaction

Result = TypeVar("Result")

PAUSE = 0.05
"""Seconds between two looks at the metadata, while a shard is being moved."""

# The first statement of a transaction: it keeps the shard where it is until the end.
HOLD = Statement(
    "hold_shard", select(func.errand_hold(bindparam("shard", type_=Integer))), Access.LOCK
)


class ShardPart:
    """Runs statements about no single owner on one shard."""

    def __init__(self, shard: Shard, pool: Pool) -> None:
        self._shard = shard
        self._pool = pool

    async def fetch(self, statement: Statement, /, **values: Any) -> list[Row]:
        """Run a statement as its own transaction, and return its rows."""
        return await self._pool.fetch(self._shard.statement(statement), **values)


class CitusDatabase(Database):
    """Runs each statement on the node that has the rows of its owner.

    Every call holds the owner's shard where it is. If it has been moved, the call is run again on
    its new node. What is about no owner runs in the database of the URL. It is open inside
    `async with`.
    """

    def __init__(
        self, options: PoolOptions, _: Sequence[Statement] = (), tracer: Tracer | None = None
    ) -> None:
        """Statements are prepared on demand: those of a catalogue would be prepared per shard."""
        self._options = replace(options, is_distributed=True)
        super().__init__(replace(self._options, size=1), (), tracer)
        self._tracer = tracer
        self._shards: ShardMap | None = None
        self._nodes: dict[Address, Node] = {}
        self._reading: asyncio.Task[ShardMap] | None = None

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        with suppress(Unavailable):  # the first call tries again
            await self._read_shards()
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._reading:
            self._reading.cancel()
        await asyncio.gather(*(each.pool.close() for each in self._nodes.values()))
        await super().__aexit__(*error)

    async def ping(self) -> None:
        """Return if any node responds: each serves its own users, whatever the others do."""
        pings = [super().ping(), *(each.ping.ping() for each in self._nodes.values())]
        tasks = [asyncio.create_task(each) for each in pings]
        try:
            for each in asyncio.as_completed(tasks):
                with suppress(Unavailable):
                    return await each
            raise DatabaseAway("No node of the database responds.")
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def state(self) -> PoolState:
        """Its connections to all nodes, and what waits for one, at this moment."""
        states = [super().state(), *(each.pool.state() for each in self._nodes.values())]
        idle, busy, waiting, ages = zip(*states, strict=True)
        return PoolState(sum(idle), sum(busy), sum(waiting), max(ages))

    def fetch(self, statement: Statement, /, **values: Any) -> Coroutine[Any, Any, list[Row]]:
        """Run one statement as its own transaction, and return its rows."""
        if not statement.has_owner:
            return self._fetch_anywhere(statement, **values)

        def fetch_on(shard: Shard, node: Node) -> Awaitable[list[Row]]:
            return node.pool.fetch(shard.statement(statement), **values)

        rows = self._routed(values[OWNER], fetch_on)
        return self._observed(rows, values[OWNER]) if statement.changes_user_data else rows

    def fetch_document(
        self, statement: Statement, /, **values: Any
    ) -> Coroutine[Any, Any, Document]:
        """The same, of a statement about one user that returns one JSON document or none."""

        def fetch_on(shard: Shard, node: Node) -> Awaitable[Document]:
            return node.fetch_document(statement, values, shard)

        document = self._routed(values[OWNER], fetch_on)
        if statement.access is Access.READ:
            return document
        return self._observed(document, values[OWNER])

    @asynccontextmanager
    async def transaction(self, owner: UUID, /) -> AsyncIterator[Transaction]:
        """Statements on one connection that take effect together, or not at all."""
        async with AsyncExitStack() as stack:
            begin = partial(Pool.transaction, owner=owner)
            transaction = await self._routed(owner, partial(self._begun, stack, begin))
            yield transaction
        for user_id in transaction.changed_users:
            self._notify(user_id)

    @asynccontextmanager
    async def snapshot(self, owner: UUID, /) -> AsyncIterator[Transaction]:
        """Statements that all read the owner's data as they were at the first of them."""
        async with AsyncExitStack() as stack:
            yield await self._routed(owner, partial(self._begun, stack, Pool.snapshot))

    async def parts(self) -> Sequence[Part]:
        """The shards."""
        return [self._part(shard) for shard in (await self._known_shards()).shards]

    async def parts_of(self, owners: Collection[UUID]) -> Sequence[tuple[Part, Collection[UUID]]]:
        """The shards that have the rows of these owners, each with those that it has."""
        shards = await self._known_shards()
        found: dict[Shard, list[UUID]] = {}
        for owner in owners:
            found.setdefault(shards.shard_of(owner), []).append(owner)
        return [(self._part(shard), its_owners) for shard, its_owners in found.items()]

    def _part(self, shard: Shard) -> ShardPart:
        return ShardPart(shard, self._nodes[shard.node].pool)

    async def _begun(
        self,
        stack: AsyncExitStack,
        begin: Callable[[Pool], AbstractAsyncContextManager[Transaction]],
        shard: Shard,
        node: Node,
    ) -> Transaction:
        """A transaction on the shard, which holds it; it ends with the stack."""
        async with AsyncExitStack() as attempt:
            transaction = await attempt.enter_async_context(begin(node.pool))
            await transaction.fetch(HOLD, shard=shard.number)
            transaction.redirect(shard.statement)
            await stack.enter_async_context(attempt.pop_all())
        return transaction

    async def _routed(self, owner: UUID, run: Callable[[Shard, Node], Awaitable[Result]]) -> Result:
        """Run it on the owner's shard; if that has moved, again within the statement timeout."""
        now = asyncio.get_running_loop().time
        deadline = now() + self._options.statement_timeout
        while True:
            shard = (self._shards or await self._read_shards()).shard_of(owner)
            try:
                return await run(shard, self._nodes[shard.node])
            except ShardMoved:
                if now() > deadline:
                    raise
                if (await self._read_shards()).shard_of(owner).node == shard.node:
                    await asyncio.sleep(PAUSE)
            except DatabaseAway:
                self._read_in_background()  # another host may have replaced the node
                raise

    async def _fetch_anywhere(self, statement: Statement, **values: Any) -> list[Row]:
        """The rows of the URL's database, or of another node: all have the same of no owner."""
        for pool in [self._pool, *(each.pool for each in self._nodes.values())]:
            try:
                return await pool.fetch(statement, **values)
            except DatabaseAway as error:
                away = error
        raise away

    async def _known_shards(self) -> ShardMap:
        return self._shards or await self._read_shards()

    async def _read_shards(self) -> ShardMap:
        """Where the shards are now; concurrent callers share one query."""
        return await asyncio.shield(self._read_in_background())

    def _read_in_background(self) -> "asyncio.Task[ShardMap]":
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
            self._reading.add_done_callback(_ignore_outcome)
        return self._reading

    async def _read(self) -> ShardMap:
        rows = await self._fetch_anywhere(PLACEMENTS)
        if not rows:
            raise DatabaseAway("The tables are not distributed over the nodes of the cluster.")
        shards = ShardMap(Placement(*row) for row in rows)
        for address in shards.nodes - self._nodes.keys():
            options = options_of(self._options, address)
            activity = self._pool.activity
            node = Node(options, activity, self._tracer, shards.tables)
            self._nodes[address] = node
            node.pool.open()
        for address, node in self._nodes.items():
            node.update(shards.shards_on(address))
        self._shards = shards
        for address in self._nodes.keys() - shards.nodes:
            await self._nodes.pop(address).pool.close()
        return shards


def _ignore_outcome(reading: "asyncio.Task[ShardMap]") -> None:
    """Read the exception, if no caller has done so."""
    if not reading.cancelled():
        reading.exception()
