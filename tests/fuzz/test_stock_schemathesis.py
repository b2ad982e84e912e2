"""Schemathesis as it comes, without this project's configuration, finds no failure."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.project import README
from tests.support.servers import Serve

[COMMAND] = re.findall(r"`\.venv/bin/(st run [^`]+)`", README.read_text())
CASES_OF_AN_OPERATION = 30

pytestmark = pytest.mark.long


def test_the_command_of_the_readme_finds_no_failure(serve: Serve, tmp_path: Path) -> None:
    command = COMMAND.replace("http://127.0.0.1:8000", serve())
    tool = Path(sys.executable).with_name("st")
    arguments = shlex.split(command)[1:]

    # In an empty folder, where there is no schemathesis.toml.
    run = subprocess.run(
        [tool, *arguments, f"--max-examples={CASES_OF_AN_OPERATION}", "--no-color"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )

    assert run.returncode == 0, run.stdout[-5000:] + run.stderr
    assert re.search(r"\d+ generated, \d+ passed", run.stdout)
