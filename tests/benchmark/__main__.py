"""Measure Errand beside its peers: `python -m tests.benchmark`, on Linux, with wrk installed."""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from db.embedded import running_postgres
from db.roles import as_application
from tests.benchmark import load, peers, report
from tests.benchmark.data import database, environment, run
from tests.benchmark.load import Sample
from tests.benchmark.peers import ERRAND, PEERS, PGBENCH, PGBENCH_TITLE, Peer
from tests.benchmark.report import Report, Result
from tests.benchmark.workloads import USUAL, WORKLOADS, Workload

MAX_CONNECTIONS = 200
WARM_UP_SECONDS = 1


@dataclass(frozen=True)
class Contestant:
    """Somebody who can be measured."""

    name: str
    title: str
    measure: Callable[..., Sample]


def main() -> None:
    options = arguments()
    if not shutil.which("wrk"):
        sys.exit("wrk makes the load, and is not here: apt-get install wrk")
    with postgres() as (url, pid), ExitStack() as stack:
        contestants = list(started(options.peers, url, pid, stack))
        facts = report.machine(url, rounds=options.rounds, seconds=options.seconds)
        failures: list[str] = []
        settle = partial(run, url, "CHECKPOINT")
        results = list(measured(contestants, options, settle, failures))
    written(Report(facts, results, failures), options)
    if failures:
        sys.exit(1)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmark", description=__doc__)
    names = [*PEERS, PGBENCH]
    parser.add_argument("--seconds", type=float, default=5, help="of each measurement [5]")
    parser.add_argument("--rounds", type=int, default=3, help="over all peers [3]")
    parser.add_argument("--clients", type=counts, default=[32], help="at a time, as 1,32,256 [32]")
    parser.add_argument("--peers", type=some_of(names), default=names, help=f"of {','.join(names)}")
    parser.add_argument(
        "--workloads", type=some_of([*WORKLOADS]), default=USUAL, help=f"of {','.join(WORKLOADS)}"
    )
    parser.add_argument("--json", type=Path, help="a file to write the figures to")
    parser.add_argument("--svg", type=Path, help="a file to draw them in")
    return parser.parse_args()


def counts(text: str) -> list[int]:
    return [int(each) for each in text.split(",")]


def some_of(names: list[str]) -> Callable[[str], list[str]]:
    def chosen(text: str) -> list[str]:
        wanted = text.split(",") if text else []
        if unknown := set(wanted) - set(names):
            raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}")
        return wanted

    return chosen


@contextmanager
def postgres() -> Iterator[tuple[str, int]]:
    """A PostgreSQL that keeps what it commits, and its process."""
    with tempfile.TemporaryDirectory(prefix="errand-benchmark-") as folder:
        # The server's account must reach it, where the benchmark runs as root.
        Path(folder).chmod(0o755)
        data = Path(folder, "data")
        with running_postgres(data, durable=True, max_connections=MAX_CONNECTIONS) as url:
            yield url, int(Path(data, "cluster/postmaster.pid").read_text().split()[0])


def started(
    names: list[str], url: str, postgres_pid: int, stack: ExitStack
) -> Iterator[Contestant]:
    """Errand and each peer that can be had, with a database of its own."""
    cache = cache_folder()
    for peer in (ERRAND, *(PEERS[name] for name in names if name in PEERS)):
        try:
            yield serving(peer, cache, url, postgres_pid, stack)
        except (peers.Unavailable, peers.WrongAnswer) as error:
            if peer is ERRAND:
                raise
            say(f"{peer.title} is left out: {error}")
    if PGBENCH in names and shutil.which(PGBENCH):
        at = environment(database(url, PGBENCH, errands=True))
        yield Contestant(PGBENCH, PGBENCH_TITLE, partial(load.pgbench, at, postgres=postgres_pid))
    elif PGBENCH in names:
        say("pgbench is left out: it is not on the PATH")


def serving(peer: Peer, cache: Path, url: str, postgres_pid: int, stack: ExitStack) -> Contestant:
    """Install a peer, start it, and make sure that its answers are right."""
    say(f"starting {peer.title}")
    command = peer.prepare(cache)
    own = database(url, f"{peer.name}_tasks", errands=peer.errands_schema)
    variables = {"DATABASE_URL": as_application(own)} if peer.errands_schema else environment(own)
    log = stack.enter_context((cache / f"{peer.name}.log").open("wb"))
    server = stack.enter_context(peers.running(command, variables, log))
    peers.check(server)
    measure = partial(load.wrk, server.url, server=server.pid, postgres=postgres_pid)
    return Contestant(peer.name, peer.title, measure)


def cache_folder() -> Path:
    """Where what the peers need is kept from one run to the next."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base, "errand-benchmark")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def measured(
    contestants: list[Contestant],
    options: argparse.Namespace,
    settle: Callable[[], None],
    failures: list[str],
) -> Iterator[Result]:
    """Medians over rounds; whoever fails under a load has no figures for it, and is named."""
    for workload in (WORKLOADS[name] for name in options.workloads):
        for clients in options.clients:
            say(f"measuring {workload.name}, {clients} clients")
            samples = in_rounds(
                contestants, workload, clients, options=options, settle=settle, failures=failures
            )
            for each in contestants:
                if each.name in samples:
                    sample = Sample.median(samples[each.name])
                    yield Result(each.name, each.title, workload.name, clients, sample)


def in_rounds(
    contestants: list[Contestant],
    workload: Workload,
    clients: int,
    *,
    options: argparse.Namespace,
    settle: Callable[[], None],
    failures: list[str],
) -> dict[str, list[Sample]]:
    """Each has a turn in every round, to and fro, so that a slow minute hits all."""
    samples: dict[str, list[Sample]] = {each.name: [] for each in contestants}
    for number in range(options.rounds + 1):
        for each in contestants[:: -1 if number % 2 else 1]:
            if each.name not in samples:
                continue
            settle()
            seconds = options.seconds if number else WARM_UP_SECONDS
            try:
                sample = each.measure(workload, clients=clients, seconds=seconds)
            except load.WrongAnswers as error:
                failures.append(f"{each.title}: {error}")
                del samples[each.name]
            else:
                samples[each.name] += [sample] if number else []
    return samples


def written(result: Report, options: argparse.Namespace) -> None:
    print(report.table(result))
    if options.json:
        options.json.write_text(json.dumps(result.document(), indent=2) + "\n")
    if options.svg:
        options.svg.write_text(report.svg(result))


def say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
