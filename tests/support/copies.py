"""Copies of the project, for tests that change its files."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.project import ROOT

MADE = shutil.ignore_patterns(".git", ".venv", ".env", ".*_cache", "__pycache__", "*.egg-info")


def copied(folder: Path) -> Path:
    """The project and nothing that was made from it, in a new folder."""
    return shutil.copytree(ROOT, folder, ignore=MADE)


def run_in(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a module of Python on the copy."""
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
