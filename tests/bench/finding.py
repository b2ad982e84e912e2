"""What each filter and each order of a list costs, as a user's tasks become many."""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import httpx

from tests.bench import growth, load
from tests.bench.contestants import errand, say
from tests.bench.data import (
    LIST_ID,
    RARE_FIELDS,
    READER,
    RICH_FIELDS,
    Postgres,
    readers_database,
    run,
    task_id,
)
from tests.bench.growth import Reading
from tests.bench.load import Sample
from tests.bench.peers import Server
from tests.bench.workloads import LIST_PATH
from tests.support.fields import FILTERS, OF_SEARCHES, SORTS, choices_of

TITLE = "finding: the first page of one user's list, by each filter and in each order; one client"
FIRST_DAY, NEXT_YEAR = "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"
# Each finds at least a page of tasks.
CHOSEN = {
    "list_id": LIST_ID,
    "parent_id": task_id(0),
    "q": "milk",
    "tag": "home",
    "due_before": NEXT_YEAR,
    **dict.fromkeys(("due_after", "updated_since", "completed_since"), FIRST_DAY),
}


@dataclass(frozen=True)
class Finding:
    """What a filter or an order takes with so many tasks."""

    reading: str
    tasks: int
    p50_ms: float
    p99_ms: float


# A tenth of the tasks has what makes a task rich.
RICH = f"""
    WITH list AS (
        INSERT INTO lists (user_id, id, title, position, revision)
        VALUES ('{READER}', '{LIST_ID}', 'Work', 'a0', {{tasks}} + 1))
    UPDATE tasks
       SET {RICH_FIELDS},
           parent_id = CASE WHEN revision % 100 = 11 THEN '{task_id(0)}'::uuid END
     WHERE user_id = '{READER}' AND revision % 10 = 1
"""

# A task that was never completed stands where it was created in the order of completion.
COMPLETED = f"""
    UPDATE tasks
       SET completed_at = CASE WHEN completed THEN updated_at END, completion_revision = revision,
           completion_range = revision_range
     WHERE user_id = '{READER}'
"""


def measured(postgres: Postgres, options: argparse.Namespace) -> Iterator[Finding]:
    """Every filter alone and every order, at every size."""
    for tasks in growth.SIZES:
        own = readers_database(postgres.url, f"finding_{tasks}", tasks)
        run(own, RICH.format(tasks=tasks), RARE_FIELDS, COMPLETED, "VACUUM ANALYZE")
        with errand(own) as server:
            wait_for_the_index_of_words(server)
            for reading in readings():
                say(f"measuring {reading.name}, {tasks:,} tasks")
                yield at_size(reading, tasks, server, postgres, options)


def readings() -> Iterator[Reading]:
    """A first page of 50 tasks for each filter, and for each order."""
    for name in FILTERS:
        value: Any = CHOSEN.get(name) or choices_of(name)[0]
        query = urlencode({name: value}, doseq=True).replace("True", "true")
        yield Reading(query, f"{LIST_PATH}?{query}")
    for sort in SORTS:
        yield Reading(f"sort={sort}", f"{LIST_PATH}?sort={sort}")
    for sort in OF_SEARCHES:
        yield Reading(f"q=milk, sort={sort}", f"{LIST_PATH}?q=milk&sort={sort}")


def at_size(
    reading: Reading,
    tasks: int,
    server: Server,
    postgres: Postgres,
    options: argparse.Namespace,
) -> Finding:
    sample = Sample.median(
        load.wrk(
            *(server.url, reading),
            clients=1,
            seconds=options.seconds,
            server=server.pid,
            postgres=postgres.pid,
        )
        for _ in range(options.rounds)
    )
    return Finding(reading.name, tasks, sample.p50_ms, sample.p99_ms)


def wait_for_the_index_of_words(server: Server) -> None:
    """The first searches write the words of all tasks."""
    with httpx.Client(base_url=server.url, timeout=60) as client:
        growth.last_page(client, f"{LIST_PATH}?q=zugzwang")
