"""Statements that take effect together, and statements that are tried again."""

import asyncio
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import make_dsn

from db.errors import ConnectionLost, DatabaseAway
from tests.pool.scenes import (
    COUNT,
    COUNT_TWO,
    ECHO,
    MOMENT,
    STUMBLE,
    WRITE,
    WRITE_SLOWLY,
    Observer,
    abandoned,
    on_both_loops,
    pool_of,
)


@on_both_loops
async def test_a_transaction_takes_effect_as_a_whole(url: str, server: Observer) -> None:
    async with pool_of(1, url) as pool:
        async with pool.transaction() as transaction:
            await transaction.fetch(WRITE, text="both")
            await transaction.fetch(WRITE, text="both")
            assert server.written("both") == 0

        assert server.written("both") == 2


@on_both_loops
async def test_statements_that_are_sent_together_see_what_was_committed_between_them(
    url: str, server: Observer
) -> None:
    server.note("contended")
    async with pool_of(1, url) as pool, pool.transaction() as transaction:
        server.ask("BEGIN")
        server.ask("UPDATE notes SET counter = 10 WHERE text = 'contended'")
        count = asyncio.ensure_future(transaction.fetch(COUNT, ECHO, COUNT, text="contended"))
        await asyncio.sleep(MOMENT)

        server.ask("COMMIT")

        assert await count == [(12,)]


@on_both_loops
async def test_the_last_statements_of_a_transaction_commit_it(url: str, server: Observer) -> None:
    async with pool_of(1, url) as pool, pool.transaction() as transaction:
        await transaction.finish(WRITE, WRITE, text="both")

        assert server.written("both") == 2
        with pytest.raises(RuntimeError, match="over"):
            await transaction.fetch(WRITE, text="late")


@on_both_loops
async def test_a_transaction_in_which_nothing_is_asked_costs_nothing(
    url: str, server: Observer
) -> None:
    async with pool_of(1, url) as pool, pool.transaction() as transaction:
        async with transaction.savepoint():
            pass

        assert server.pids("idle in transaction") == []


@on_both_loops
async def test_a_part_that_fails_has_no_effect_and_the_rest_has(url: str, server: Observer) -> None:
    async with pool_of(1, url) as pool:
        async with pool.transaction() as whole:
            await whole.fetch(WRITE, text="before")
            async with whole.savepoint() as kept:
                with pytest.raises(psycopg2.DataError):
                    async with kept.savepoint() as failed:
                        await failed.fetch(WRITE, text="failed")
                        await failed.fetch(STUMBLE, code="22012", times=1000)
                await kept.fetch(WRITE, text="after")
            with pytest.raises(ZeroDivisionError):
                async with whole.savepoint() as failed:
                    async with failed.savepoint() as done:
                        await done.fetch(WRITE, text="failed")
                    raise ZeroDivisionError

        written = [server.written(text) for text in ("before", "failed", "after")]
        assert written == [1, 0, 1]


@on_both_loops
async def test_a_transaction_that_fails_has_no_effect(url: str, server: Observer) -> None:
    async with pool_of(1, url) as pool:
        with pytest.raises(ZeroDivisionError):
            async with pool.transaction() as transaction:
                await transaction.fetch(WRITE, text="half")
                raise ZeroDivisionError

        await pool.fetch(WRITE, text="next")
        assert server.written("half") == 0
        assert server.written("next") == 1


@on_both_loops
async def test_a_transaction_that_is_cancelled_has_no_effect(url: str, server: Observer) -> None:
    async with pool_of(1, url) as pool:

        async def transfer() -> None:
            async with pool.transaction() as transaction:
                await transaction.fetch(WRITE, text="half")
                await transaction.fetch(WRITE_SLOWLY, text="half", seconds=30)

        await abandoned(transfer())

        await pool.fetch(WRITE, text="next")
        assert server.written("half") == 0
        assert server.written("next") == 1


@on_both_loops
async def test_no_connection_comes_back_within_a_transaction(url: str, server: Observer) -> None:
    async with pool_of(1, url) as pool:

        async def transfer(steps: int) -> None:
            task = asyncio.current_task()
            assert task
            # Cancelled just as an answer has come, and before its task has seen it.
            on = pool._free[0]
            finish = on._finish
            answers = iter(range(steps))

            def finish_and_cancel(*arguments: Any, **named: Any) -> None:
                finish(*arguments, **named)
                if next(answers, None) is None:
                    on._finish = finish  # type: ignore[method-assign]
                    task.cancel()

            on._finish = finish_and_cancel  # type: ignore[method-assign]
            async with pool.transaction() as transaction:
                await transaction.fetch(WRITE, text="half")

        for steps in range(2):
            with pytest.raises(asyncio.CancelledError):
                await asyncio.ensure_future(transfer(steps))
            assert await pool.fetch(WRITE, text=f"after {steps}")
            assert server.pids("idle in transaction") == []
            assert server.written(f"after {steps}") == 1


@on_both_loops
async def test_a_transaction_whose_connection_breaks_says_so(url: str, server: Observer) -> None:
    async with pool_of(1, url) as pool:
        with pytest.raises(ConnectionLost):
            async with pool.transaction() as transaction:
                await transaction.fetch(WRITE, text="half")
                server.kill("idle in transaction")
                await transaction.fetch(WRITE, text="half")

        assert await pool.fetch(WRITE, text="next")
        assert server.written("half") == 0


# Conflicts


@on_both_loops
async def test_a_serialization_failure_is_tried_again(url: str, server: Observer) -> None:
    server.note("contended")
    strict = make_dsn(url, options="-c default_transaction_isolation=serializable")
    async with pool_of(1, strict) as pool:
        server.ask("BEGIN")
        server.ask("UPDATE notes SET counter = 10 WHERE text = 'contended'")
        count = asyncio.ensure_future(pool.fetch(COUNT, text="contended"))
        await asyncio.sleep(MOMENT)

        server.ask("COMMIT")

        assert await count == [(11,)]


@on_both_loops
async def test_a_deadlock_is_tried_again(url: str, server: Observer) -> None:
    server.note("one")
    server.note("other")
    # PostgreSQL looks for a deadlock once, when a wait has lasted so long.
    impatient = make_dsn(url, options="-c deadlock_timeout=1s")
    async with pool_of(1, impatient) as pool:
        server.ask("SET deadlock_timeout = '10s'")
        server.ask("BEGIN")
        server.ask("UPDATE notes SET counter = 10 WHERE text = 'other'")
        count = asyncio.ensure_future(pool.fetch(COUNT_TWO, text="one", other="other"))
        await asyncio.sleep(MOMENT)

        await asyncio.to_thread(server.ask, "UPDATE notes SET counter = 10 WHERE text = 'one'")
        server.ask("COMMIT")

        assert await count == [(True,)]
        assert server.ask("SELECT counter FROM notes") == [11, 11]


@pytest.mark.parametrize("code", ["40001", "40P01"])
@on_both_loops
async def test_what_fails_again_and_again_is_given_up(
    url: str, server: Observer, code: str
) -> None:
    async with pool_of(1, url) as pool:
        with pytest.raises(DatabaseAway, match="nothing was changed"):
            await pool.fetch(STUMBLE, code=code, times=1000)

        assert server.ask("SELECT last_value FROM stumbles") == [3]
