"""Folders for embedded PostgreSQL servers."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.embedded import (
    end_leftover_server,
)


@pytest.fixture
def shelf() -> Iterator[Path]:
    """A folder that every user can reach, as pytest's tmp_path is not when root runs the tests."""
    with tempfile.TemporaryDirectory(prefix="errand-test-", ignore_cleanup_errors=True) as made:
        Path(made).chmod(0o755)
        yield Path(made)
        for cluster in Path(made).rglob("cluster"):
            end_leftover_server(cluster)


@pytest.fixture
def folder(shelf: Path) -> Path:
    return shelf / "data"
