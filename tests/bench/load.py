"""Load on one peer for some seconds: how many requests, how soon, and at what cost."""

import json
import math
import os
import re
import statistics
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Protocol

from tests.bench.data import TASK_PREFIX, USER_PREFIX
from tests.bench.tokens import Tokens
from tests.bench.workloads import Request, Workload

REQUESTS_LUA = Path(__file__).with_name("requests.lua")
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
POOL_SIZE = 8
WARM_UP_SECONDS = 1
LOGGED_SHARE = 0.2


class WrongAnswers(Exception):
    """A peer failed under load, so that its figures say nothing."""


@dataclass(frozen=True)
class Sample:
    """What was measured; the processor's time is in microseconds a request."""

    per_second: float
    p50_ms: float
    p99_ms: float
    server_us: float
    postgres_us: float
    memory_mib: float

    @staticmethod
    def median(samples: Iterable["Sample"]) -> "Sample":
        """The median of each figure by itself."""
        rows = [asdict(each) for each in samples]
        return Sample(
            **{each.name: statistics.median(r[each.name] for r in rows) for each in fields(Sample)}
        )


class Load(Protocol):
    """What wrk sends over and over."""

    @property
    def name(self) -> str: ...

    def requests(self) -> Iterable[Request]: ...


class Clock:
    """The processor's time that the server and PostgreSQL have used since it was made."""

    def __init__(self, server: int | None, postgres: int) -> None:
        self._server, self._postgres = server, postgres
        self._start = self._now()

    def _now(self) -> tuple[float, float]:
        return cpu_seconds(self._server) if self._server else 0.0, cpu_seconds(self._postgres)

    def microseconds_each(self, requests: int) -> tuple[float, float]:
        """Of the server and of PostgreSQL, for each of so many requests."""
        server, postgres = (
            (now - then) * 1e6 / requests
            for now, then in zip(self._now(), self._start, strict=True)
        )
        return server, postgres


def wrk(
    url: str,
    load: Load,
    *,
    clients: int,
    seconds: float,
    server: int,
    postgres: int,
    tokens: Tokens | None = None,
) -> Sample:
    """Send requests from so many clients, each as soon as it has its last answer."""
    with requests_in_file(load, tokens) as requests:
        clock = Clock(server, postgres)
        command = ["wrk", "-t1", f"-c{clients}", f"-d{math.ceil(seconds)}s", "--timeout", "10s"]
        output = checked_output([*command, "-s", str(REQUESTS_LUA), url, "--", str(requests)])
    result = json.loads(output.partition("RESULT ")[2])
    if not result["requests"] or result["wrong_statuses"] or result["broken"]:
        raise WrongAnswers(f"{load.name}, {clients} clients: {result}")
    server_us, postgres_us = clock.microseconds_each(result["requests"])
    return Sample(
        per_second=result["requests"] / result["seconds"],
        p50_ms=result["p50_ms"],
        p99_ms=result["p99_ms"],
        server_us=server_us,
        postgres_us=postgres_us,
        memory_mib=memory_mib(server),
    )


def pgbench(
    environment: dict[str, str],
    workload: Workload,
    *,
    clients: int,
    seconds: float,
    processes: int,
    postgres: int,
) -> Sample:
    """Run the same SQL with no server between, on as many connections as a server would have."""
    connections = min(clients, POOL_SIZE * processes)
    with tempfile.TemporaryDirectory(prefix="errand-pgbench-") as folder:
        script = Path(folder, "script.sql")
        script.write_text(workload.pgbench_script())
        clock = Clock(None, postgres)
        command = ["pgbench", "-n", "-M", "prepared", "-c", str(connections), "-j", str(processes)]
        command += ["-T", str(math.ceil(seconds)), "-f", str(script), "-l"]
        command += ["--log-prefix", str(Path(folder, "log")), "--sampling-rate", str(LOGGED_SHARE)]
        command += ["-D", f"user_prefix={USER_PREFIX}", "-D", f"task_prefix={TASK_PREFIX}"]
        output = checked_output(command, environment)
        # client, transaction, microseconds, …
        logs = [line for log in Path(folder).glob("log*") for line in log.read_text().splitlines()]
    done = int(figure(r"actually processed: (\d+)", output))
    _, postgres_us = clock.microseconds_each(done)
    delays = statistics.quantiles([int(line.split()[2]) / 1000 for line in logs], n=100)
    rate = float(figure(r"tps = ([\d.]+)", output))
    return Sample(rate, delays[49], delays[98], 0.0, postgres_us, 0.0)


@contextmanager
def requests_in_file(load: Load, tokens: Tokens | None) -> Iterator[Path]:
    """The requests as requests.lua reads them."""
    with tempfile.NamedTemporaryFile("w", prefix="errand-requests-") as file:
        for method, path, user, body in load.requests():
            authorization = tokens.authorization(user) if tokens else ""
            file.write(f"{method}\t{path}\t{authorization}\t{body}\n")
        file.flush()
        yield Path(file.name)


def checked_output(command: list[str], environment: dict[str, str] | None = None) -> str:
    """What the command prints; what it complains of, if it fails."""
    variables = {**os.environ, **(environment or {})}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise WrongAnswers(f"{command[0]} failed: {done.stderr.strip()}")
    return done.stdout


def figure(pattern: str, text: str) -> str:
    """The number that the text has there."""
    found = re.search(pattern, text)
    if not found:
        raise WrongAnswers(f"there is no {pattern} in: {text}")
    return found[1]


def cpu_seconds(pid: int) -> float:
    """The processor's time of a process and all it has started, whether they still run or not."""
    ticks = sum(sum(map(int, fields[11:15])) for fields in family(pid))
    return ticks / TICKS_A_SECOND


def memory_mib(pid: int) -> float:
    """The resident memory of a process and all it has started."""
    pages = sum(int(fields[21]) for fields in family(pid))
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def family(pid: int) -> list[list[str]]:
    """What the system knows of a process and all it has started."""
    known = dict(processes())
    found = [pid]
    for parent in found:
        found += [child for child, fields in known.items() if int(fields[1]) == parent]
    return [known[each] for each in found if each in known]


def processes() -> Iterator[tuple[int, list[str]]]:
    """Every process, and the fields that follow its name, from its state on (proc(5))."""
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            yield int(file.parent.name), file.read_text().rpartition(")")[2].split()
