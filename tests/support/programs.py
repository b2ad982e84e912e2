"""Programs that others' generators and package managers make of the contract."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.project import ROOT

PROGRAMS = ROOT / "tests" / "clients" / "programs"


@dataclass
class Client:
    """A folder with a generated client and a program that uses it."""

    folder: Path
    server: str

    def runs(self, *command: str) -> str:
        """Run a command in the folder, and return what it prints."""
        done = attempted(self.folder, *command)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout


@contextmanager
def programs(server: str) -> Iterator[Client]:
    """A folder with the programs alone, which is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="errand-") as folder:
        yield Client(shutil.copytree(PROGRAMS, Path(folder), dirs_exist_ok=True), server)


def install_node_packages(folder: Path, package: str) -> None:
    """Install what the folder's package.json names; skip the test where that cannot be done."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("there is no Node here")
    # A cache could answer for a registry.
    probe = ("view", package, "name", "--cache=probe", "--fetch-retries=1")
    if attempted(folder, "npm", *probe).returncode:
        pytest.skip("no npm registry can be reached")
    done = attempted(folder, "npm", "install", "--ignore-scripts", "--no-audit", "--no-fund")
    assert done.returncode == 0, done.stdout + done.stderr


def attempted(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the folder, with what was installed there at hand."""
    installed = [str(folder / "bin"), str(folder / "node_modules" / ".bin")]
    return subprocess.run(
        command,
        cwd=folder,
        env={
            **os.environ,
            "PATH": os.pathsep.join([*installed, os.environ["PATH"]]),
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
