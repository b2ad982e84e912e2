"""How long requests wait for a connection: long in a burst, briefly in an overload."""

import asyncio
import time
from collections.abc import Callable

import pytest

from db.errors import DatabaseAway, Overloaded
from db.postgres.connection import Connection
from db.postgres.overload import Overload
from db.postgres.ping import Ping
from tests.pool.scenes import MOMENT, NAP, WHO, Observer, on_both_loops, pool_of
from tests.support.network import Network


def test_a_wait_is_long_in_a_burst_and_short_once_the_queue_stands() -> None:
    overload = Overload(burst=1.0, standing=0.2)
    ages = [0.0, 0.1, 0.3, 0.6, 0.9, 0.9, 0.9, 0.9, 0.3, 0.1, 0.5]

    bounds = [overload.longest_wait(age, 100 + number * 0.3) for number, age in enumerate(ages)]

    assert bounds == [1, 1, 1, 1, 1, 0.2, 0.2, 0.2, 0.2, 1, 1]


@on_both_loops
async def test_an_overload_is_refused_soon_and_a_burst_is_not(url: str) -> None:
    async with pool_of(2, url, wait=0.8, overload=0.2) as pool:
        end = time.monotonic() + 2.5
        refused: list[str] = []
        served = 0

        async def client() -> None:
            nonlocal served
            while time.monotonic() < end:
                try:
                    await pool.fetch(NAP, seconds=0.04)
                    served += 1
                except Overloaded as refusal:
                    refused.append(str(refusal))

        await asyncio.gather(*(client() for _ in range(100)))
        burst = [pool.fetch(NAP, seconds=0.01) for _ in range(30)]
        await asyncio.gather(*burst)

    assert served > 30
    assert refused[-1] == "No database connection became free within 0.2 s."


@on_both_loops
async def test_without_a_database_requests_are_refused_soon(network: Network) -> None:
    async with pool_of(1, network.url, wait=1, overload=0.1) as pool:
        network.go_down()
        await asyncio.sleep(MOMENT)

        with pytest.raises(
            DatabaseAway, match=r"There was no connection to the database for (1|0\.1) s"
        ):
            await pool.fetch(WHO)
        standing = [asyncio.ensure_future(pool.fetch(WHO)) for _ in range(10)]
        await asyncio.sleep(0.2)
        standing += [asyncio.ensure_future(pool.fetch(WHO)) for _ in range(10)]
        for result in await asyncio.gather(*standing, return_exceptions=True):
            assert isinstance(result, DatabaseAway)


@on_both_loops
async def test_a_ping_goes_ahead_of_all_that_waits(url: str) -> None:
    async with pool_of(1, url) as pool:
        naps = [asyncio.ensure_future(pool.fetch(NAP, seconds=0.3)) for _ in range(20)]
        await asyncio.sleep(MOMENT)

        await Ping(pool, tries=1).ping()

        assert sum(each.done() for each in naps) <= 2
        for each in naps:
            each.cancel()
        await asyncio.gather(*naps, return_exceptions=True)


@on_both_loops
async def test_pings_at_the_same_time_are_one(
    url: str, server: Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pool_of(4, url) as pool:
        sent = count_sent(monkeypatch)
        ping = Ping(pool, tries=1)

        for _ in range(10):
            await asyncio.gather(*(ping.ping() for _ in range(10)))

    assert len(sent) <= 2


@on_both_loops
async def test_a_ping_finds_out_that_the_database_is_back(network: Network) -> None:
    async with pool_of(1, network.url, wait=0.2) as pool:
        ping = Ping(pool, tries=2)
        await ping.ping()
        network.go_down()
        await asyncio.sleep(0.2)
        with pytest.raises(DatabaseAway):
            await ping.ping()

        network.come_back()

        await asyncio.sleep(1)
        await ping.ping()


def count_sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that are sent from now on."""
    sent: list[str] = []
    fetch: Callable[..., object] = Connection.fetch

    def recorded(self: Connection, sql: str, values: object = None) -> object:
        sent.append(sql)
        return fetch(self, sql, values)

    monkeypatch.setattr(Connection, "fetch", recorded)
    return sent
