"""A connection that blocks others."""

from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest
from psycopg2.extensions import connection

from tests.support.databases import as_owner


@pytest.fixture
def blocker(own_database: str) -> Iterator[connection]:
    """A connection of the tables' owner, to hold locks in that database."""
    with closing(psycopg2.connect(as_owner(own_database))) as opened:
        yield opened
