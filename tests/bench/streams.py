"""What idle streams of changes cost one worker, and how soon an event arrives on one of them."""

import argparse
import random
import socket
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from tests.bench import load
from tests.bench.contestants import errand, say
from tests.bench.data import Postgres, database, run
from tests.bench.idle import FILES_BESIDES, READ_BYTES, allow_files, is_closed
from tests.bench.peers import Server
from tests.support.redis import REDIS, Redis

TITLE = (
    "streams: each of another user, on one worker; the writes are sent to the same process, or to"
    " another one"
)
COUNTS = (1_000, 10_000)
QUIET_SECONDS = 30
"""Two heartbeats."""
WRITES = 50
USER = "00000000-0000-7000-b000-"
USERS = """
    INSERT INTO users (id)
    SELECT ('{}' || lpad(number::text, 12, '0'))::uuid FROM generate_series(1, {}) AS number
"""
PATIENCE = 10


@dataclass(frozen=True)
class Streams:
    """So many idle streams; what each takes, and the delays from a write to its event."""

    streams: int
    written_to: str
    kib_each: float
    server_percent: float
    postgres_percent: float
    p50_ms: float
    p99_ms: float


def measured(postgres: Postgres, options: argparse.Namespace) -> Iterator[Streams]:
    """Without Redis first; and with it, if it is there."""
    for count in COUNTS:
        yield from beside(postgres, count, None)
    if REDIS is None:
        say("Redis is left out: redis-server is not on the PATH")
        return
    redis = Redis()
    try:
        yield from beside(postgres, COUNTS[-1], redis.url)
    finally:
        redis.dies()


def beside(postgres: Postgres, count: int, redis: str | None) -> Iterator[Streams]:
    """The costs of so many streams; and the delays of writes to either of two processes."""
    name = "with Redis" if redis else "without Redis"
    say(f"measuring {count:,} streams, {name}")
    allow_files(count + FILES_BESIDES)
    own = database(postgres.url, f"streams_{count}_{'redis' if redis else 'alone'}", errands=True)
    run(own, USERS.format(USER, count))
    settings = {
        "ERRAND_STREAM_LIMIT": str(count),
        "ERRAND_CONNECTION_LIMIT": str(count + FILES_BESIDES),
        "ERRAND_ADDRESS_CONNECTION_LIMIT": str(count + FILES_BESIDES),
        **({"ERRAND_REDIS_URL": redis} if redis else {}),
    }
    with errand(own, **settings) as server, errand(own, **settings) as other, ExitStack() as stack:
        before = load.memory_mib(server.pid)
        held = [stack.enter_context(opened(server, number)) for number in range(1, count + 1)]
        costs = (
            (load.memory_mib(server.pid) - before) * 1024 / count,
            *shares_of_a_core(server, postgres),
        )
        for process, written in (("the same", server), ("another", other)):
            delays = delays_of_events(held, written)
            quantiles = statistics.quantiles(delays, n=100)
            yield Streams(count, f"{process} process, {name}", *costs, quantiles[49], quantiles[98])
        if lost := sum(map(is_closed, held)):
            raise load.WrongAnswers(f"{lost} of {count} streams ended")


def opened(server: Server, number: int) -> "closing[socket.socket]":
    """A stream of the user with this number that has sent its first event."""
    at = urlsplit(server.url)
    assert at.hostname and at.port
    stream = socket.create_connection((at.hostname, at.port), timeout=PATIENCE)
    path = f"/api/{USER}{number:012}/changes/stream"
    stream.sendall(f"GET {path} HTTP/1.1\r\nHost: {at.netloc}\r\n\r\n".encode())
    received = b""
    while b"data:" not in received:
        part = stream.recv(READ_BYTES)
        if not part:
            raise load.WrongAnswers(f"a stream ended with {received!r}")
        received += part
    return closing(stream)


def shares_of_a_core(server: Server, postgres: Postgres) -> tuple[float, float]:
    """What the server and PostgreSQL use while nothing changes, in percent of a core."""
    clock = load.Clock(server.pid, postgres.pid)
    time.sleep(QUIET_SECONDS)
    server_us, postgres_us = clock.microseconds_each(QUIET_SECONDS)
    return server_us / 10_000, postgres_us / 10_000


def delays_of_events(streams: list[socket.socket], written: Server) -> list[float]:
    """Milliseconds from when a write is sent until its event arrives, for some of the streams."""
    with httpx.Client(base_url=written.url) as client:
        delays = []
        for number in random.sample(range(len(streams)), WRITES):
            # Otherwise each write would come just after the query that found the one before.
            time.sleep(random.random())
            delays.append(delay_of_event(streams[number], client, number + 1))
        return delays


def delay_of_event(stream: socket.socket, client: httpx.Client, number: int) -> float:
    title = f"task {time.monotonic_ns()}"
    began = time.monotonic()
    response = client.post(f"/api/{USER}{number:012}/tasks", json={"title": title})
    if response.status_code != httpx.codes.CREATED:
        raise load.WrongAnswers(f"a write got {response.text}")
    received = b""
    while title.encode() not in received:
        received += stream.recv(READ_BYTES)
    return (time.monotonic() - began) * 1000
