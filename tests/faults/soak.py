"""A server that lives through random faults under a light load, and what it takes meanwhile."""

import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

import httpx

from tests.faults.impatient import BRIEFLY
from tests.faults.load import Load, under_load
from tests.faults.resources import Growth, Samples, usage
from tests.faults.strikes import STRIKES, Scene
from tests.support.network import network_to
from tests.support.servers import url_of
from tests.support.worlds import mortal_world

CLIENTS = 4
PAUSE = 0.5
"""Of each client between two writes: some ten writes a second in all."""
READS = (
    "/tasks?limit=50",
    "/tasks?q=client&limit=10",
    "/tasks?sort=title&completed=true",
    "/summary",
    "/changes",
    "/changes?wait=1",
    "/trash",
    "/export",
    "/tasks/nothing",
    "/nowhere",
)
MOST_DISASTERS = 10**6
LONGEST_CALM = 20.0
SAMPLES_IN_A_CALM = 4


class Soaked(NamedTuple):
    """What came of it."""

    strikes: Counter[str]
    growths: list[Growth]


def soak(seconds: float, seed: int, module: str = "openapi", **settings: str) -> Soaked:
    """Run a server, which is that module, for so long; raise if a write is not as confirmed."""
    chance = random.Random(seed)
    strikes: Counter[str] = Counter()
    with (
        mortal_world(MOST_DISASTERS, alone=False) as world,
        network_to(world.database_url) as network,
        watched(module, DATABASE_URL=network.url, **settings) as (pid, url),
        under_load(lambda: [url, world.url], CLIENTS, PAUSE) as load,
        reading(url, load, chance),
    ):
        samples = Samples(lambda: usage(pid, int(network.address["port"])))
        scene = Scene(world, network, pid, url)
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            name = chance.choice([*STRIKES])
            STRIKES[name](scene)
            strikes[name] += 1
            load.flows(1)
            for _ in range(SAMPLES_IN_A_CALM):
                time.sleep(chance.uniform(0.5, 1.5) * calm(seconds) / SAMPLES_IN_A_CALM)
                samples.take()
    return Soaked(strikes, samples.growths())


def calm(seconds: float) -> float:
    """How long nothing happens after a fault: a minute has some twenty of them."""
    return min(LONGEST_CALM, seconds / 50)


@contextmanager
def watched(module: str, **settings: str) -> Iterator[tuple[int, str]]:
    """A server in a process of its own: its id and its URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, "serve", "--port", "0"],
        env={**os.environ, **BRIEFLY, "ERRAND_REQUEST_LOG": "off", **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process.pid, url_of(process)
    finally:
        process.terminate()
        process.communicate(timeout=30)


@contextmanager
def reading(url: str, load: Load, chance: random.Random) -> Iterator[None]:
    """One more client reads all kinds of things meanwhile, whatever it gets."""
    over = threading.Event()

    def reads() -> None:
        with httpx.Client(timeout=5, trust_env=False) as http:
            while not over.wait(chance.uniform(0, 2 * PAUSE)):
                user = chance.choice(load.writers).user
                with suppress(httpx.TransportError):
                    http.get(f"{url}{user}{chance.choice(READS)}")

    thread = threading.Thread(target=reads)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
