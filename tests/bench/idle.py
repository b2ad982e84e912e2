"""What idle connections cost."""

import argparse
import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from tests.bench import load
from tests.bench.contestants import errand, say
from tests.bench.data import Postgres, database, task_id
from tests.bench.load import Sample
from tests.bench.workloads import LIST_PATH, WORKLOADS

TITLE = "idle connections, after one request on each; beside them one client, who gets a task"
COUNTS = (0, 1_000)
FILES_BESIDES = 512
READ_BYTES = 64 * 1024
SECONDS = 2
ONE_PATH = f"{LIST_PATH}/{task_id(17)}"


@dataclass(frozen=True)
class Idle:
    """One client's delays beside so many idle connections, and the server's memory."""

    idle_connections: int
    p50_ms: float
    p99_ms: float
    memory_mib: float


def measured(postgres: Postgres, options: argparse.Namespace) -> Iterator[Idle]:
    """First without any, for memory that was used once may not be given back."""
    own = database(postgres.url, "idle", errands=True)
    with errand(own) as server:
        get = partial(load.wrk, server.url, WORKLOADS["get"], server=server.pid)
        alone = partial(get, postgres=postgres.pid, clients=1, seconds=SECONDS)
        alone()
        for count in COUNTS:
            say(f"measuring get, {count:,} idle connections")
            samples = [beside(count, server.url, alone) for _ in range(options.rounds)]
            sample = Sample.median(samples)
            yield Idle(count, sample.p50_ms, sample.p99_ms, sample.memory_mib)


def beside(count: int, url: str, measure: Callable[[], Sample]) -> Sample:
    """A sample beside so many idle connections, all of which are still there when it ends."""
    allow_files(count + FILES_BESIDES)
    with ExitStack() as stack:
        held = [stack.enter_context(idle_connection(url)) for _ in range(count)]
        sample = measure()
        if lost := sum(map(is_closed, held)):
            raise load.WrongAnswers(f"{lost} of {count} idle connections were closed")
    return sample


def idle_connection(url: str) -> socket.socket:
    """One on which a request was made and answered."""
    at = urlsplit(url)
    assert at.hostname and at.port
    connection = socket.create_connection((at.hostname, at.port))
    connection.sendall(f"GET {ONE_PATH} HTTP/1.1\r\nHost: {at.netloc}\r\n\r\n".encode())
    head = connection.recv(READ_BYTES).partition(b"\r\n")[0]
    if not head.startswith(b"HTTP/1.1 200 "):
        raise load.WrongAnswers(f"an idle connection was answered {head!r}")
    return connection


def is_closed(connection: socket.socket) -> bool:
    """Whether the server has hung up."""
    connection.setblocking(False)
    try:
        while connection.recv(READ_BYTES):
            pass
    except BlockingIOError:
        return False
    except ConnectionResetError:
        pass
    return True


def allow_files(wanted: int) -> None:
    """Each connection is an open file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < wanted:  # no limit is -1
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
