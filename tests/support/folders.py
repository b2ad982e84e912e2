"""Folders for what tests write to."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEMORY = Path("/dev/shm")
# The clusters of all processes that run tests have room in it.
ENOUGH = 4 * 2**30


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that every user can reach, as pytest's tmp_path is not when root runs the tests.

    It is in memory where there is room: PostgreSQL writes a thousand files for each cluster.
    """
    with tempfile.TemporaryDirectory(
        prefix="errand-", dir=_place(), ignore_cleanup_errors=True
    ) as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def copied(folder: Path, target: Path) -> Path:
    """The target, a copy of the folder, which belongs to the same account."""
    subprocess.run(["cp", "-a", folder, target], check=True)
    return target


def _place() -> Path | None:
    has_room = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ENOUGH
    return MEMORY if has_room else None
