"""Calls that share a round trip to the database and a commit, and nothing else."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import psycopg2
import pytest
from psycopg2.extensions import connection

from db.errors import ConnectionLost, DatabaseAway, Overloaded, StatementTimedOut
from db.postgres import group_commit as groups
from db.postgres.group import Call
from db.postgres.group_commit import READS, WRITES, Groups
from db.postgres.pool import Pool
from db.postgres.statement import Statement
from tests.pool.scenes import (
    COUNT,
    COUNT_ON,
    MOMENT,
    NAP,
    NOTE,
    NOTE_LATE,
    NOTE_UNLESS_IT_STUMBLES,
    PROMPT,
    SAY,
    SAY_LATE,
    Observer,
    abandoned,
    eventually,
    on_both_loops,
    pool_of,
    prompt_results,
    running,
)
from tests.support.databases import as_owner

LARGE = 1_000_000
COMMIT_FAILS = "refused by the commit"

Fetch = Callable[..., Any]


@asynccontextmanager
async def groups_of(size: int, url: str, **options: Any) -> AsyncIterator[tuple[Fetch, Pool]]:
    """A function that runs a statement for the user with a number, and the pool that it uses."""
    async with pool_of(size, url, **options) as pool:
        shared = Groups(pool)

        def fetch(statement: Statement, user: int = 1, **values: Any) -> Any:
            return shared.fetch(statement, {"user_id": UUID(int=user), **values})

        yield fetch, pool


@pytest.fixture
def groups_count_to_their_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A queued call waits for the running group until it ends, however long that takes."""
    monkeypatch.setattr(groups, "COUNTED_SECONDS", 10)


def transactions(results: list[list[Any]]) -> set[tuple[int, str]]:
    """The connections and transactions in which the calls ran."""
    return {(pid, moment) for _, _, pid, moment in results}


@on_both_loops
async def test_concurrent_calls_run_in_one_transaction(url: str) -> None:
    async with groups_of(3, url) as (fetch, _):
        results = await asyncio.gather(
            *(fetch(SAY, text=str(number)) for number in range(READS.most))
        )

    assert [text for text, *_ in results] == [str(number) for number in range(READS.most)]
    assert len(transactions(results)) == 1


@on_both_loops
async def test_each_call_of_a_group_runs_for_its_own_user(url: str) -> None:
    async with groups_of(3, url) as (fetch, _):
        users = [5, 3, 4, 5]
        results = await asyncio.gather(*(fetch(SAY, user, text="x") for user in users))

    assert [UUID(owner).int for _, owner, *_ in results] == users


@on_both_loops
async def test_calls_that_wait_for_a_connection_run_in_full_groups(url: str) -> None:
    async with groups_of(1, url) as (fetch, pool):
        busy = asyncio.ensure_future(pool.fetch(NAP, seconds=0.3))
        await asyncio.sleep(MOMENT)
        waiting = [asyncio.ensure_future(fetch(SAY, text="x")) for _ in range(READS.most)]
        await asyncio.sleep(MOMENT)
        waiting += [asyncio.ensure_future(fetch(SAY, text="x")) for _ in range(READS.most + 1)]

        results = await asyncio.gather(*waiting)
        await busy

    assert len(transactions(results)) == 3


@pytest.mark.usefixtures("groups_count_to_their_end")
@on_both_loops
async def test_writes_wait_for_the_running_group_and_form_the_next_one(
    url: str, server: Observer
) -> None:
    async with groups_of(3, url) as (fetch, _):
        calls = []
        for text, seconds in [("first", 1), ("second", 0), ("third", 0)]:
            calls.append(asyncio.ensure_future(fetch(NOTE_LATE, text=text, seconds=seconds)))
            await asyncio.sleep(MOMENT)

        assert not any(each.done() for each in calls)
        await asyncio.gather(*calls)

    first, second, third = server.ask("SELECT xmin FROM notes ORDER BY text")
    assert first != second == third


