"""A cluster that has the tables."""

from collections.abc import Iterator

import pytest

from db.distribution import distribute
from db.migrate import migrate
from tests.support.citus import Cluster, running_cluster
from tests.support.folders import temporary_folder


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A coordinator and two workers, with the tables distributed."""
    with temporary_folder() as folder, running_cluster(folder) as running:
        migrate(running.url)
        distribute(running.url)
        yield running
