"""Requests that share a trip to the database, and a commit, and nothing else."""

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
    COUNT_ON,
    MOMENT,
    NAP,
    NOTE,
    NOTE_LATE,
    NOTE_UNLESS_IT_STUMBLES,
    SAY,
    SAY_LATE,
    Observer,
    abandoned,
    eventually,
    on_both_loops,
    pool_of,
)
from tests.support.databases import as_owner

LARGE = 1_000_000
COMMIT_FAILS = "refused by the commit"

Fetch = Callable[..., Any]


@asynccontextmanager
async def groups_of(size: int, url: str, **options: Any) -> AsyncIterator[tuple[Fetch, Pool]]:
    """What asks for a statement on behalf of the user of that number, and the pool beneath."""
    async with pool_of(size, url, **options) as pool:
        shared = Groups(pool)

        def fetch(statement: Statement, user: int = 1, **values: Any) -> Any:
            return shared.fetch(statement, {"user_id": UUID(int=user), **values})

        yield fetch, pool


@pytest.fixture
def awaited_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for company waits for as long as those before them take."""
    monkeypatch.setattr(groups, "COUNTED_SECONDS", 10)


def transactions(said: list[list[Any]]) -> set[tuple[int, str]]:
    """In which connections and transactions these were said."""
    return {(pid, moment) for _, _, pid, moment in said}


@on_both_loops
async def test_what_comes_together_is_one_transaction(url: str) -> None:
    async with groups_of(3, url) as (fetch, _):
        said = await asyncio.gather(*(fetch(SAY, text=str(number)) for number in range(READS.most)))

    assert [text for text, *_ in said] == [str(number) for number in range(READS.most)]
    assert len(transactions(said)) == 1


@on_both_loops
async def test_each_is_done_for_its_own_user(url: str) -> None:
    async with groups_of(3, url) as (fetch, _):
        users = [5, 3, 4, 5]
        said = await asyncio.gather(*(fetch(SAY, user, text="x") for user in users))

    assert [UUID(owner).int for _, owner, *_ in said] == users


@on_both_loops
async def test_what_waits_for_a_connection_goes_together(url: str) -> None:
    async with groups_of(1, url) as (fetch, pool):
        busy = asyncio.ensure_future(pool.fetch(NAP, seconds=0.3))
        await asyncio.sleep(MOMENT)
        waiting = [asyncio.ensure_future(fetch(SAY, text="x")) for _ in range(READS.most)]
        await asyncio.sleep(MOMENT)
        waiting += [asyncio.ensure_future(fetch(SAY, text="x")) for _ in range(READS.most + 1)]

        said = await asyncio.gather(*waiting)
        await busy

    assert len(transactions(said)) == 3


@pytest.mark.usefixtures("awaited_to_the_end")
@on_both_loops
async def test_who_writes_waits_for_those_who_write_already_and_goes_with_others_who_do(
    url: str, server: Observer
) -> None:
    async with groups_of(3, url) as (fetch, _):
        asked = []
        for text, seconds in [("first", 0.6), ("second", 0), ("third", 0)]:
            asked.append(asyncio.ensure_future(fetch(NOTE_LATE, text=text, seconds=seconds)))
            await asyncio.sleep(MOMENT)

        assert not any(each.done() for each in asked)
        await asyncio.gather(*asked)

    first, second, third = server.ask("SELECT xmin FROM notes ORDER BY text")
    assert first != second == third


@pytest.mark.usefixtures("awaited_to_the_end")
@on_both_loops
async def test_a_full_group_waits_for_nobody(url: str) -> None:
    async with groups_of(2, url) as (fetch, _):
        first = asyncio.ensure_future(fetch(NOTE_LATE, text="first", seconds=1))
        await asyncio.sleep(MOMENT)

        calls = (fetch(NOTE_LATE, 2, text="x", seconds=0) for _ in range(WRITES.most))
        await asyncio.gather(*calls)

        assert not first.done()
        await first


@on_both_loops
async def test_nobody_waits_long_for_a_group_that_waits_for_a_lock(
    url: str, lock: connection
) -> None:
    async with groups_of(2, url) as (fetch, _):
        locked = asyncio.ensure_future(fetch(COUNT_ON, text="locked"))
        await asyncio.sleep(MOMENT)

        assert await asyncio.wait_for(fetch(COUNT_ON, 2, text="free"), 2) == 1
        assert not locked.done()
        lock.rollback()
        assert await asyncio.wait_for(locked, 2) == 1


@on_both_loops
async def test_without_prepared_statements_each_is_a_transaction_of_its_own(url: str) -> None:
    async with groups_of(1, url, prepare=False) as (fetch, _):
        said = await asyncio.gather(*(fetch(SAY, text=text) for text in "abc"))

    assert [text for text, *_ in said] == ["a", "b", "c"]
    assert len(transactions(said)) == 3


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
async def test_where_no_function_can_be_made_each_is_a_transaction_of_its_own(
    new_notes: Callable[[], str], obstacle: str
) -> None:
    url = new_notes()
    owner = Observer(as_owner(url))
    [database] = owner.ask("SELECT quote_ident(current_database())")
    owner.ask(obstacle.format(database=database))
    async with groups_of(1, url) as (fetch, _):
        said = await asyncio.gather(*(fetch(SAY, text=text) for text in "abc"))

    assert [text for text, *_ in said] == ["a", "b", "c"]
    assert len(transactions(said)) == 3


@on_both_loops
async def test_more_than_the_network_takes_at_once_is_sent_as_well(url: str) -> None:
    async with groups_of(1, url) as (fetch, _):
        said = await asyncio.gather(*(fetch(SAY, text="x" * LARGE) for _ in range(READS.most)))

    assert {len(text) for text, *_ in said} == {LARGE}


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
async def test_one_that_cannot_be_done_fails_alone(url: str, server: Observer) -> None:
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
async def test_one_that_the_commit_refuses_fails_alone(url: str, server: Observer) -> None:
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
async def test_what_cannot_be_sent_fails_alone(url: str, unfit: str) -> None:
    async with groups_of(1, url) as (fetch, pool):
        whole = asyncio.ensure_future(fetch(SAY, text="whole"))

        with pytest.raises((ValueError, TypeError)):
            await fetch(SAY, text=unfit)
        assert (await whole)[0] == "whole"
        assert pool._free


@on_both_loops
async def test_who_waits_for_a_lock_does_not_hold_up_the_others(url: str, lock: connection) -> None:
    async with groups_of(2, url) as (fetch, _):
        locked = asyncio.ensure_future(fetch(COUNT_ON, text="locked"))
        free = asyncio.ensure_future(fetch(COUNT_ON, 2, text="free"))

        assert await asyncio.wait_for(free, 2) == 1
        assert not locked.done()
        lock.rollback()
        assert await asyncio.wait_for(locked, 2) == 1


@on_both_loops
async def test_who_reads_does_not_go_with_those_who_write(url: str) -> None:
    async with groups_of(2, url) as (fetch, _):
        writing = asyncio.ensure_future(fetch(NOTE_LATE, text="x", seconds=0.5))
        reading = asyncio.ensure_future(fetch(SAY, text="x"))

        await reading
        assert not writing.done()
        await writing


@on_both_loops
async def test_a_group_for_which_nobody_waits_is_cancelled(url: str, server: Observer) -> None:
    async with groups_of(1, url) as (fetch, pool):
        asked = [fetch(NOTE_LATE, text=text, seconds=30) for text in ("one", "other")]
        await asyncio.gather(*map(abandoned, asked))

        await eventually(lambda: len(pool._free) == 1, within=2)
        assert await fetch(NOTE, text="later") == "later"

    assert [server.written(text) for text in ("one", "other")] == [0, 0]


@on_both_loops
async def test_who_goes_takes_nobody_along(url: str, server: Observer) -> None:
    async with groups_of(1, url) as (fetch, _):
        staying = asyncio.ensure_future(fetch(NOTE_LATE, text="stays", seconds=0.2))
        await abandoned(fetch(NOTE, text="goes"))

        assert await staying == "stays"

    assert server.written("stays") == 1


@pytest.mark.usefixtures("awaited_to_the_end")
@on_both_loops
async def test_who_waits_for_company_is_served_though_the_others_go(
    url: str, server: Observer
) -> None:
    async with groups_of(1, url) as (fetch, _):
        first = asyncio.ensure_future(fetch(NOTE_LATE, text="first", seconds=30))
        await asyncio.sleep(MOMENT)
        staying = asyncio.ensure_future(fetch(NOTE_LATE, text="stays", seconds=0))
        await abandoned(fetch(NOTE_LATE, text="goes", seconds=0))

        first.cancel()

        assert await asyncio.wait_for(staying, 2) == "stays"

    assert [server.written(text) for text in ("first", "stays", "goes")] == [0, 1, 0]


@on_both_loops
async def test_who_goes_while_waiting_for_a_connection_is_not_served(
    url: str, server: Observer
) -> None:
    async with groups_of(1, url) as (fetch, pool):
        busy = asyncio.ensure_future(pool.fetch(NAP, seconds=0.3))
        await asyncio.sleep(MOMENT)
        await abandoned(fetch(NOTE, text="goes"))

        await busy
        assert await fetch(NOTE, text="later") == "later"

    assert server.written("goes") == 0


@on_both_loops
async def test_what_was_read_when_the_connection_broke_is_read_again(
    url: str, server: Observer
) -> None:
    async with groups_of(2, url) as (fetch, _):
        asked = [asyncio.ensure_future(fetch(SAY_LATE, text=text, seconds=0.3)) for text in "ab"]
        await asyncio.sleep(MOMENT)
        server.kill("active")

        assert await asyncio.gather(*asked) == ["a", "b"]


@on_both_loops
async def test_what_was_written_when_the_connection_broke_nobody_knows(
    url: str, server: Observer
) -> None:
    async with groups_of(2, url) as (fetch, _):
        asked = [asyncio.ensure_future(fetch(NOTE_LATE, text=text, seconds=5)) for text in "ab"]
        await asyncio.sleep(MOMENT)
        server.kill("active")

        answers = await asyncio.gather(*asked, return_exceptions=True)

    assert [type(each) for each in answers] == [ConnectionLost, ConnectionLost]
    assert [server.written(text) for text in "ab"] == [0, 0]


@on_both_loops
async def test_what_is_sent_on_a_broken_connection_is_answered(url: str, server: Observer) -> None:
    async with groups_of(1, url) as (fetch, _):
        server.kill()
        time.sleep(MOMENT)  # noqa: ASYNC251 - so that nobody can have noticed
        reading = [asyncio.ensure_future(fetch(SAY, text="x")) for _ in "ab"]
        writing = [fetch(NOTE, text=text) for text in "ab"]
        written = await asyncio.gather(*writing, return_exceptions=True)

        assert [text for text, *_ in await asyncio.gather(*reading)] == ["x", "x"]
    assert {type(each) for each in written} <= {str, ConnectionLost}
    assert [server.written(text) for text in "ab"] == [each in ("a", "b") for each in written]


@on_both_loops
async def test_who_reads_for_too_long_does_not_take_others_along(url: str) -> None:
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
async def test_those_for_whom_a_group_has_no_time_are_served_alone(
    url: str, server: Observer
) -> None:
    async with groups_of(2, url, timeout=0.4) as (fetch, _):
        noted = await asyncio.gather(
            *(fetch(NOTE_LATE, text=f"{number:02}", seconds=0.01) for number in range(WRITES.most))
        )

    assert noted == [f"{number:02}" for number in range(WRITES.most)]
    assert server.ask("SELECT text FROM notes ORDER BY text") == noted
    assert 1 < server.ask("SELECT count(DISTINCT xmin::text) FROM notes")[0] < WRITES.most


@on_both_loops
async def test_what_takes_too_long_is_given_up(url: str) -> None:
    async with groups_of(1, url, timeout=0.2) as (fetch, pool):
        start = time.monotonic()
        with pytest.raises(StatementTimedOut):
            await fetch(SAY_LATE, text="x", seconds=30)

        assert time.monotonic() - start < 1
        await eventually(lambda: len(pool._free) == 1, within=2)
        assert await fetch(SAY_LATE, text="x", seconds=0) == "x"


@on_both_loops
async def test_each_waits_for_a_connection_only_so_long(url: str) -> None:
    async with groups_of(1, url, wait=0.4) as (fetch, pool):
        busy = asyncio.ensure_future(pool.fetch(NAP, seconds=0.7))
        await asyncio.sleep(MOMENT)
        early = asyncio.ensure_future(fetch(SAY, text="early"))
        await asyncio.sleep(0.4)
        late = asyncio.ensure_future(fetch(SAY, text="late"))

        with pytest.raises(Overloaded, match=r"within 0\.4 s"):
            await early
        assert (await late)[0] == "late"
        await busy


@on_both_loops
async def test_all_who_have_waited_too_long_are_told_at_once(url: str) -> None:
    async with groups_of(1, url, wait=0.3) as (fetch, pool):
        busy = asyncio.ensure_future(pool.fetch(NAP, seconds=1))
        await asyncio.sleep(MOMENT)
        start = time.monotonic()
        asked = [fetch(SAY, text="x") for _ in range(3 * READS.most)]

        answers = await asyncio.gather(*asked, return_exceptions=True)

        assert time.monotonic() - start < 0.7
        assert {type(each) for each in answers} == {Overloaded}
        await busy


@on_both_loops
async def test_who_comes_later_with_a_statement_of_their_own_waits_longer(url: str) -> None:
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
async def test_answers_do_not_stay_until_python_looks_for_cycles(url: str) -> None:
    gc.disable()
    try:
        async with groups_of(1, url) as (fetch, _):
            await asyncio.gather(*(fetch(SAY, text="let go") for _ in range(3)))

            calls = [each for each in gc.get_objects() if isinstance(each, Call)]
            assert not [each for each in calls if b"let go" in each.arguments]
    finally:
        gc.enable()


@on_both_loops
async def test_a_pool_closes_promptly_with_groups_under_way(url: str) -> None:
    async with groups_of(1, url) as (fetch, _):
        under_way = [asyncio.ensure_future(fetch(NOTE_LATE, text="x", seconds=30)) for _ in "ab"]
        await asyncio.sleep(MOMENT)
        waiting = [asyncio.ensure_future(fetch(SAY, text="x")) for _ in "ab"]
        await asyncio.sleep(MOMENT)
        start = time.monotonic()

    asked = asyncio.gather(*under_way, *waiting, return_exceptions=True)
    answers = await asyncio.wait_for(asked, 1)
    assert time.monotonic() - start < 1
    assert [type(each) for each in answers] == [*[ConnectionLost] * 2, *[DatabaseAway] * 2]


@pytest.mark.usefixtures("awaited_to_the_end")
@on_both_loops
async def test_a_pool_closes_promptly_while_some_wait_for_company(url: str) -> None:
    async with groups_of(2, url) as (fetch, _):
        asked = [asyncio.ensure_future(fetch(NOTE_LATE, text="x", seconds=30))]
        await asyncio.sleep(MOMENT)
        asked += [asyncio.ensure_future(fetch(NOTE_LATE, text="x", seconds=0)) for _ in "ab"]
        await asyncio.sleep(MOMENT)

    answers = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 1)
    assert [type(each) for each in answers] == [ConnectionLost, DatabaseAway, DatabaseAway]
