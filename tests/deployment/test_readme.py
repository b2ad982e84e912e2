"""The README's own commands, in a fresh clone with an empty home."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.copies import copied
from tests.support.project import README
from tests.support.servers import LISTENING

COMMANDS = re.findall(r"^```sh\n(.+)\n```$", README.read_text(), re.MULTILINE)

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not shutil.which("curl"), reason="the README's example needs curl"),
]


@pytest.fixture
def clone() -> Iterator[Path]:
    """The project and nothing that was made from it, somewhere else."""
    with tempfile.TemporaryDirectory(prefix="errand-") as folder:
        Path(folder).chmod(0o755)
        yield copied(Path(folder) / "clone")


@pytest.fixture
def environment(clone: Path) -> dict[str, str]:
    """What a new user's shell has: no virtual environment, an empty home."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTEST", "VIRTUAL_ENV", "ERRAND_"))
    }
    home = clone.parent / "home"
    home.mkdir()
    return {**inherited, "HOME": str(home), "ERRAND_DATA_DIR": str(clone.parent / "data")}


def test_commands_of_the_first_screen_work_in_a_fresh_clone(
    clone: Path, environment: dict[str, str]
) -> None:
    run, curl, test = COMMANDS[:3]
    port = "8000"

    server = subprocess.Popen(
        ["bash", "-c", f"{run} --port {port}"],
        cwd=clone,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert server.stdout
    try:
        assert server.stdout.readline().startswith(LISTENING)
        tried = bash(curl, clone, environment)
    finally:
        os.killpg(server.pid, 15)
        server.communicate(timeout=30)
    # All tests would run this one too.
    a_few = {"PYTEST_ADDOPTS": "-k test_task_needs_only_a_title"}
    tested = bash(test, clone, {**environment, **a_few})

    assert tried.startswith("HTTP/1.1 201 Created")
    assert "1 passed" in tested


def bash(command: str, folder: Path, environment: dict[str, str]) -> str:
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    ).stdout
