"""Swagger UI in a real browser that reaches nothing but this server."""

import shutil
import subprocess
from pathlib import Path

import pytest

from openapi.contract import Contract

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")


def test_swagger_ui_shows_every_operation_without_another_server(
    server: str, tmp_path: Path
) -> None:
    shown = subprocess.run(
        [
            str(CHROMIUM),
            *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            # no other name leads anywhere
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            "--virtual-time-budget=10000",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--dump-dom",
            f"{server}/docs",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout

    for item in Contract.load().document["paths"].values():
        for operation in (each for each in item.values() if "operationId" in each):
            tag, name = operation["tags"][0], operation["operationId"]
            assert f'id="operations-{tag}-{name}"' in shown
