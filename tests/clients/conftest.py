"""Clients that others' generators make of the contract."""

import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.browser import Browser, Page, browser
from tests.support.folders import temporary_folder
from tests.support.programs import Client, attempted, install_node_packages, programs
from tests.support.project import ROOT


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A browser."""
    with temporary_folder() as profile, browser(profile) as started:
        yield started


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A page of the browser, as if it had just been installed."""
    with chromium.page() as page:
        yield page


@pytest.fixture(scope="session")
def npm_linters() -> Iterator[Path]:
    """A folder with the linters of npm, which is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="errand-") as name:
        folder = Path(name)
        shutil.copy(ROOT / "tests" / "clients" / "lint" / "package.json", folder)
        install_node_packages(folder, "@redocly/cli")
        yield folder


@pytest.fixture(scope="session")
def typescript(server: str) -> Iterator[Client]:
    """A client made by openapi-typescript, of the contract as the server serves it."""
    with programs(server) as client:
        install_node_packages(client.folder, "openapi-fetch")
        client.runs(
            "openapi-typescript",
            f"{server}/openapi.json",
            *("--output", "contract.ts", "--root-types", "--root-types-no-schema-prefix"),
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
        made = attempted(
            client.folder,
            *("openapi-python-client", "generate", "--meta=none"),
            f"--url={server}/openapi.json",
        )
        assert made.returncode == 0, made.stderr
        # It knows no bodies of lines: of an import, its client sends only the JSON.
        warnings = re.findall("WARNING.*", made.stdout + made.stderr)
        assert all("POST /api/{user_id}/import" in each for each in warnings), warnings
        yield client
