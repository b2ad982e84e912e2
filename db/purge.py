"""Purges the trash: deletes soft-deleted tasks and lists for ever, and expired stored responses."""

import asyncio
import logging
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

from db import replays
from db.database import Part, Session, fetch_from_parts
from db.lists import statements as lists
from db.postgres.statement import Statement
from db.tasks import statements as tasks

log = logging.getLogger("errand.trash")

CATALOGUE = (tasks.PURGE, lists.PURGE, replays.PURGE)
"""The statements that a connection prepares for the purge."""

BATCH_SIZE = 1000
DAY = 24 * 60 * 60.0
# A random delay: workers that start together do not purge at the same time.
FIRST_DELAY = (10.0, 60.0)


class Purged(NamedTuple):
    """How many rows of each kind a purge has deleted."""

    tasks: int
    lists: int
    replays: int


class Stored(NamedTuple):
    """What the purge has to delete at some time."""

    trash: float
    """Tasks in the trash, by PostgreSQL's last count."""

    replays: float
    """Stored responses, by the same."""

    overdue: float
    """For how many seconds the oldest of the trash should have been deleted."""


async def stored(database: Session, days: int) -> Stored:
    """What is stored, if the trash is purged after so many days; no rows are counted for it."""
    rows_of_parts, failures = await fetch_from_parts(database, tasks.STORED_ROWS)
    if not rows_of_parts:
        raise failures[0]
    found = [rows for [[rows]] in rows_of_parts]
    oldest = max(rows["oldest"] or 0 for rows in found)
    return Stored(
        # A table that was never counted has -1.
        trash=sum(max(0, rows["trash"]) for rows in found),
        replays=sum(max(0, rows["replays"]) for rows in found),
        overdue=max(0.0, oldest - timedelta(days=days).total_seconds()),
    )


async def purge(database: Session, days: int) -> Purged:
    """Delete what has been in the trash for so many days, and expired stored responses.

    Several processes may purge at the same time. A part of the database that fails does not keep
    the purge from the others.
    """
    purged: list[Purged] = []
    failures: list[Exception] = []
    for part in await database.parts():
        try:
            purged.append(await _purge_part(part, timedelta(days=days)))
        except Exception as error:  # it is raised once the other parts are purged
            failures.append(error)
    if failures:
        raise failures[0]
    return Purged(*map(sum, zip(*purged, strict=True)))


async def _purge_part(part: Part, older_than: timedelta) -> Purged:
    expired = await _purge_with(part, replays.PURGE)
    return Purged(
        tasks=await _purge_with(part, tasks.PURGE, older_than=older_than),
        lists=await _purge_with(part, lists.PURGE, older_than=older_than),
        replays=expired,
    )


async def purge_daily(
    database: Session, days: int, report: Callable[[Purged], None] | None = None
) -> None:
    """Purge soon, and then every day; report each purge."""
    await asyncio.sleep(random.uniform(*FIRST_DELAY))  # noqa: S311
    while True:
        try:
            purged = await purge(database, days)
            if report:
                report(purged)
            if purged.tasks:
                log.info("purged %d tasks from the trash", purged.tasks)
        except Exception as error:  # the next purge is tomorrow
            log.warning("the trash was not purged: %s", error)
        await asyncio.sleep(DAY)


async def _purge_with(part: Part, statement: Statement, **values: Any) -> int:
    """Delete a batch at a time until nothing is left, so that no transaction takes long."""
    purged = 0
    while count := (await part.fetch(statement, at_most=BATCH_SIZE, **values))[0][0]:
        purged += count
    return purged
