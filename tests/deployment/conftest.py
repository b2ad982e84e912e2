"""Folders for embedded PostgreSQL servers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from db.migrate import migrate
from tests.support.embedded import end_leftover_server, quick_postgres
from tests.support.folders import temporary_folder


@pytest.fixture
def shelf() -> Iterator[Path]:
    """A folder that every user can reach."""
    with temporary_folder() as made:
        yield made
        for cluster in made.rglob("cluster"):
            end_leftover_server(cluster)


@pytest.fixture(scope="session")
def used_once() -> Iterator[Path]:
    """A data folder that was used once: a copy of it takes far less time than initdb."""
    with temporary_folder() as made:
        with quick_postgres(made / "data"):
            pass
        yield made / "data"


@pytest.fixture(scope="session")
def served_once() -> Iterator[Path]:
    """A data folder that a server has used: in a copy of it the tables need not be made."""
    with temporary_folder() as made:
        with quick_postgres(made / "data") as url:
            migrate(url)
        yield made / "data"


@pytest.fixture
def folder(shelf: Path) -> Path:
    return shelf / "data"
