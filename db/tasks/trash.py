"""The end of what was deleted: after some days in the trash it is purged."""

import asyncio
import logging
import random
from dataclasses import replace
from datetime import timedelta
from typing import Any

from db.database import connected, fetch
from db.postgres.pool import PoolOptions
from db.postgres.statement import Statement
from db.tasks import statements

log = logging.getLogger("errand.trash")

AT_ONCE = 1000
A_DAY = 24 * 60 * 60.0
# Whoever starts a server waits for nothing else; workers that start together purge one by one.
SOON = (10.0, 60.0)


async def purge(days: int) -> int:
    """Delete for good what has been in the trash for so long; several may do so at once.

    Answers that are not given again any more go with it.
    """
    await _purge_with(statements.PURGE_REPLAYS)
    return await _purge_with(statements.PURGE, older_than=timedelta(days=days))


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


async def _purge_with(statement: Statement, **values: Any) -> int:
    """Delete some at a time, so that no transaction is long, until there are none."""
    purged = 0
    while count := (await fetch(statement, at_most=AT_ONCE, **values))[0][0]:
        purged += count
    return purged
