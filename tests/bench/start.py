"""How soon Errand serves, and how much memory it takes."""

import argparse
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tests.bench import load
from tests.bench.contestants import errand, say
from tests.bench.data import Postgres, database
from tests.bench.workloads import USUAL, USUAL_CLIENTS, WORKLOADS

TITLE = "start: `errand serve`, on a database that is there, to the first 200 of /health/ready"
STARTS = 5
READY_PATH = "/health/ready"


@dataclass(frozen=True)
class Start:
    """Medians of several starts, and the memory after some seconds of every workload."""

    seconds: float
    memory_mib: float
    memory_after_load_mib: float


def measured(postgres: Postgres, options: argparse.Namespace) -> Iterator[Start]:
    """So many starts, one after the other."""
    own = database(postgres.url, "start", errands=True)
    say(f"measuring {STARTS} starts")
    seconds, memory = zip(*(started(own) for _ in range(STARTS)), strict=True)
    after_load = memory_after_load(own, postgres, options)
    yield Start(statistics.median(seconds), statistics.median(memory), after_load)


def started(own: str) -> tuple[float, float]:
    """The seconds that it took to start, and the memory."""
    begun = time.monotonic()
    with errand(own, READY_PATH) as server:
        return time.monotonic() - begun, load.memory_mib(server.pid)


def memory_after_load(own: str, postgres: Postgres, options: argparse.Namespace) -> float:
    with errand(own) as server:
        for workload in (WORKLOADS[name] for name in USUAL):
            load.wrk(
                server.url,
                workload,
                clients=USUAL_CLIENTS,
                seconds=options.seconds,
                server=server.pid,
                postgres=postgres.pid,
            )
        return load.memory_mib(server.pid)
