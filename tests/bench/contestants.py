"""Who can be measured, each with a database of its own: Errand, its peers, and pgbench."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from db.postgres.roles import as_application
from tests.bench import load, peers
from tests.bench.data import Postgres, database, environment, run
from tests.bench.load import Sample
from tests.bench.peers import ERRAND, PEERS, PGBENCH, PGBENCH_TITLE, Peer, Server
from tests.bench.report import counted
from tests.bench.tokens import Tokens
from tests.bench.workloads import LIST_PATH, Workload


@dataclass(frozen=True)
class Contestant:
    """A server that can be measured."""

    name: str
    title: str
    processes: int
    measure: Callable[..., Sample]
    settle: Callable[[], None]

    def sample(self, workload: Workload, *, clients: int, seconds: float) -> Sample:
        """What the workload takes, when nothing of the one before is left to do."""
        self.settle()
        return self.measure(workload, clients=clients, seconds=seconds)


def started(
    names: list[str],
    processes: int,
    postgres: Postgres,
    stack: ExitStack,
    baseline: Path | None = None,
) -> Iterator[Contestant]:
    """Errand and each peer that can be had, in so many processes."""
    others = [peers.baseline(baseline)] if baseline else []
    for peer in (ERRAND, *others, *(PEERS[name] for name in names if name in PEERS)):
        try:
            yield serving(peer, processes, postgres, stack)
        except (peers.Unavailable, peers.WrongAnswer) as error:
            if peer is ERRAND:
                raise
            say(f"{peer.title} is left out: {error}")
    if PGBENCH in names and shutil.which(PGBENCH):
        at = environment(database(postgres.url, f"{PGBENCH}_{processes}", errands=True))
        measure = partial(load.pgbench, at, processes=processes, postgres=postgres.pid)
        yield Contestant(PGBENCH, PGBENCH_TITLE, processes, measure, settling(postgres))
    elif PGBENCH in names:
        say("pgbench is left out: it is not on the PATH")


def serving(peer: Peer, processes: int, postgres: Postgres, stack: ExitStack) -> Contestant:
    """Install a peer, start it, and make sure that its answers are right."""
    say(f"starting {peer.title}, {counted(processes, 'process', 'processes')}")
    cache = cache_folder()
    command = peer.prepare(cache, processes)
    name = f"{peer.name}_{processes}"
    own = database(postgres.url, name, errands=peer.errands_schema, migrate=peer.migrate)
    variables = {"DATABASE_URL": as_application(own)} if peer.errands_schema else environment(own)
    tokens = Tokens() if peer.asks_for_tokens else None
    if tokens:
        variables |= tokens.settings
    if peer.errands_schema:
        variables["ERRAND_REQUEST_LOG"] = "on" if peer.logs_requests else "off"
    log = stack.enter_context((cache / f"{peer.name}.log").open("wb"))
    server = stack.enter_context(peers.running(command, variables, log))
    peers.check(server, tokens)
    measure = partial(load.wrk, server.url, server=server.pid, postgres=postgres.pid, tokens=tokens)
    return Contestant(peer.name, peer.title, processes, measure, settling(postgres))


def settling(postgres: Postgres) -> Callable[[], None]:
    """Have PostgreSQL write what it would else write during the next measurement."""
    return partial(run, postgres.url, "CHECKPOINT")


@contextmanager
def errand(own: str, path: str = LIST_PATH, **settings: str) -> Iterator[Server]:
    """Errand alone, in one process on this database, from when it answers for this path."""
    cache = cache_folder()
    variables = {"DATABASE_URL": as_application(own), **settings}
    with (
        (cache / f"{ERRAND.name}.log").open("wb") as log,
        peers.running(ERRAND.prepare(cache, 1), variables, log, path) as server,
    ):
        yield server


def cache_folder() -> Path:
    """Where what the peers need is kept from one run to the next."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base, "errand-benchmark")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)
