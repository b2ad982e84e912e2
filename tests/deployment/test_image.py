"""The steps of the Dockerfile make a server that runs without root, in a root that is read-only."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import http
from tests.support.image import Stage, build, container, debian
from tests.support.polling import eventually
from tests.support.project import ROOT
from tests.support.servers import url_of
from tests.support.users import User

NO_ROOT = os.geteuid() != 0 or shutil.which("debootstrap") is None

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(NO_ROOT, reason="debootstrap, and root to run it, are not here"),
]


@pytest.fixture(scope="module")
def image() -> Iterator[Stage]:
    with tempfile.TemporaryDirectory(prefix="errand-image-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        debian(folder / "base")
        yield build(ROOT / "Dockerfile", folder / "base", folder)


def test_image_serves_without_root_on_a_root_that_is_read_only(image: Stage) -> None:
    settings = {
        "ERRAND_LOCAL_TOKENS": "on",
        "ERRAND_PORT": "18765",
        "ERRAND_METRICS_PORT": "0",
        "ERRAND_WORKERS": "2",
    }
    with container(image, **settings) as running:
        assert running.process.stdout
        url_of(running.process)
        assert eventually(running.is_healthy)
        server = "http://127.0.0.1:18765"
        assert http.get(f"{server}/health/ready").status_code == 200
        with User(server) as stranger:
            assert stranger.get(stranger.tasks).status_code == 401

    assert running.process.returncode == 0
    assert not running.is_healthy()


def test_image_has_nothing_that_only_its_build_needs(image: Stage) -> None:
    installed = {path.name for path in (image.root / "opt/errand").rglob("site-packages/*")}

    assert {"openapi", "handlers", "db"} <= installed
    assert not installed & {"pip", "setuptools", "hatchling", "pytest", "tests"}
    assert not (image.root / "src").exists()
