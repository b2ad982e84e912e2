"""What it costs that users are many: requests for tasks of any user."""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from random import Random

from tests.bench import load
from tests.bench.contestants import errand, say
from tests.bench.data import FIRST, TASKS_OF_EACH, USER_PREFIX, Postgres, crowds_database, task_id
from tests.bench.load import Sample
from tests.bench.workloads import USUAL, USUAL_CLIENTS, WORKLOADS, Request, Workload

TITLE = (
    f"population: users of {TASKS_OF_EACH:,} tasks each, stored in turns; "
    f"requests of {USUAL_CLIENTS} clients for any user's"
)
SPREAD = 100_000


@dataclass(frozen=True)
class Populated:
    """What a request takes among so many."""

    workload: str
    users: int
    tasks: int
    per_second: float
    p50_ms: float
    p99_ms: float
    server_us: float
    postgres_us: float


@dataclass(frozen=True)
class ForAnybody:
    """A workload, for a random task of so many users, others in each turn."""

    workload: Workload
    users: int
    turn: int

    @property
    def name(self) -> str:
        return f"{self.workload.name} among {self.users:,} users"

    def requests(self) -> Iterator[Request]:
        """As many as make it unlikely that one was asked for a moment ago."""
        random = Random(f"{self.name}, turn {self.turn}")
        for _ in range(SPREAD):
            number = random.randrange(self.users * TASKS_OF_EACH)
            user = f"{USER_PREFIX}{FIRST + number % self.users}"
            path = self.workload.path.format(user=user, task=task_id(number))
            yield Request(self.workload.method, path, user, self.workload.body)


def measured(postgres: Postgres, options: argparse.Namespace) -> Iterator[Populated]:
    """Every usual workload, among so many users, and among more."""
    for users in options.users:
        say(f"storing {users * TASKS_OF_EACH:,} tasks")
        own = crowds_database(postgres.url, f"population_{users}", users)
        with errand(own) as server:
            wrk = partial(load.wrk, server.url, server=server.pid, postgres=postgres.pid)
            send = partial(wrk, clients=USUAL_CLIENTS)
            for workload in (WORKLOADS[name] for name in USUAL):
                warm_up, *turns = (
                    ForAnybody(workload, users, turn) for turn in range(options.rounds + 1)
                )
                say(f"measuring {warm_up.name}")
                send(warm_up, seconds=load.WARM_UP_SECONDS)
                yield row(warm_up, [send(turn, seconds=options.seconds) for turn in turns])


def row(work: ForAnybody, samples: list[Sample]) -> Populated:
    s = Sample.median(samples)
    return Populated(
        work.workload.name,
        work.users,
        work.users * TASKS_OF_EACH,
        s.per_second,
        s.p50_ms,
        s.p99_ms,
        s.server_us,
        s.postgres_us,
    )
