"""The pool on a good day: fair, and faithful to what it is given."""

import asyncio
import random
from uuid import uuid4

import pytest
from sqlalchemy import (
    Integer,
    literal_column,
    select,
)

from db.errors import DatabaseAway, Overloaded
from db.postgres.statement import Access, Statement
from db.schema.clauses import BRIEF_COLUMNS
from db.schema.fields import DEFAULTS
from db.tasks import creating, statements
from tests.pool.scenes import (
    ECHO,
    FAR_FUTURE,
    MOMENT,
    NAP,
    PROMPT,
    WHO,
    WRITE,
    Observer,
    in_both_modes,
    on_both_loops,
    pool_of,
    running,
)
from tests.support.network import Network


@on_both_loops
async def test_it_runs_as_many_statements_at_once_as_it_has_connections(
    url: str, server: Observer
) -> None:
    async with pool_of(3, url) as pool:
        requests = [asyncio.ensure_future(pool.fetch(NAP, seconds=0.5)) for _ in range(4)]

        assert len(await running(server, 3)) == 3

        rows = await asyncio.gather(*requests)
        assert len({pid for [(pid, _)] in rows}) == 3


@on_both_loops
async def test_the_request_that_has_waited_longest_gets_the_connection(url: str) -> None:
    async with pool_of(1, url) as pool:
        served: list[int] = []

        async def queue(number: int) -> None:
            await pool.fetch(WHO)
            served.append(number)

        await asyncio.gather(*(queue(number) for number in range(20)))

        assert served == list(range(20))


@in_both_modes
@on_both_loops
async def test_text_arrives_unchanged(url: str, prepare: bool) -> None:
    text = "'; -- \" \\ \\' %s %% %(text)s $1 $$ ? :x 😀 👩‍👩‍👧 \r\n\t\x01 \\N E'\\n'"
    async with pool_of(1, url, prepare=prepare) as pool:
        assert await pool.fetch(ECHO, text=text) == [(text,)]
        assert await pool.fetch(WRITE, text=text) == [(text,)]


@in_both_modes
@on_both_loops
async def test_a_statement_may_be_larger_than_a_socket_buffer(
    network: Network, prepare: bool
) -> None:
    async with pool_of(1, network.url, prepare=prepare) as pool:
        for size in (8_000, 8_192, 9_000, 1_000_000, 10_000_000):
            text = "é" * (size // 2)
            assert await pool.fetch(ECHO, text=text) == [(text,)]


@on_both_loops
async def test_without_preparing_nothing_is_left_in_the_server(url: str) -> None:
    left = literal_column("(SELECT count(*) FROM pg_prepared_statements)", Integer)
    prepared = Statement("left_behind", select(left.label("count")), Access.READ)
    async with pool_of(1, url, prepare=False) as pool:
        await pool.fetch(ECHO, text="anything")

        assert await pool.fetch(prepared) == [(0,)]


@on_both_loops
async def test_two_changes_at_the_same_microsecond_differ_in_their_time(
    url: str, server: Observer
) -> None:
    user, task = uuid4(), uuid4()
    fields = {**DEFAULTS, "title": "Buy milk", "tag_keys": None, "max_tasks": 1}
    async with pool_of(1, url) as pool:
        await pool.fetch(creating.CREATE_WITH_USER, user_id=user, id=task, **fields)
        server.ask("UPDATE users SET changed_at = '2999-01-01' WHERE id = %s", str(user))

        first = await pool.fetch(statements.TOGGLE, user_id=user, task_id=task, expected=None)
        second = await pool.fetch(statements.TOGGLE, user_id=user, task_id=task, expected=None)

    assert first[0][0][BRIEF_COLUMNS.index("updated_at")] == "2999-01-01T00:00:00.000001Z"
    assert second[0][0][BRIEF_COLUMNS.index("updated_at")] == "2999-01-01T00:00:00.000002Z"


@on_both_loops
async def test_a_value_that_python_cannot_hold_fails_at_once(url: str) -> None:
    async with pool_of(1, url) as pool:
        with pytest.raises(ValueError, match="year"):
            await asyncio.wait_for(pool.fetch(FAR_FUTURE), PROMPT)

        assert await pool.fetch(ECHO, text="still here") == [("still here",)]


# Waiting


@on_both_loops
async def test_a_wait_ends_with_its_seconds_in_the_message(url: str) -> None:
    async with pool_of(1, url, wait=0.2) as pool:
        nap = asyncio.ensure_future(pool.fetch(NAP, seconds=0.5))
        await asyncio.sleep(0)

        with pytest.raises(Overloaded, match=r"within 0\.2 s"):
            await pool.fetch(WHO)

        assert await nap


@on_both_loops
async def test_no_connection_is_lost_to_waits_that_end_as_it_comes(url: str) -> None:
    async with pool_of(2, url, wait=0.004) as pool:
        for _ in range(60):
            naps = (pool.fetch(NAP, seconds=random.uniform(0.002, 0.006)) for _ in range(6))
            results = await asyncio.gather(*naps, return_exceptions=True)
            assert all(isinstance(each, list | Overloaded) for each in results)

        pids = await asyncio.gather(*(pool.fetch(NAP, seconds=MOMENT) for _ in range(2)))
        assert len({pid for [(pid, _)] in pids}) == 2


@on_both_loops
async def test_no_connection_is_lost_to_waiters_that_are_cancelled(url: str) -> None:
    async with pool_of(2, url) as pool:
        for _ in range(60):
            tasks = [asyncio.ensure_future(pool.fetch(WHO)) for _ in range(12)]
            await asyncio.sleep(random.uniform(0, 0.0008))
            for task in random.sample(tasks, 6):
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(each, list | asyncio.CancelledError) for each in results)

        assert len(await asyncio.gather(*(pool.fetch(WHO) for _ in range(10)))) == 10


@on_both_loops
async def test_an_outage_leaves_no_waiters_behind(network: Network) -> None:
    async with pool_of(1, network.url, wait=0.05) as pool:
        network.go_down()
        await asyncio.sleep(MOMENT)

        waits = (pool.fetch(WHO) for _ in range(100))
        results = await asyncio.gather(*waits, return_exceptions=True)

        assert all(isinstance(each, DatabaseAway) for each in results)
        assert not pool._queue._waiters
