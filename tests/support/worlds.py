"""A server that lasts, and one that is killed, as is its database."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Protocol

import httpx
import psycopg2

from db.migrate import migrate
from db.postgres.embedded import running_postgres
from db.postgres.roles import as_application
from tests.support.databases import as_owner
from tests.support.folders import temporary_folder
from tests.support.ports import free_port
from tests.support.servers import Server, serving, started, url_of

PATIENCE = 60.0
BUSY = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'errand%'"


class World(Protocol):
    """A server with its database, and the failures that can happen to them."""

    url: str
    database_url: str
    disasters_left: int

    def strikes(self, database: bool, after: float) -> None:
        """Kill the server, or its database, after so many seconds."""

    def recovers(self) -> None:
        """Wait until the server is ready again."""


class LastingWorld:
    """The server lasts; only the network is bad."""

    disasters_left = 0

    def __init__(self, url: str, database_url: str) -> None:
        self.url = url
        self.database_url = database_url

    def strikes(self, database: bool, after: float) -> None:
        raise AssertionError("here nothing is killed")

    def recovers(self) -> None:
        """The server is ready."""


class MortalWorld:
    """A server on a port of its own, whose data outlasts it."""

    def __init__(self, folder: Path, stack: ExitStack, disasters: int, *, alone: bool) -> None:
        """If it is not `alone`, other servers go on while it is dead."""
        self.disasters_left = disasters
        self._alone = alone
        self.servers_killed = self.databases_killed = 0
        self._folder = folder
        self._stack = stack
        self._postgres_begins()
        migrate(self._owners_url)
        self.database_url = as_application(self._owners_url)
        self._port = free_port()
        self._server_begins()

    def strikes(self, database: bool, after: float) -> None:
        self.disasters_left -= 1
        time.sleep(after)
        if database:
            self.databases_killed += 1
            os.kill(postmaster_of(self._folder), signal.SIGKILL)
            # The server finds another PostgreSQL in its place, without notice.
            self._postgres_begins()
        else:
            self.servers_killed += 1
            self._server.kill()
            self._server.communicate()
            # Its death does not end the statements that it had sent.
            until(lambda: not self._alone or not self._busy())
            self._server_begins()

    def recovers(self) -> None:
        until(
            lambda: (
                httpx.get(f"{self.url}/health/ready", trust_env=False, verify=False).status_code
                == 200
            )
        )

    def ends(self) -> None:
        """Stop the server by a signal."""
        self._server.terminate()
        self._server.communicate(timeout=PATIENCE)

    def _postgres_begins(self) -> None:
        self._owners_url = self._stack.enter_context(running_postgres(self._folder))

    def _server_begins(self) -> None:
        self._server: Server = started("--port", str(self._port), DATABASE_URL=self.database_url)
        self.url = url_of(self._server)

    def _busy(self) -> bool:
        asking = psycopg2.connect(as_owner(self._owners_url))
        with closing(asking), asking.cursor() as cursor:
            cursor.execute(BUSY)
            return cursor.fetchone() != (0,)


@contextmanager
def lasting_world() -> Iterator[LastingWorld]:
    """A server with a PostgreSQL of its own."""
    with data_folder() as folder, running_postgres(folder, durable=False) as url:
        migrate(url)
        with serving(DATABASE_URL=as_application(url)) as server:
            yield LastingWorld(server, as_application(url))


@contextmanager
def mortal_world(disasters: int, *, alone: bool = True) -> Iterator[MortalWorld]:
    """A server and a PostgreSQL that may be killed so often; it keeps what it has confirmed."""
    with data_folder() as folder, ExitStack() as stack:
        world = MortalWorld(folder, stack, disasters, alone=alone)
        try:
            yield world
        finally:
            world.ends()


@contextmanager
def data_folder() -> Iterator[Path]:
    """The folder of a PostgreSQL."""
    with temporary_folder() as folder:
        yield folder / "data"


def postmaster_of(folder: Path) -> int:
    """The id of the postmaster."""
    return int((folder / "cluster" / "postmaster.pid").read_text().split()[0])


def until(holds: Callable[[], bool]) -> None:
    """Wait for it to come true."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
