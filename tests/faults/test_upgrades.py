"""Servers of two versions on one database, under load: of this one, and of one that comes after it.

The next version is a copy of this one with another migration.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from db.postgres.schema_version import NEWEST
from tests.faults.load import Load, under_load
from tests.support.copies import copied, run_in
from tests.support.databases import as_owner, query_as_owner
from tests.support.folders import temporary_folder
from tests.support.servers import PATIENT_SERVER, Server, errand, started, url_of

pytestmark = pytest.mark.long

NEXT = f"{int(NEWEST) + 1:04}"
EXPANSION = f'''
"""Tasks have a place, and lists by it."""

import sqlalchemy as sa
from alembic import op

revision = "{NEXT}"
down_revision = "{NEWEST}"
oldest_code = "{NEWEST}"


def upgrade() -> None:
    op.add_column("tasks", sa.Column("place", sa.Text))
    op.create_index(
        "tasks_by_place",
        "tasks",
        ["user_id", "place", "id"],
        postgresql_where=sa.text("place IS NOT NULL"),
    )
'''
CLIENTS = 4
SECONDS_FOR_PROXIES = 0.5
"""After which no request goes to a server that is to stop."""


class Fleet:
    """Servers on one database, and which of them get requests."""

    def __init__(self, database_url: str) -> None:
        self._settings = {"DATABASE_URL": database_url, "ERRAND_REQUEST_LOG": "off"}
        self._servers: list[tuple[str, Server]] = []

    def urls(self) -> list[str]:
        """The addresses of those that get requests."""
        return [url for url, _ in self._servers]

    def start(self, version: Path | None = None) -> None:
        """Start a server of this version, or of that in a folder; then it gets requests."""
        process = (
            executed_in(version, **self._settings)
            if version
            else started(log=None, **self._settings)
        )
        self._servers.append((url_of(process), process))

    def stop_oldest(self) -> None:
        """Stop a server as a service manager does: proxies first stop to send requests to it."""
        _, process = self._servers.pop(0)
        time.sleep(SECONDS_FOR_PROXIES)
        process.terminate()
        process.communicate(timeout=30)
        assert process.returncode == 0

    def replace_all(self, load: Load, version: Path | None = None) -> None:
        """Replace one after the other; each serves before another one stops."""
        for _ in range(len(self._servers)):
            self.start(version)
            load.flows()
            self.stop_oldest()


def executed_in(folder: Path, **settings: str) -> "subprocess.Popen[str]":
    """A server of the version in the folder."""
    return subprocess.Popen(
        [sys.executable, "-m", "openapi", "serve", "--port", "0"],
        cwd=folder,
        env={**os.environ, **PATIENT_SERVER, "PYTHONPATH": str(folder), **settings},
        stdout=subprocess.PIPE,
        text=True,
    )


@contextmanager
def fleet(database_url: str) -> Iterator[Fleet]:
    """Two servers of this version."""
    servers = Fleet(database_url)
    for _ in range(2):
        servers.start()
    try:
        yield servers
    finally:
        while servers.urls():
            servers.stop_oldest()


@pytest.fixture
def next_version() -> Iterator[Path]:
    """The project with one more migration."""
    with temporary_folder() as folder:
        copy = copied(folder / "next")
        (copy / f"db/migrations/versions/{NEXT}_place.py").write_text(EXPANSION.lstrip())
        yield copy


def test_rolling_upgrade_and_its_way_back(own_database: str, next_version: Path) -> None:
    owner = {"DATABASE_URL": as_owner(own_database)}
    with fleet(own_database) as servers:
        early = run_in(next_version, "openapi", "serve", DATABASE_URL=own_database)
        with under_load(servers.urls, CLIENTS) as load:
            migrated = run_in(next_version, "openapi", "migrate", **owner)
            load.flows()
            servers.replace_all(load, next_version)
            servers.replace_all(load)
        migrated_again = errand("migrate", **owner)

    assert f"The database's schema is {NEWEST}, but this version needs {NEXT}." in early.stderr
    for ended in (migrated, migrated_again):
        assert ended.stdout == f"The database's schema is {NEXT}.\n", ended.stderr
    assert query_as_owner(own_database, "SELECT count(place) FROM tasks") == [0]
    assert {*load.responses()} <= {"200", "201"}
