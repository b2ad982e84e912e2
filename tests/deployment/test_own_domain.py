"""The steps to an own domain in CONTRIBUTING.md, carried out as they stand."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.copies import copied
from tests.support.project import ROOT
from tests.support.recipes import hunks, steps_of
from tests.support.servers import LISTENING

STEPS = steps_of(ROOT / "CONTRIBUTING.md", "Your own domain in five minutes")
MADE_BY_THE_STEPS = "handlers/labels.py"
PROGRAMS = {"errand": "openapi", "pytest": "pytest", "ruff": "ruff", "mypy": "mypy"}


@pytest.fixture
def clone() -> Iterator[Path]:
    """A copy of the project, in which the commands of the page have their programs."""
    with tempfile.TemporaryDirectory(prefix="errand-") as folder:
        Path(folder).chmod(0o755)
        clone = copied(Path(folder) / "clone")
        programs = clone / ".venv" / "bin"
        programs.mkdir(parents=True)
        for name, module in PROGRAMS.items():
            script(programs / name, f'exec {sys.executable} -m {module} "$@"')
        linter = Path(sys.executable).with_name("lint-imports")
        script(programs / linter.name, f'exec {linter} "$@"')
        yield clone


def script(file: Path, command: str) -> None:
    file.write_text(f"#!/bin/sh\n{command}\n")
    file.chmod(0o755)


@pytest.mark.long
@pytest.mark.skipif(
    not all(map(find_spec, ("ruff", "mypy", "importlinter"))), reason="the steps run every check"
)
@pytest.mark.skipif(not shutil.which("curl"), reason="the last step needs curl")
def test_the_steps_lead_from_a_path_in_the_contract_to_a_request(clone: Path) -> None:
    *steps, serve, curl = STEPS
    for step in steps:
        if step.language != "sh":
            step.apply(clone)
            continue
        done = run(step.code, clone)
        assert done.returncode == 0, done.stdout + done.stderr

    with subprocess.Popen(
        ["sh", "-c", f"exec {serve.code}"],
        cwd=clone,
        env=environment(clone),
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout
        announced = server.stdout.readline()
        created = run(curl.code, clone)
        server.terminate()

    assert announced.startswith(LISTENING)
    assert created.stdout.startswith("HTTP/1.1 201 Created")
    assert '"name":"home"' in created.stdout


def test_what_the_steps_change_is_there() -> None:
    changes = [step for step in STEPS if step.language == "diff"]

    assert changes
    for step in changes:
        if step.file == MADE_BY_THE_STEPS:
            continue
        text = (ROOT / step.file).read_text()
        assert [old for old, _ in hunks(step.code) if text.count(old) != 1] == []


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-e", "-c", command],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def environment(clone: Path) -> dict[str, str]:
    """An environment in which the modules are those of the clone."""
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("PYTEST")}
    return {**inherited, "PYTHONPATH": str(clone), "PYTEST_ADDOPTS": "-n 1"}