@pytest.mark.usefixtures("groups_count_to_their_end")
@on_both_loops
async def test_a_full_group_does_not_wait_for_the_running_one(url: str) -> None:
    async with groups_of(2, url) as (fetch, _):
        first = asyncio.ensure_future(fetch(NOTE_LATE, text="first", seconds=30))
        await asyncio.sleep(MOMENT)

        calls = (fetch(NOTE_LATE, 2, text="x", seconds=0) for _ in range(WRITES.most))
        await asyncio.gather(*calls)

        assert not first.done()
        first.cancel()


@on_both_loops
async def test_a_call_runs_while_an_earlier_group_waits_for_a_lock(
    url: str, lock: connection
) -> None:
    async with groups_of(2, url) as (fetch, _):
        locked = asyncio.ensure_future(fetch(COUNT_ON, text="locked"))
        await asyncio.sleep(MOMENT)

        assert await asyncio.wait_for(fetch(COUNT_ON, 2, text="free"), PROMPT) == 1
        assert not locked.done()
        lock.rollback()
        assert await asyncio.wait_for(locked, PROMPT) == 1


@on_both_loops
async def test_without_prepared_statements_each_call_is_a_transaction_of_its_own(url: str) -> None:
    async with groups_of(1, url, prepare=False) as (fetch, _):
        results = await asyncio.gather(*(fetch(SAY, text=text) for text in "abc"))

    assert [text for text, *_ in results] == ["a", "b", "c"]
    assert len(transactions(results)) == 3


@pytest.mark.parametrize(
    "obstacle",
    [
        "REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC",
        # as on a standby
        "ALTER ROLE errand_app IN DATABASE {database} SET default_transaction_read_only = on",
        "REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC",
    ],
)
@on_both_loops
async def test_where_no_function_can_be_created_each_call_is_a_transaction_of_its_own(
    new_notes: Callable[[], str], obstacle: str
) -> None:
    url = new_notes()
    owner = Observer(as_owner(url))
    [database] = owner.ask("SELECT quote_ident(current_database())")
    owner.ask(obstacle.format(database=database))
    async with groups_of(1, url) as (fetch, _):
        results = await asyncio.gather(*(fetch(SAY, text=text) for text in "abc"))

    assert [text for text, *_ in results] == ["a", "b", "c"]
    assert len(transactions(results)) == 3


@on_both_loops
async def test_a_group_may_be_larger_than_a_socket_buffer(url: str) -> None:
    async with groups_of(1, url) as (fetch, _):
        results = await asyncio.gather(*(fetch(SAY, text="x" * LARGE) for _ in range(READS.most)))

    assert {len(text) for text, *_ in results} == {LARGE}


@on_both_loops
async def test_nothing_is_written_twice_when_a_group_fails(url: str, server: Observer) -> None:
    async with groups_of(2, url) as (fetch, _):
        await asyncio.gather(
            fetch(NOTE_UNLESS_IT_STUMBLES, text="before", code="22000", times=0),
            fetch(NOTE_UNLESS_IT_STUMBLES, text="stumbles", code="22000", times=2),
            fetch(NOTE_UNLESS_IT_STUMBLES, text="behind", code="22000", times=0),
        )

    assert server.ask("SELECT last_value FROM stumbles") == [5]
    assert [server.written(text) for text in ("before", "stumbles", "behind")] == [1, 1, 1]


@on_both_loops
async def test_a_call_whose_statement_fails_fails_alone(url: str, server: Observer) -> None:
    async with groups_of(2, url) as (fetch, _):
        before, failed, behind = await asyncio.gather(
            fetch(NOTE_UNLESS_IT_STUMBLES, text="before", code="22000", times=0),
            fetch(NOTE_UNLESS_IT_STUMBLES, text="stumbles", code="22000", times=99),
            fetch(NOTE_UNLESS_IT_STUMBLES, text="behind", code="22000", times=0),
            return_exceptions=True,
        )
        assert await fetch(NOTE, text="later") == "later"

    assert (before, behind) == ("before", "behind")
    assert isinstance(failed, psycopg2.Error)
    assert failed.pgcode == "22000"
    assert [server.written(text) for text in ("before", "stumbles", "behind")] == [1, 0, 1]


