"""Writes of one owner run one after the other; a write that waits holds no connection."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from psycopg2.extensions import connection

from db.errors import ConnectionLost, DatabaseAway, Overloaded
from db.postgres.group_commit import Groups
from db.postgres.pool import Pool
from db.postgres.statement import Statement
from tests.pool.scenes import (
    COUNT_ON,
    MOMENT,
    NOTE,
    NOTE_LATE,
    PROMPT,
    SAY,
    WRITE,
    Observer,
    abandoned,
    eventually,
    in_both_modes,
    on_both_loops,
    pool_of,
    prompt_results,
)

OWNER, OTHER = UUID(int=1), UUID(int=2)
WAITING = (
    "SELECT pid FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
)

Fetch = Callable[..., Any]


@asynccontextmanager
async def groups_of(size: int, url: str, **options: Any) -> AsyncIterator[tuple[Fetch, Pool]]:
    """What runs a statement for an owner, and the pool beneath."""
    async with pool_of(size, url, **options) as pool:
        groups = Groups(pool)

        def fetch(statement: Statement, owner: UUID, **values: Any) -> Any:
            return groups.fetch(statement, {"user_id": owner, **values})

        yield fetch, pool


@in_both_modes
@on_both_loops
async def test_an_owner_whose_row_is_locked_holds_one_connection(
    url: str, server: Observer, lock: connection, prepare: bool
) -> None:
    async with groups_of(2, url, prepare=prepare) as (fetch, _):
        blocked = [asyncio.ensure_future(fetch(COUNT_ON, OWNER, text="locked")) for _ in range(16)]
        await asyncio.sleep(0.5)

        assert len(server.ask(WAITING)) == 1
        for _ in range(20):
            assert (await asyncio.wait_for(fetch(SAY, OWNER, text="x"), PROMPT))[0] == "x"
            assert await asyncio.wait_for(fetch(COUNT_ON, OTHER, text="free"), PROMPT)
        assert len(server.ask(WAITING)) == 1
        assert not any(each.done() for each in blocked)

        lock.rollback()
        assert sorted(await asyncio.gather(*blocked)) == list(range(1, 17))


@on_both_loops
async def test_calls_that_wait_for_the_owners_lock_go_as_one_group(
    url: str, server: Observer
) -> None:
    async with groups_of(4, url) as (fetch, _):
        first = asyncio.ensure_future(fetch(NOTE_LATE, OWNER, text="first", seconds=0.3))
        await asyncio.sleep(MOMENT)
        await asyncio.gather(*(fetch(NOTE, OWNER, text=f"next {number}") for number in range(40)))

        assert first.done()
    assert server.ask("SELECT count(DISTINCT xmin::text) FROM notes") == [2]


@on_both_loops
async def test_statements_and_transactions_get_the_owners_lock_in_the_order_of_their_arrival(
    url: str, server: Observer
) -> None:
    async with groups_of(4, url) as (fetch, pool):
        written: list[str] = []

        async def write(text: str) -> None:
            await fetch(NOTE, OWNER, text=text)
            written.append(text)

        async def transact(text: str) -> None:
            async with pool.transaction(OWNER) as transaction:
                await transaction.fetch(WRITE, text=text)
                await asyncio.sleep(MOMENT)
                await transaction.fetch(WRITE, text=text)
            written.append(text)

        works = [transact("a"), write("b"), transact("c"), transact("d"), write("with b")]
        async with asyncio.TaskGroup() as group, pool.owner_locks.hold(OWNER.int, pool.deadline()):
            for work in works:
                group.create_task(work)
                await asyncio.sleep(MOMENT)
            assert written == []

    assert written == ["a", "b", "with b", "c", "d"]


@on_both_loops
async def test_a_transaction_waits_for_the_owners_lock_without_a_connection(
    url: str, server: Observer
) -> None:
    async with groups_of(2, url) as (fetch, pool):

        async def transact() -> None:
            async with pool.transaction(OWNER) as transaction:
                await transaction.fetch(WRITE, text="x")

        async with pool.transaction(OWNER) as transaction:
            await transaction.fetch(WRITE, text="x")
            waiting = [asyncio.ensure_future(transact()) for _ in range(8)]
            await asyncio.sleep(MOMENT)

            assert await asyncio.wait_for(fetch(NOTE, OTHER, text="other"), PROMPT) == "other"
        await asyncio.gather(*waiting)
    assert server.written("x") == 9


@in_both_modes
@on_both_loops
async def test_a_write_that_gets_no_lock_in_time_fails_as_overloaded(
    url: str, lock: connection, prepare: bool
) -> None:
    async with groups_of(2, url, wait=0.3, prepare=prepare) as (fetch, pool):
        first = asyncio.ensure_future(fetch(COUNT_ON, OWNER, text="locked"))
        await asyncio.sleep(MOMENT)
        calls = [fetch(COUNT_ON, OWNER, text="locked") for _ in range(8)]

        for result in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(result, Overloaded)
            assert "within 0.3 s" in str(result)
        with pytest.raises(Overloaded, match="Another change"):
            async with pool.transaction(OWNER):
                pass

        lock.rollback()
        assert await first == 1
        assert await fetch(COUNT_ON, OWNER, text="locked") == 2


@on_both_loops
async def test_cancelled_writes_release_the_owners_lock(url: str) -> None:
    async with groups_of(2, url) as (fetch, pool):

        async def transact() -> None:
            async with pool.transaction(OWNER) as transaction:
                await transaction.fetch(WRITE, text="x")

        for _ in range(40):
            tasks = [
                asyncio.ensure_future(work)
                for _ in range(6)
                for work in (fetch(NOTE, OWNER, text="x"), transact())
            ]
            await asyncio.sleep(random.uniform(0, 0.002))
            for task in random.sample(tasks, 6):
                task.cancel()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                assert result in ("x", None) or isinstance(result, asyncio.CancelledError)

        assert await asyncio.wait_for(fetch(NOTE, OWNER, text="last"), PROMPT) == "last"
        await eventually(lambda: not pool.owner_locks._waiters)


@on_both_loops
async def test_no_lock_is_lost_if_a_wait_times_out_as_the_lock_is_granted(url: str) -> None:
    async with groups_of(1, url, wait=0.1) as (fetch, pool):
        for _ in range(6):
            calls = [fetch(NOTE_LATE, OWNER, text="x", seconds=0.01) for _ in range(30)]
            for result in await asyncio.gather(*calls, return_exceptions=True):
                assert result == "x" or isinstance(result, Overloaded)

        assert await fetch(NOTE_LATE, OWNER, text="x", seconds=0) == "x"
        await eventually(lambda: not pool.owner_locks._waiters)


@on_both_loops
async def test_the_lock_of_a_cancelled_call_goes_to_the_next_write(
    url: str, server: Observer
) -> None:
    async with groups_of(1, url) as (fetch, _):
        first = asyncio.ensure_future(fetch(NOTE_LATE, OWNER, text="first", seconds=1))
        await asyncio.sleep(MOMENT)
        await abandoned(fetch(NOTE, OWNER, text="gone"))

        following = fetch(NOTE_LATE, OWNER, text="next", seconds=0)
        assert await asyncio.wait_for(following, PROMPT) == "next"
        await first
    assert server.written("gone") == 0


@on_both_loops
async def test_a_pool_that_closes_fails_the_writes_that_wait_for_a_lock(url: str) -> None:
    async with groups_of(2, url) as (fetch, pool):
        works = []
        for work in (
            fetch(NOTE_LATE, OWNER, text="x", seconds=30),
            fetch(NOTE, OWNER, text="x"),
            pool.fetch(NOTE, user_id=OWNER, text="x"),
        ):
            works.append(asyncio.ensure_future(work))
            await asyncio.sleep(MOMENT)

    results = await prompt_results(works)
    assert [type(each) for each in results] == [ConnectionLost, DatabaseAway, DatabaseAway]
