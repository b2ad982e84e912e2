"""A real PostgreSQL, a real server, and the people who use it."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import httpx
import psycopg2
import pytest
from psycopg2.extensions import make_dsn

from db.migrate import migrate
from db.postgres.embedded import NAME as OWNER
from db.postgres.embedded import running_postgres
from db.postgres.roles import as_application
from tests.issuer import Issuer, running_issuer
from tests.wire import Wire, wire_to

LISTENING = "Errand listens on "

Server = subprocess.Popen[str]


@dataclass
class Task:
    """A task that is there when a test begins."""

    url: str
    document: dict[str, Any]

    @property
    def etag(self) -> str:
        """The version of which it then was."""
        return f'"{self.document["revision"]}"'


class User(httpx.Client):
    """Somebody with tasks; paths are relative to theirs."""

    def __init__(self, server: str, issuer: Issuer | None = None) -> None:
        self.id = str(uuid4())
        self.tasks = f"/api/{self.id}/tasks"
        token = {"Authorization": f"Bearer {issuer.token(self.id)}"} if issuer else {}
        super().__init__(base_url=server, timeout=30, headers=token)

    def creates(self, title: str = "Buy milk", **fields: Any) -> Task:
        """Have a new task."""
        response = self.post(self.tasks, json={"title": title, **fields})
        assert response.status_code == 201, response.text
        return Task(response.headers["location"], response.json())


class Serve(Protocol):
    """Starts a server with these settings, and returns its URL."""

    def __call__(self, **settings: str) -> str: ...


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """An embedded PostgreSQL of this worker's own, with the schema in its template."""
    with tempfile.TemporaryDirectory(prefix="errand-") as folder:
        # The server's account must reach it, where the tests run as root.
        Path(folder).chmod(0o755)
        with running_postgres(Path(folder) / "data", durable=False) as url:
            with administration(url) as execute:
                execute("CREATE DATABASE template")
            migrate(database_named("template", url))
            yield url


@pytest.fixture(scope="session")
def new_database(postgres_url: str) -> Callable[[], str]:
    """Make a database with the schema and nothing else; the URLs are those of a server."""

    def create() -> str:
        name = f"errand_{uuid4().hex}"
        with administration(postgres_url) as execute:
            execute(f"CREATE DATABASE {name} TEMPLATE template")
        return as_application(database_named(name, postgres_url))

    return create


@pytest.fixture(scope="session")
def database_url(new_database: Callable[[], str]) -> str:
    """The database of the server that most tests share; each test brings users of its own."""
    return new_database()


@pytest.fixture(scope="session")
def server(database_url: str) -> Iterator[str]:
    """The URL of a server that runs as `errand serve` does."""
    with serving(DATABASE_URL=database_url) as url:
        yield url


@pytest.fixture(scope="session")
def issuer() -> Iterator[Issuer]:
    """Whose tokens the guarded server takes."""
    with running_issuer() as issuer:
        yield issuer


@pytest.fixture(scope="session")
def guarded_server(issuer: Issuer, database_url: str) -> Iterator[str]:
    """A server that lets nobody in without a token, on the same database."""
    settings = trusting(issuer, ERRAND_RATE_LIMIT="1000000")
    with serving(DATABASE_URL=database_url, **settings) as url:
        yield url


@pytest.fixture
def serve(new_database: Callable[[], str]) -> Iterator[Serve]:
    """Start further servers, each with settings of its own; they stop with the test."""
    with ExitStack() as stack:

        def start(**settings: str) -> str:
            settings.setdefault("DATABASE_URL", new_database())
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


@contextmanager
def serving(**settings: str) -> Iterator[str]:
    """Run `errand serve` on any free port, with these settings in its environment."""
    process = started(log=None, **settings)
    try:
        yield url_of(process)
    finally:
        process.terminate()
        process.communicate(timeout=20)


def trusting(issuer: Issuer, **others: str) -> dict[str, str]:
    """The settings of a server that takes this issuer's tokens."""
    return {
        "ERRAND_JWKS_URL": issuer.jwks_url,
        "ERRAND_ISSUER": issuer.url,
        "ERRAND_AUDIENCE": issuer.url,
        **others,
    }


def started(*flags: str, log: Path | None = None, **settings: str) -> Server:
    """Start `errand serve` on any free port."""
    with (log or Path(os.devnull)).open("w") as stderr:
        return subprocess.Popen(
            [sys.executable, "-m", "openapi", "serve", "--port", "0", *flags],
            env={**os.environ, **settings},
            stdout=subprocess.PIPE,
            stderr=stderr if log else None,
            text=True,
        )


def url_of(process: Server) -> str:
    """Where a server listens that has just been started."""
    assert process.stdout
    first = process.stdout.readline()
    assert first.startswith(LISTENING), first
    return first.removeprefix(LISTENING).strip()


@contextmanager
def administration(url: str) -> Iterator[Callable[[str], None]]:
    """Run statements as the owner of everything, outside of a transaction."""
    connection = psycopg2.connect(as_owner(url))
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            yield cursor.execute
    finally:
        connection.close()


def store_task(execute: Callable[[str], Any], user_id: Any, task_id: Any, title: str) -> None:
    """A new user's only task, which no server has looked at."""
    execute(f"INSERT INTO users (id) VALUES ('{user_id}')")
    execute(
        "INSERT INTO tasks (user_id, id, title, revision)"
        f" VALUES ('{user_id}', '{task_id}', '{title}', 1)"
    )


def as_owner(url: str) -> str:
    """The same database, for whom row-level security does not hold."""
    return make_dsn(url, user=OWNER)


def database_named(name: str, url: str) -> str:
    """The same server's database of another name."""
    return make_dsn(url, dbname=name)


def assert_problem(response: httpx.Response, status: int, name: str) -> dict[str, Any]:
    """The answer is a problem document of that kind; returns it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["type"] == f"/problems#{name}"
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert problem["request_id"]
    return problem


def assert_faults(response: httpx.Response, *places: str) -> None:
    """The request broke the contract in these places, and in no other."""
    problem = assert_problem(response, 422, "invalid-request")
    found = {fault.get("pointer", fault.get("parameter")) for fault in problem["errors"]}
    assert found == set(places)


def eventually(holds: Callable[[], bool], seconds: float = 10) -> bool:
    """Whether it comes true before long."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