@on_both_loops
async def test_a_call_that_the_commit_refuses_fails_alone(url: str, server: Observer) -> None:
    async with groups_of(1, url) as (fetch, _):
        failed, done = await asyncio.gather(
            fetch(NOTE, text=COMMIT_FAILS), fetch(NOTE, text="done"), return_exceptions=True
        )
        assert await fetch(NOTE, text="later") == "later"

    assert isinstance(failed, psycopg2.Error)
    assert done == "done"
    assert [server.written(text) for text in (COMMIT_FAILS, "done")] == [0, 1]


@pytest.mark.parametrize("unfit", ["cut\0off", "\ud800"], ids=["NUL", "half a pair"])
@on_both_loops
async def test_a_call_that_cannot_be_sent_fails_alone(url: str, unfit: str) -> None:
    async with groups_of(1, url) as (fetch, pool):
        whole = asyncio.ensure_future(fetch(SAY, text="whole"))

        with pytest.raises((ValueError, TypeError)):
            await fetch(SAY, text=unfit)
        assert (await whole)[0] == "whole"
        assert pool._free


@on_both_loops
async def test_a_call_that_waits_for_a_lock_does_not_delay_the_rest_of_its_group(
    url: str, lock: connection
) -> None:
    async with groups_of(2, url) as (fetch, _):
        locked = asyncio.ensure_future(fetch(COUNT_ON, text="locked"))
        free = asyncio.ensure_future(fetch(COUNT_ON, 2, text="free"))

        assert await asyncio.wait_for(free, PROMPT) == 1
        assert not locked.done()
        lock.rollback()
        assert await asyncio.wait_for(locked, PROMPT) == 1


@on_both_loops
async def test_a_read_does_not_wait_for_a_group_of_writes(url: str) -> None:
    async with groups_of(2, url) as (fetch, _):
        writing = asyncio.ensure_future(fetch(NOTE_LATE, text="x", seconds=30))
        reading = asyncio.ensure_future(fetch(SAY, text="x"))

        await reading
        assert not writing.done()
        writing.cancel()


@on_both_loops
async def test_a_group_is_cancelled_when_the_callers_of_all_its_calls_are(
    url: str, server: Observer
) -> None:
    async with groups_of(1, url) as (fetch, pool):
        calls = [fetch(NOTE_LATE, text=text, seconds=30) for text in ("one", "other")]
        await asyncio.gather(*map(abandoned, calls))

        await eventually(lambda: len(pool._free) == 1)
        assert await fetch(NOTE, text="later") == "later"

    assert [server.written(text) for text in ("one", "other")] == [0, 0]


@on_both_loops
async def test_a_cancelled_caller_does_not_cancel_the_rest_of_the_group(
    url: str, server: Observer
) -> None:
    async with groups_of(1, url) as (fetch, _):
        staying = asyncio.ensure_future(fetch(NOTE_LATE, text="stays", seconds=0.2))
        await abandoned(fetch(NOTE, text="goes"))

        assert await staying == "stays"

    assert server.written("stays") == 1


@pytest.mark.usefixtures("groups_count_to_their_end")
@on_both_loops
async def test_a_queued_call_runs_although_the_calls_around_it_are_cancelled(
    url: str, server: Observer
) -> None:
    async with groups_of(1, url) as (fetch, _):
        first = asyncio.ensure_future(fetch(NOTE_LATE, text="first", seconds=30))
        await asyncio.sleep(MOMENT)
        staying = asyncio.ensure_future(fetch(NOTE_LATE, text="stays", seconds=0))
        await abandoned(fetch(NOTE_LATE, text="goes", seconds=0))

        first.cancel()

        assert await asyncio.wait_for(staying, PROMPT) == "stays"

    assert [server.written(text) for text in ("first", "stays", "goes")] == [0, 1, 0]


