"""How reading slows down as a user's tasks become many."""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import httpx

from tests.bench import load
from tests.bench.contestants import errand, say
from tests.bench.data import READER, Postgres, readers_database
from tests.bench.data import TITLE as TITLE_OF_ALL
from tests.bench.load import Sample
from tests.bench.peers import Server
from tests.bench.workloads import LIST_PATH, USUAL_CLIENTS, Request

TITLE = (
    "growth: of one user's tasks, the older half of them completed; "
    f"delays of one client, requests a second of {USUAL_CLIENTS}"
)
SIZES = (1_000, 10_000, 100_000)
RARE, COMMON = "zugzwang", TITLE_OF_ALL.split()[0]
CHANGES_PATH = f"/api/{READER}/changes?limit=100"


@dataclass(frozen=True)
class Reading:
    """One request, over and over."""

    name: str
    path: str

    def requests(self) -> Iterator[Request]:
        yield Request("GET", self.path, READER)


@dataclass(frozen=True)
class Growth:
    """What a reading takes with so many tasks."""

    reading: str
    tasks: int
    p50_ms: float
    p99_ms: float
    per_second: float


def measured(postgres: Postgres, options: argparse.Namespace) -> Iterator[Growth]:
    """Every reading at every size."""
    for tasks in SIZES:
        own = readers_database(postgres.url, f"growth_{tasks}", tasks)
        with errand(own) as server:
            for reading in readings(server, tasks):
                say(f"measuring {reading.name}, {tasks:,} tasks")
                yield at_size(reading, tasks, server, postgres, options)


def at_size(
    reading: Reading,
    tasks: int,
    server: Server,
    postgres: Postgres,
    options: argparse.Namespace,
) -> Growth:
    wrk = partial(load.wrk, server.url, reading, server=server.pid, postgres=postgres.pid)
    wrk(clients=USUAL_CLIENTS, seconds=load.WARM_UP_SECONDS)
    alone, crowded = (
        Sample.median(wrk(clients=each, seconds=options.seconds) for _ in range(options.rounds))
        for each in (1, USUAL_CLIENTS)
    )
    return Growth(reading.name, tasks, alone.p50_ms, alone.p99_ms, crowded.per_second)


def readings(server: Server, tasks: int) -> list[Reading]:
    """Pages of 50 tasks, of 50 that a search finds, and of 100 changes, from both ends."""
    with httpx.Client(base_url=server.url) as client:
        client.post(f"/api/{READER}/tasks", json={"title": RARE}).raise_for_status()
        last_page(client, f"{LIST_PATH}?q={RARE}")  # so that all words are in the index
        last_hundred = last_page(client, f"{LIST_PATH}?limit=100")
        last_fifty = last_page(client, last_hundred.replace("limit=100", "limit=50"))
        latest = latest_changes(client)
    return [
        Reading("list, first page", LIST_PATH),
        Reading("list, last page, by cursor", last_fifty),
        Reading("list, last page, by offset", f"{LIST_PATH}?offset={tasks - 50}"),
        Reading("list, completed=true", f"{LIST_PATH}?completed=true"),
        Reading("search, a word of one task", f"{LIST_PATH}?q={RARE}"),
        Reading("search, a word of all tasks", f"{LIST_PATH}?q={COMMON}"),
        Reading("search, the same by relevance", f"{LIST_PATH}?q={COMMON}&sort=relevance"),
        Reading("changes, from the beginning", CHANGES_PATH),
        Reading("changes, the latest hundred", latest),
    ]


def last_page(client: httpx.Client, path: str) -> str:
    """The list's last page, by the links that lead there from this one."""
    while following := answered(client, path).links.get("next"):
        path = following["url"]
    return path


def latest_changes(client: httpx.Client) -> str:
    """The last page of changes, by the tokens that lead there."""
    path = CHANGES_PATH
    while (page := answered(client, path).json())["more"]:
        path = f"{CHANGES_PATH}&since={page['next']}"
    return path


def answered(client: httpx.Client, path: str) -> httpx.Response:
    return client.get(path).raise_for_status()
