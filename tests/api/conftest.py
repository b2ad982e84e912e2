"""A connection that blocks others, and a Redis."""

from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest
from psycopg2.extensions import connection

from tests.support.databases import as_owner
from tests.support.redis import Redis


@pytest.fixture
def blocker(own_database: str) -> Iterator[connection]:
    """A connection of the tables' owner, to hold locks in that database."""
    with closing(psycopg2.connect(as_owner(own_database))) as opened:
        yield opened


@pytest.fixture
def redis() -> Iterator[Redis]:
    """A Redis of the test's own."""
    redis = Redis()
    yield redis
    redis.dies()
