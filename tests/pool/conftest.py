"""A database with some notes, and networks that can break."""

from collections.abc import Callable, Iterator
from contextlib import closing

import psycopg2
import pytest
from psycopg2.extensions import connection

from tests.pool.scenes import SCHEMA, Observer
from tests.support.databases import as_owner
from tests.support.network import Network, network_to


@pytest.fixture(scope="module")
def new_notes(new_database: Callable[[], str]) -> Callable[[], str]:
    def make() -> str:
        url = new_database()
        Observer(as_owner(url)).ask(SCHEMA)
        return url

    return make


@pytest.fixture(scope="module")
def url(new_notes: Callable[[], str]) -> str:
    return new_notes()


@pytest.fixture
def server(url: str) -> Iterator[Observer]:
    observer = Observer(as_owner(url))
    observer.ask("SELECT setval('stumbles', 1, false)")
    observer.ask("TRUNCATE notes")
    yield observer
    observer.connection.close()


@pytest.fixture
def lock(url: str, server: Observer) -> Iterator[connection]:
    """Another server's lock on one of two notes, until it is rolled back."""
    server.note("locked")
    server.note("free")
    with closing(psycopg2.connect(as_owner(url))) as holder:
        holder.cursor().execute("SELECT FROM notes WHERE text = 'locked' FOR UPDATE")
        yield holder


@pytest.fixture
def network(url: str) -> Iterator[Network]:
    with network_to(url) as network:
        yield network


@pytest.fixture
def detour(url: str) -> Iterator[Network]:
    """A second network to the same database."""
    with network_to(url) as network:
        yield network
