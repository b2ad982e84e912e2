"""The end of what was deleted: after some days in the trash it is purged."""

import asyncio
import logging
import random
from dataclasses import replace
from datetime import timedelta

from db import replays, statements
from db.database import connected, fetch
from db.pool import PoolOptions

log = logging.getLogger("errand.trash")

AT_ONCE = 1000
A_DAY = 24 * 60 * 60.0
# Whoever starts a server waits for nothing else; workers that start together purge one by one.
SOON = (10.0, 60.0)


async def purge(days: int) -> int:
    """Delete for good what has been in the trash for so long; several may do so at once.

    Answers that are not given again any more go with it.
    """
    await replays.purge()
    purged = 0
    while count := await _purge_some(timedelta(days=days)):
        purged += count
    return purged


async def purge_daily(days: int) -> None:
    """Purge soon, and then every day."""
    await asyncio.sleep(random.uniform(*SOON))  # noqa: S311
    while True:
        try:
            if purged := await purge(days):
                log.info("purged %d tasks from the trash", purged)
        except Exception as error:  # whatever it is, tomorrow is another day
            log.warning("the trash was not purged: %s", error)
        await asyncio.sleep(A_DAY)


async def purge_at(options: PoolOptions, days: int) -> int:
    """Purge a database to which nobody is connected yet."""
    async with connected(replace(options, size=1)):
        return await purge(days)


async def _purge_some(older_than: timedelta) -> int:
    [(count,)] = await fetch(statements.PURGE, older_than=older_than, at_most=AT_ONCE)
    return int(count)
