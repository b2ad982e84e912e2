"""Clients that others' generators make of the contract, type-checked and run."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent / "clients"
LIVED = "the task has lived\n"

MODELS = {
    *("ChangePage", "Fault", "Health", "Me", "Problem"),
    *("Batch", "BatchResult", "BatchResults"),
    *("BatchCreate", "BatchDelete", "BatchRestore", "BatchToggle", "BatchUpdate"),
    *("Task", "TaskCreate", "TaskPatch", "TaskUpdate", "Tombstone"),
}
SCALARS = {
    "BatchOperation",
    "Description",
    "EntityTags",
    "Id",
    "Revision",
    "Timestamp",
    "Title",
    "Token",
}
ENUMS = {
    *("CreateTaskIfNoneMatch", "HealthStatus"),
    *("BatchCreateOp", "BatchDeleteOp", "BatchRestoreOp", "BatchToggleOp", "BatchUpdateOp"),
}
OPERATIONS = {
    *("list_tasks", "create_task", "get_task", "update_task", "delete_task", "toggle_task"),
    *("patch_task", "restore_task", "batch_tasks", "list_changes"),
    *("get_me", "erase_user", "get_liveness", "get_readiness"),
}

pytestmark = pytest.mark.slow


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


@pytest.fixture(scope="session")
def typescript(server: str) -> Iterator[Client]:
    """A client made by openapi-typescript, of the contract as the server serves it."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("there is no Node here")
    with programs(server) as client:
        # A cache could answer for a registry.
        asked = ("view", "openapi-fetch", "name", "--cache=asked", "--fetch-retries=1")
        if attempted(client.folder, "npm", *asked).returncode:
            pytest.skip("no npm registry can be reached")
        client.runs("npm", "install", "--ignore-scripts", "--no-audit", "--no-fund")
        client.runs(
            "openapi-typescript",
            f"{server}/openapi.json",
            *("--output", "contract.ts", "--root-types", "--root-types-no-schema-prefix"),
            # What has a default may be left out of a body.
            "--default-non-nullable=false",
        )
        yield client


@pytest.fixture(scope="session")
def python(server: str) -> Iterator[Client]:
    """A client made by openapi-python-client, of the contract as the server serves it."""
    with programs(server) as client:
        client.runs(sys.executable, "-m", "venv", ".")
        asked = ("--no-deps", "--no-cache-dir", "--retries=1", "--dest=asked", "attrs")
        if attempted(client.folder, "pip", "download", *asked).returncode:
            pytest.skip("no registry of Python packages can be reached")
        client.runs("pip", "install", "--requirement", "requirements.txt")
        client.runs(
            *("openapi-python-client", "generate", "--fail-on-warning", "--meta=none"),
            f"--url={server}/openapi.json",
        )
        yield client


def test_a_typescript_client_is_strictly_typed_and_lives_the_life_of_a_task(
    typescript: Client,
) -> None:
    typescript.runs("tsc")

    assert typescript.runs("node", "built/life_of_a_task.js", typescript.server) == LIVED


def test_names_in_a_typescript_client_are_those_of_the_contract(typescript: Client) -> None:
    contract = (typescript.folder / "contract.ts").read_text()

    [operations] = re.findall(r"^export interface operations \{\n(.+?)^\}", contract, re.M | re.S)
    assert set(re.findall(r"^    (\S+): \{$", operations, re.M)) == OPERATIONS
    schemas = re.findall(r"^export type (\w+) = components\['schemas'\]\['(\w+)'\]", contract, re.M)
    assert {name for pair in schemas for name in pair} == MODELS | SCALARS
    assert "handlers" not in contract


def test_a_python_client_is_strictly_typed_and_lives_the_life_of_a_task(python: Client) -> None:
    python.runs("mypy", "life_of_a_task.py")

    assert python.runs("python", "life_of_a_task.py", python.server) == LIVED


def test_names_in_a_python_client_are_those_of_the_contract(python: Client) -> None:
    package = python.folder / "errand_client"

    operations = [path for path in package.glob("api/*/*.py") if path.stem != "__init__"]
    assert {path.stem for path in operations} == OPERATIONS
    assert {path.parent.name for path in operations} == {"tasks", "changes", "users", "health"}
    exported = "from errand_client import models; print(*models.__all__)"
    assert set(python.runs("python", "-c", exported).split()) == MODELS | ENUMS
    assert not [path for path in package.rglob("*.py") if "handlers" in path.read_text()]


@contextmanager
def programs(server: str) -> Iterator[Client]:
    """A folder with the programs alone, which is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="errand-") as folder:
        yield Client(shutil.copytree(PROGRAMS, Path(folder), dirs_exist_ok=True), server)


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
