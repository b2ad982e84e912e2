"""What a Citus cluster costs: the same server on it, and on one PostgreSQL of the same version."""

import argparse
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from db.distribution import distribute
from db.migrate import migrate
from tests.bench import load, peers
from tests.bench.contestants import errand, say
from tests.bench.data import REVISION, TASKS, USERS, Postgres, run
from tests.bench.load import Sample
from tests.bench.peers import Server
from tests.bench.workloads import USUAL, USUAL_CLIENTS, WORKLOADS, Workload
from tests.support.citus import HAS_CITUS, running_cluster, running_node
from tests.support.folders import temporary_folder

SHARDS = 32
TITLE = (
    f"citus: a cluster of a coordinator and two workers with {SHARDS} shards, beside one"
    f" PostgreSQL; all on this machine, without fsync; {USUAL_CLIENTS} clients"
)


@dataclass(frozen=True)
class Distributed:
    """Requests a second on both, and the processor's time of the server for each."""

    workload: str
    plain_per_second: float
    citus_per_second: float
    ratio: float
    plain_server_us: float
    citus_server_us: float


def measured(_: Postgres, options: argparse.Namespace) -> Iterator[Distributed]:
    """Every usual workload, on the one and the other in turns."""
    if not HAS_CITUS:
        raise peers.Unavailable("PostgreSQL's extension citus is not installed")
    with temporary_folder() as folder, ExitStack() as stack:
        plain = stack.enter_context(running_node(folder)).url
        citus = stack.enter_context(running_cluster(folder, SHARDS)).url
        migrate(citus)
        distribute(citus)
        servers = [stack.enter_context(errand(filled(url))) for url in (plain, citus)]
        for workload in (WORKLOADS[name] for name in USUAL):
            say(f"measuring {workload.name}")
            rounds = [
                [sample(each, workload, options.seconds) for each in servers]
                for _ in range(options.rounds)
            ]
            yield row(workload.name, *(Sample.median(each) for each in zip(*rounds, strict=True)))


def filled(url: str) -> str:
    """The database with all tasks."""
    say("storing tasks")
    migrate(url)
    tasks = TASKS.format(**REVISION)
    run(url, USERS, tasks, "VACUUM ANALYZE")
    return url


def sample(server: Server, workload: Workload, seconds: float) -> Sample:
    """What the workload takes; the processor's time of PostgreSQL is not measured."""
    send = partial(load.wrk, server.url, workload, server=server.pid, postgres=server.pid)
    send(clients=USUAL_CLIENTS, seconds=load.WARM_UP_SECONDS)
    return send(clients=USUAL_CLIENTS, seconds=seconds)


def row(workload: str, plain: Sample, citus: Sample) -> Distributed:
    return Distributed(
        workload,
        plain.per_second,
        citus.per_second,
        citus.per_second / plain.per_second,
        plain.server_us,
        citus.server_us,
    )
