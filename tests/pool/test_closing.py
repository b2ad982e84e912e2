"""A pool that closes, whatever is under way."""

import asyncio
import gc
import logging
import time
import warnings

import pytest

from db.errors import ConnectionLost, DatabaseAway
from tests.pool.scenes import (
    MOMENT,
    NAP,
    PROMPT,
    WHO,
    WRITE,
    WRITE_SLOWLY,
    Observer,
    eventually,
    on_both_loops,
    pool_of,
    prompt_results,
)
from tests.support.network import Network


@on_both_loops
async def test_a_pool_closes_promptly_whatever_is_running(
    url: str, server: Observer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "asyncio")
    asyncio.get_running_loop().set_debug(True)
    async with pool_of(3, url) as pool:
        work = [
            pool.fetch(NAP, seconds=30),
            pool.fetch(WRITE_SLOWLY, text="half", seconds=30),
            pool.fetch(NAP, seconds=30),
            pool.fetch(WHO),
            pool.fetch(WRITE, text="never begun"),
        ]
        requests = [asyncio.ensure_future(each) for each in work]
        await asyncio.sleep(MOMENT)
        requests[2].cancel()
        start = time.monotonic()

    results = await prompt_results(requests)
    assert time.monotonic() - start < PROMPT
    assert [type(each) for each in results] == [
        *(ConnectionLost, ConnectionLost, asyncio.CancelledError),
        *(DatabaseAway, DatabaseAway),
    ]
    with pytest.raises(DatabaseAway):
        await pool.fetch(WHO)
    await eventually(lambda: not server.pids())
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        gc.collect()  # other tests may have left files
    assert [each for each in caplog.messages if "never retrieved" in each] == []
    assert [each for each in caplog.messages if "destroyed" in each] == []


@on_both_loops
async def test_a_pool_closes_promptly_while_the_database_is_away(network: Network) -> None:
    async with pool_of(2, network.url) as pool:
        network.go_down()
        waiting = asyncio.ensure_future(pool.fetch(WHO))
        await asyncio.sleep(MOMENT)
        start = time.monotonic()

    with pytest.raises(DatabaseAway):
        await waiting
    assert time.monotonic() - start < PROMPT
