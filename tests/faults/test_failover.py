"""Patroni replaces the leader of three nodes of PostgreSQL, under load."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

import pytest

from db.migrate import migrate
from db.postgres.roles import as_application
from tests.faults.impatient import impatient
from tests.faults.load import Load, under_load
from tests.support.patroni import PATIENCE, Node, needs_patroni, running_cluster
from tests.support.polling import eventually

pytestmark = pytest.mark.long

CLIENTS = 4
GENEROUS_SECONDS = 10
"""The page says one; a busy machine may take more."""


@needs_patroni
def test_leader_of_patroni_that_is_switched_and_then_killed() -> None:
    with running_cluster() as cluster:
        migrate(cluster.url)
        with (
            impatient(DATABASE_URL=as_application(cluster.url)) as (_, url),
            under_load(lambda: [url], CLIENTS) as load,
        ):
            switched = replaced(load, cluster.switch_over)
            assert eventually(cluster.is_whole, PATIENCE), cluster.members()
            failed = replaced(load, cluster.fail_over)
    print(f"a switchover: {switched}; a failover: {failed}")
    assert max(switched.without_writes, failed.without_writes) < GENEROUS_SECONDS


class Replaced(NamedTuple):
    """How long it took to replace a leader, in seconds."""

    until_promotion: float
    """By the log of the new leader."""

    without_writes: float
    """From then to the first write that was confirmed."""


def replaced(load: Load, replace: Callable[[], Node]) -> Replaced:
    """Replace the leader, and wait until all clients are served by the new one."""
    began = datetime.now(UTC)
    leader = replace()
    load.flows()
    promoted = leader.promotions()[-1]
    confirmed = (
        datetime.fromtimestamp(at, UTC) for each in load.writers for at in each.confirmed_at
    )
    first = min(at for at in confirmed if at > promoted)
    return Replaced((promoted - began).total_seconds(), (first - promoted).total_seconds())
