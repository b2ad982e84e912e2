"""The lock for those who deploy: what the project requires, each package with its hashes."""

import subprocess
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.project import ROOT

LOCK = ROOT / "requirements.lock"
LOCKS = (LOCK, ROOT / ".deploy" / "build.lock")
RELOCK = (
    "uv pip compile --universal --python-version 3.11 --generate-hashes --no-header"
    " --extra tracing pyproject.toml -o requirements.lock"
)


@dataclass
class Locked:
    """One package of the lock; it stands several times where systems need several versions."""

    requirement: Requirement
    hashes: list[str] = field(default_factory=list)
    is_direct: bool = False

    @property
    def name(self) -> str:
        return str(canonicalize_name(self.requirement.name))

    @property
    def version(self) -> str:
        [specifier] = self.requirement.specifier
        assert specifier.operator == "=="
        return specifier.version


def locked(lock: Path = LOCK) -> list[Locked]:
    entries: list[Locked] = []
    for line in lock.read_text().splitlines():
        text = line.strip().removesuffix("\\").strip()
        if not line.startswith(" "):
            entries.append(Locked(Requirement(text)))
        elif text.startswith("--hash=sha256:"):
            entries[-1].hashes.append(text)
        else:
            assert text.startswith("#")
            entries[-1].is_direct |= text.endswith(("errand (pyproject.toml)", "-r -"))
    return entries


def required() -> dict[str, Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    tracing = project["optional-dependencies"]["tracing"]
    requirements = map(Requirement, [*project["dependencies"], *tracing])
    return {str(canonicalize_name(each.name)): each for each in requirements}


def test_the_lock_has_what_the_project_requires_and_no_more() -> None:
    assert {each.name for each in locked() if each.is_direct} == required().keys(), RELOCK


@pytest.mark.parametrize("name", required())
def test_a_locked_version_is_one_that_the_project_accepts(name: str) -> None:
    versions = [each.version for each in locked() if each.name == name]

    assert versions
    assert all(required()[name].specifier.contains(each) for each in versions), RELOCK


def test_the_lock_of_the_build_has_what_builds_the_project() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]
    wanted = {each.name: each for each in map(Requirement, build["requires"])}
    direct = {each.name: each.version for each in locked(LOCKS[1]) if each.is_direct}

    assert direct.keys() == wanted.keys()
    assert all(wanted[name].specifier.contains(version) for name, version in direct.items())


@pytest.mark.parametrize("lock", LOCKS, ids=lambda each: each.name)
def test_every_package_of_the_lock_has_hashes_and_none_has_a_url(lock: Path) -> None:
    assert all(each.hashes for each in locked(lock))
    assert "://" not in lock.read_text()


@pytest.mark.long
def test_the_lock_installs() -> None:
    pip = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]

    subprocess.run([*pip, "--require-hashes", "--requirement", str(LOCK)], check=True, timeout=600)