@on_both_loops
async def test_a_call_that_is_cancelled_before_it_has_a_connection_does_not_run(
    url: str, server: Observer
) -> None:
    async with groups_of(1, url) as (fetch, pool):
        busy = asyncio.ensure_future(pool.fetch(NAP, seconds=1))
        await asyncio.sleep(MOMENT)
        await abandoned(fetch(NOTE, text="goes"))

        await busy
        assert await fetch(NOTE, text="later") == "later"

    assert server.written("goes") == 0


@on_both_loops
async def test_reads_whose_connection_breaks_run_again(url: str, server: Observer) -> None:
    async with groups_of(2, url) as (fetch, _):
        calls = [asyncio.ensure_future(fetch(SAY_LATE, text=text, seconds=0.5)) for text in "ab"]
        await running(server)
        server.kill("active")

        assert await asyncio.gather(*calls) == ["a", "b"]


@on_both_loops
async def test_writes_whose_connection_breaks_fail_as_uncertain(url: str, server: Observer) -> None:
    async with groups_of(2, url) as (fetch, _):
        calls = [asyncio.ensure_future(fetch(NOTE_LATE, text=text, seconds=5)) for text in "ab"]
        await running(server)
        server.kill("active")

        results = await asyncio.gather(*calls, return_exceptions=True)

    assert [type(each) for each in results] == [ConnectionLost, ConnectionLost]
    assert [server.written(text) for text in "ab"] == [0, 0]


@on_both_loops
async def test_calls_that_are_sent_on_a_broken_connection_get_a_result_or_an_error(
    url: str, server: Observer
) -> None:
    async with groups_of(1, url) as (fetch, _):
        server.kill()
        time.sleep(MOMENT)  # noqa: ASYNC251 - so that the pool cannot notice
        reading = [asyncio.ensure_future(fetch(SAY, text="x")) for _ in "ab"]
        writing = [fetch(NOTE, text=text) for text in "ab"]
        written = await asyncio.gather(*writing, return_exceptions=True)

        assert [text for text, *_ in await asyncio.gather(*reading)] == ["x", "x"]
    assert {type(each) for each in written} <= {str, ConnectionLost}
    assert [server.written(text) for text in "ab"] == [each in ("a", "b") for each in written]


@on_both_loops
async def test_a_read_that_times_out_fails_alone(url: str) -> None:
    async with groups_of(2, url, timeout=0.4) as (fetch, _):
        quick, endless, other = await asyncio.gather(
            fetch(SAY_LATE, text="quick", seconds=0),
            fetch(SAY_LATE, text="endless", seconds=30),
            fetch(SAY_LATE, text="other", seconds=0),
            return_exceptions=True,
        )

    assert (quick, other) == ("quick", "other")
    assert isinstance(endless, StatementTimedOut)


@on_both_loops
async def test_calls_that_a_group_does_not_reach_in_time_run_later(
    url: str, server: Observer
) -> None:
    async with groups_of(2, url, timeout=0.4) as (fetch, _):
        noted = await asyncio.gather(
            *(fetch(NOTE_LATE, text=f"{number:02}", seconds=0.002) for number in range(WRITES.most))
        )

    assert noted == [f"{number:02}" for number in range(WRITES.most)]
    assert server.ask("SELECT text FROM notes ORDER BY text") == noted
    assert 1 < server.ask("SELECT count(DISTINCT xmin::text) FROM notes")[0] < WRITES.most


@on_both_loops
async def test_a_call_that_takes_too_long_is_cancelled(url: str) -> None:
    async with groups_of(1, url, timeout=0.2) as (fetch, pool):
        with pytest.raises(StatementTimedOut):
            await asyncio.wait_for(fetch(SAY_LATE, text="x", seconds=30), PROMPT)

        await eventually(lambda: len(pool._free) == 1)
        assert await fetch(SAY_LATE, text="x", seconds=0) == "x"


