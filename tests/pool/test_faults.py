"""The pool on a bad day: broken connections, hanging networks, hosts that are down."""

import asyncio
import logging
import os
import random
import signal
import time

import psycopg2
import pytest
from psycopg2.extensions import make_dsn

from db.errors import ConnectionLost, DatabaseAway, DatabaseFailing, StatementTimedOut
from tests.pool.scenes import (
    COUNT,
    MOMENT,
    NAP,
    NAP_LOCKED,
    PROMPT,
    STUMBLE,
    WHO,
    WRITE,
    WRITE_SLOWLY,
    Observer,
    abandoned,
    connecting_pool,
    eventually,
    on_both_loops,
    pool_of,
    running,
)
from tests.support.network import Network

END_SESSIONS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE datname = current_database() AND application_name LIKE 'errand%%'
"""


@on_both_loops
async def test_a_connection_lost_while_idle_is_replaced(url: str, server: Observer) -> None:
    async with pool_of(3, url) as pool:
        server.kill()
        await asyncio.sleep(MOMENT)

        assert await pool.fetch(WRITE, text="after the loss")
        await eventually(lambda: len(server.pids()) == 3)


@on_both_loops
async def test_a_read_whose_connection_breaks_is_run_again(url: str, server: Observer) -> None:
    async with pool_of(2, url) as pool:
        nap = asyncio.ensure_future(pool.fetch(NAP, seconds=1))
        [victim] = await running(server)

        server.kill("active")

        [(pid, _)] = await nap
        assert pid != victim


@on_both_loops
async def test_a_statement_that_locks_is_not_run_again(url: str, server: Observer) -> None:
    async with pool_of(2, url) as pool:
        nap = asyncio.ensure_future(pool.fetch(NAP_LOCKED, seconds=30))
        await running(server)

        server.kill("active")

        with pytest.raises(ConnectionLost):
            await nap


@on_both_loops
async def test_no_read_fails_while_every_connection_breaks(url: str, server: Observer) -> None:
    async with pool_of(4, url) as pool:

        async def read_on() -> None:
            for _ in range(60):
                await pool.fetch(NAP, seconds=0.005)

        readers = asyncio.gather(*(read_on() for _ in range(6)))
        for _ in range(3):
            await asyncio.sleep(0.1)
            await eventually(lambda: bool(server.pids()))
            await asyncio.to_thread(server.kill)

        await readers


@on_both_loops
async def test_a_write_whose_connection_breaks_is_not_run_again(url: str, server: Observer) -> None:
    async with pool_of(1, url) as pool:
        write = asyncio.ensure_future(pool.fetch(WRITE_SLOWLY, text="once", seconds=1))
        await running(server)

        server.kill("active")

        with pytest.raises(ConnectionLost):
            await write
        assert await pool.fetch(WRITE, text="next") == [("next",)]
        assert server.written("once") == 0


@on_both_loops
async def test_a_statement_sent_as_the_server_ends_the_session_fails_at_once(
    url: str, server: Observer
) -> None:
    async with pool_of(1, url) as pool:
        [pid] = server.pids()
        os.kill(pid, signal.SIGSTOP)
        server.kill()
        write = asyncio.ensure_future(pool.fetch(WRITE, text="x" * 20_000))
        await asyncio.sleep(MOMENT)

        os.kill(pid, signal.SIGCONT)
        # So that the event loop sees the last message and the socket's error as one event.
        time.sleep(MOMENT)  # noqa: ASYNC251

        with pytest.raises(ConnectionLost):
            await asyncio.wait_for(write, PROMPT)
        assert await asyncio.wait_for(pool.fetch(WHO), PROMPT) != [(pid,)]


@on_both_loops
async def test_sessions_that_end_while_they_are_prepared_do_not_delay_the_next(
    url: str, server: Observer
) -> None:
    async with connecting_pool(2, url, connect=30) as pool:
        for _ in range(200):
            server.ask(END_SESSIONS)
            # So that the event loop sees the last message and the socket's error as one event.
            time.sleep(random.uniform(0, 0.004))  # noqa: ASYNC251
            await asyncio.sleep(random.uniform(0, 0.006))

        assert await asyncio.wait_for(pool.fetch(WHO), PROMPT)


@on_both_loops
async def test_a_session_that_ends_by_a_fatal_error_is_not_used_again(
    url: str, server: Observer
) -> None:
    async with pool_of(1, url) as pool:
        connection = await pool.acquire(pool.deadline())
        await connection.fetch("SET idle_in_transaction_session_timeout = 1")
        await connection.fetch("BEGIN")
        # So that the next statement is sent before the event loop can see what has happened.
        time.sleep(MOMENT)  # noqa: ASYNC251
        with pytest.raises(psycopg2.Error):
            await asyncio.wait_for(connection.fetch("SELECT 1"), PROMPT)

        assert connection.lost
        pool.release(connection)
        assert await pool.fetch(WRITE, text="next") == [("next",)]


@on_both_loops
async def test_a_server_that_freezes_in_a_transaction_loses_its_locks(
    url: str, server: Observer
) -> None:
    server.note("locked")
    async with pool_of(1, url) as frozen, pool_of(1, url) as other:
        with pytest.raises(ConnectionLost):
            async with frozen.transaction() as transaction:
                await transaction.fetch(COUNT, text="locked")
                assert await asyncio.wait_for(other.fetch(COUNT, text="locked"), PROMPT) == [(1,)]


@pytest.mark.parametrize("code", ["53100", "53200", "58030", "08006"])
@on_both_loops
async def test_a_database_that_fails_is_logged_once_and_not_for_each_statement(
    url: str, server: Observer, caplog: pytest.LogCaptureFixture, code: str
) -> None:
    caplog.set_level(logging.WARNING)
    async with pool_of(2, url) as pool:
        for _ in range(5):
            with pytest.raises(DatabaseFailing, match="nothing was changed"):
                await pool.fetch(STUMBLE, code=code, times=5)

        assert await pool.fetch(STUMBLE, code=code, times=5)

    assert [each for each in caplog.messages if "failing" in each] == [
        f"the database is failing: stumbled ({code})"
    ]


@on_both_loops
async def test_a_statement_that_the_session_does_not_know_is_run_in_another_session(
    url: str, server: Observer
) -> None:
    async with pool_of(2, url) as pool:
        await eventually(lambda: len(server.pids()) == 2)
        pids = server.pids()

        [(pid,)] = await pool.fetch(STUMBLE, code="26000", times=1)

        await eventually(lambda: len({*pids, *server.pids()}) == 3)
        assert pid in pids


@on_both_loops
async def test_a_database_that_is_away_is_found_again(network: Network) -> None:
    async with pool_of(2, network.url, wait=0.3) as pool:
        network.go_down()
        with pytest.raises(DatabaseAway):
            await asyncio.wait_for(pool.fetch(WHO), PROMPT)

        network.come_back()

        await eventually(lambda: len(pool._free) == 2)
        assert await pool.fetch(WRITE, text="back again")


@on_both_loops
async def test_a_network_that_hangs_is_survived(network: Network) -> None:
    async with pool_of(2, network.url, timeout=0.3, wait=0.3) as pool:
        network.hang()
        clock = asyncio.get_running_loop().time  # by which the pool keeps time
        start = clock()
        with pytest.raises(StatementTimedOut, match=r"0\.3 s"):
            await pool.fetch(WHO)
        assert 0.3 <= round(clock() - start, 3) < PROMPT

        network.flow()

        await eventually(lambda: len(pool._free) == 2)
        for _ in range(4):
            assert await pool.fetch(WRITE, text="it flows")


@on_both_loops
async def test_a_network_that_hangs_stops_nothing_else(network: Network) -> None:
    async with pool_of(1, network.url, timeout=0.2) as pool:
        network.hang()
        with pytest.raises(StatementTimedOut):
            await pool.fetch(WHO)

        # A blocking call would wait as long as the network hangs.
        start = time.monotonic()
        for _ in range(50):
            await asyncio.sleep(0.01)

        assert time.monotonic() - start < PROMPT
        network.flow()


@on_both_loops
async def test_a_network_slower_than_the_statements_time_loses_no_connection(
    network: Network,
) -> None:
    async with pool_of(1, network.url, timeout=0.2) as pool:
        network.delay = 0.3
        with pytest.raises(StatementTimedOut):
            await pool.fetch(WHO)

        await asyncio.sleep(1.5)
        network.delay = 0

        assert await pool.fetch(WHO)


# Several hosts


@on_both_loops
async def test_a_host_that_is_down_is_passed_over(network: Network, detour: Network) -> None:
    network.go_down()

    async with pool_of(3, two_hosts(network, detour)) as pool:
        assert await pool.fetch(WHO)


@on_both_loops
async def test_a_host_that_hangs_is_passed_over_once(network: Network, detour: Network) -> None:
    network.hang()

    async with pool_of(4, two_hosts(network, detour)):
        pass

    assert network.connections_made <= 2


@on_both_loops
async def test_a_host_that_hangs_does_not_delay_the_one_that_comes_back(
    network: Network, detour: Network
) -> None:
    network.hang()
    detour.go_down()
    async with connecting_pool(1, two_hosts(network, detour), connect=30) as pool:
        await asyncio.sleep(2)

        detour.come_back()

        assert await asyncio.wait_for(pool.fetch(WHO), PROMPT)


@on_both_loops
async def test_a_standby_is_left_for_the_other_host(
    network: Network, detour: Network, server: Observer
) -> None:
    async with pool_of(1, two_hosts(network, detour)) as pool:
        [standby] = server.pids()

        [(pid,)] = await pool.fetch(STUMBLE, code="25006", times=1)

        assert pid != standby
        assert (network.connections_made, detour.connections_made) == (1, 1)


@on_both_loops
async def test_a_standby_everywhere_is_a_database_away(url: str, server: Observer) -> None:
    async with pool_of(1, url) as pool:
        with pytest.raises(DatabaseAway, match="nothing was changed"):
            await pool.fetch(STUMBLE, code="25006", times=1000)


def two_hosts(one: Network, other: Network) -> str:
    places = {key: f"{one.address[key]},{other.address[key]}" for key in ("host", "port")}
    return make_dsn(one.url, **places)


# Statements that take too long, or whose callers were cancelled


@on_both_loops
async def test_a_statement_that_times_out_is_cancelled_in_the_server(
    url: str, server: Observer
) -> None:
    async with pool_of(1, url, timeout=0.2) as pool:
        [pid] = server.pids()

        with pytest.raises(StatementTimedOut, match=r"0\.2 s"):
            await pool.fetch(WRITE_SLOWLY, text="too slow", seconds=30)

        await eventually(lambda: not server.pids("active"), within=PROMPT)
        assert await pool.fetch(WHO) == [(pid,)]
        assert server.written("too slow") == 0


@on_both_loops
async def test_a_statement_that_the_server_itself_cancels_has_timed_out(
    url: str, server: Observer
) -> None:
    async with pool_of(1, url) as pool:
        nap = asyncio.ensure_future(pool.fetch(NAP, seconds=30))
        [pid] = await running(server)

        server.ask("SELECT pg_cancel_backend(%s)", pid)

        with pytest.raises(StatementTimedOut):
            await nap


@on_both_loops
async def test_a_cancelled_request_cancels_its_statement_in_the_server(
    url: str, server: Observer
) -> None:
    async with pool_of(1, url) as pool:
        [pid] = server.pids()

        nap = asyncio.ensure_future(pool.fetch(NAP, seconds=30))
        await running(server)

        nap.cancel()

        await eventually(lambda: not server.pids("active"), within=PROMPT)
        assert await pool.fetch(WHO) == [(pid,)]


@on_both_loops
async def test_a_late_cancellation_does_not_hit_another_statement(url: str) -> None:
    async with pool_of(2, url) as pool:
        for _ in range(150):
            nap = pool.fetch(NAP, seconds=random.uniform(0, 0.002))
            await abandoned(nap, after=random.uniform(0, 0.003))
            await asyncio.gather(*(pool.fetch(NAP, seconds=0.001) for _ in range(2)))
