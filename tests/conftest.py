"""Fixtures: a real PostgreSQL, real servers, and their users."""

import gc
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from hypothesis import settings

from db.distribution import distribute
from db.migrate import migrate
from db.postgres.embedded import running_postgres
from db.postgres.roles import as_application
from tests.support.citus import HAS_CITUS, WITHOUT_CITUS, Cluster, running_cluster
from tests.support.databases import (
    administration,
    create_rare_fields_of,
    created_database,
    database_named,
    temporary_database,
)
from tests.support.folders import temporary_folder
from tests.support.issuer import Issuer, running_issuer
from tests.support.races import Servers
from tests.support.servers import MANY_CONNECTIONS, Serve, serving, trusting
from tests.support.users import Task, User
from tests.support.wire import Wire, wire_to

settings.register_profile("short", max_examples=30)

# What is imported and collected stays: to look for garbage in it took a fifth of all tests' time.
gc.disable()


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()
    # As rare as it was with all of that: what a test has left is not to fail one long after it.
    gc.set_threshold(700, 10, 1000)
    gc.enable()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--citus", action="store_true", help="the database that most tests share is a Citus cluster"
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--citus") and not HAS_CITUS:
        pytest.exit(f"{WITHOUT_CITUS}: the tests on a cluster are left out.", returncode=0)


def pytest_runtest_setup(item: pytest.Item) -> None:
    marker = item.get_closest_marker("plain_database")
    if marker and item.config.getoption("--citus"):
        pytest.skip(marker.args[0])


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A coordinator and two workers, with the tables distributed."""
    with temporary_folder() as folder, running_cluster(folder) as running:
        migrate(running.url)
        create_rare_fields_of(running.url)
        distribute(running.url)
        yield running


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """An embedded PostgreSQL of this worker's own, with the schema in its template."""
    with (
        temporary_folder() as folder,
        running_postgres(folder / "data", durable=False) as url,
    ):
        with administration(url) as execute:
            execute("CREATE DATABASE template")
            # It would visit the databases of all tests in turn, again and again.
            execute("ALTER SYSTEM SET autovacuum = off")
            execute("SELECT pg_reload_conf()")
        migrate(database_named("template", url))
        create_rare_fields_of(database_named("template", url))
        yield url


@pytest.fixture(scope="session")
def new_database(postgres_url: str) -> Callable[[], str]:
    """Make a database with the schema and nothing else; the URLs are those of a server."""

    return lambda: created_database(postgres_url)


@pytest.fixture(scope="session")
def database_url(request: pytest.FixtureRequest) -> str:
    """The database of the server that most tests share; each test brings users of its own."""
    if request.config.getoption("--citus"):
        cluster: Cluster = request.getfixturevalue("cluster")
        return as_application(cluster.url)
    new_database: Callable[[], str] = request.getfixturevalue("new_database")
    return new_database()


@pytest.fixture(scope="session")
def node_of(request: pytest.FixtureRequest, database_url: str) -> Callable[[str], str]:
    """The URL of the PostgreSQL that has a user's rows, and the locks on them."""
    if request.config.getoption("--citus"):
        cluster: Cluster = request.getfixturevalue("cluster")
        return lambda user_id: cluster.worker_of(user_id).url
    return lambda user_id: database_url


@pytest.fixture
def own_database(postgres_url: str) -> Iterator[str]:
    """A database that a test may lock, break and lose."""
    with temporary_database(postgres_url) as url:
        yield url


@pytest.fixture(scope="session")
def server(database_url: str) -> Iterator[str]:
    """The URL of a server that runs as `errand serve` does."""
    with serving(DATABASE_URL=database_url, **MANY_CONNECTIONS) as url:
        yield url


@pytest.fixture(scope="session")
def servers(server: str, database_url: str) -> Iterator[Servers]:
    """The same server, and others on its database."""
    with serving(DATABASE_URL=database_url) as second, serving(DATABASE_URL=database_url) as third:
        yield Servers([server, second, third], database_url)


@pytest.fixture(scope="session")
def issuer() -> Iterator[Issuer]:
    """Whose tokens the guarded server takes."""
    with running_issuer() as issuer:
        yield issuer


@pytest.fixture(scope="session")
def guarded_server(issuer: Issuer, database_url: str) -> Iterator[str]:
    """A server that requires tokens, on the same database."""
    settings = trusting(issuer, ERRAND_RATE_LIMIT="1000000")
    with serving(DATABASE_URL=database_url, **settings) as url:
        yield url


@pytest.fixture
def serve(postgres_url: str) -> Iterator[Serve]:
    """Start further servers, each with settings of its own; they stop with the test."""
    with ExitStack() as stack:

        def start(**settings: str) -> str:
            if "DATABASE_URL" not in settings:
                settings["DATABASE_URL"] = stack.enter_context(temporary_database(postgres_url))
            return stack.enter_context(serving(**settings))

        yield start


@pytest.fixture
def wire(server: str) -> Iterator[Wire]:
    """A connection to the server."""
    with wire_to(server) as connected:
        yield connected


@pytest.fixture
def alice(server: str) -> Iterator[User]:
    """A user."""
    with User(server) as user:
        yield user


@pytest.fixture
def bob(server: str) -> Iterator[User]:
    """Another user."""
    with User(server) as user:
        yield user


@pytest.fixture
def task(alice: User) -> Task:
    """A task of Alice's."""
    return alice.creates("Buy milk", description="Two litres")