@on_both_loops
async def test_each_call_has_its_own_deadline_for_a_connection(url: str, lock: connection) -> None:
    async with groups_of(1, url, wait=1) as (fetch, pool):
        busy = asyncio.ensure_future(pool.fetch(COUNT, text="locked"))
        await asyncio.sleep(MOMENT)
        early = asyncio.ensure_future(fetch(SAY, text="early"))
        await asyncio.sleep(0.8)
        late = asyncio.ensure_future(fetch(SAY, text="late"))

        with pytest.raises(Overloaded, match="within 1 s"):
            await early
        lock.rollback()
        assert (await late)[0] == "late"
        await busy


@on_both_loops
async def test_all_calls_whose_wait_times_out_fail_at_once(url: str) -> None:
    async with groups_of(1, url, wait=0.3) as (fetch, pool):
        busy = asyncio.ensure_future(pool.fetch(NAP, seconds=30))
        await asyncio.sleep(MOMENT)
        calls = [fetch(SAY, text="x") for _ in range(3 * READS.most)]

        results = await prompt_results(calls)

        assert {type(each) for each in results} == {Overloaded}
        busy.cancel()


@on_both_loops
async def test_a_later_statement_waits_behind_the_queued_groups(url: str) -> None:
    async with groups_of(1, url) as (fetch, pool):
        busy = asyncio.ensure_future(pool.fetch(NAP, seconds=0.3))
        await asyncio.sleep(MOMENT)
        first = [asyncio.ensure_future(fetch(SAY, text="x")) for _ in range(3 * READS.most)]
        await asyncio.sleep(MOMENT)
        later = asyncio.ensure_future(pool.fetch(NAP, seconds=0.1))

        await asyncio.gather(*first)

        assert not later.done()
        await asyncio.gather(busy, later)


@on_both_loops
async def test_results_are_freed_without_a_garbage_collection(url: str) -> None:
    gc.disable()
    try:
        async with groups_of(1, url) as (fetch, _):
            await asyncio.gather(*(fetch(SAY, text="let go") for _ in range(3)))

            calls = [each for each in gc.get_objects() if isinstance(each, Call)]
            assert not [each for each in calls if b"let go" in each.arguments]
    finally:
        gc.enable()


@on_both_loops
async def test_a_pool_closes_promptly_with_groups_running(url: str) -> None:
    async with groups_of(1, url) as (fetch, _):
        calls = [asyncio.ensure_future(fetch(NOTE_LATE, text="x", seconds=30)) for _ in "ab"]
        await asyncio.sleep(MOMENT)
        calls += [asyncio.ensure_future(fetch(SAY, text="x")) for _ in "ab"]
        await asyncio.sleep(MOMENT)
        start = time.monotonic()

    results = await prompt_results(calls)
    assert time.monotonic() - start < PROMPT
    assert [type(each) for each in results] == [*[ConnectionLost] * 2, *[DatabaseAway] * 2]


@pytest.mark.usefixtures("groups_count_to_their_end")
@on_both_loops
async def test_a_pool_closes_promptly_with_queued_calls(url: str) -> None:
    async with groups_of(2, url) as (fetch, _):
        calls = [asyncio.ensure_future(fetch(NOTE_LATE, text="x", seconds=30))]
        await asyncio.sleep(MOMENT)
        calls += [asyncio.ensure_future(fetch(NOTE_LATE, text="x", seconds=0)) for _ in "ab"]
        await asyncio.sleep(MOMENT)
        start = time.monotonic()

    results = await prompt_results(calls)
    assert time.monotonic() - start < PROMPT
    assert [type(each) for each in results] == [ConnectionLost, DatabaseAway, DatabaseAway]
