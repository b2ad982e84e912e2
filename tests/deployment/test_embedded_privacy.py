"""The embedded PostgreSQL is closed to other users, and its log to users' texts."""

import os
import pwd
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg2
import pytest

from db.errors import EmbeddedPostgresError
from tests.support.embedded import (
    as_root,
    assert_note_kept,
    keep_a_note,
    query,
    quick_postgres,
    server_log,
    server_pid,
)


@as_root
def test_root_runs_the_server_as_a_user_that_no_other_process_has(folder: Path) -> None:
    with quick_postgres(folder) as url:
        server = psutil.Process(server_pid(folder))
        identity = set(server.uids()) | set(server.gids())
        assert query(url, "SELECT 1") == [(1,)]
        outside = (
            run_unprivileged("ls", str(folder)),
            run_unprivileged("cat", f"/proc/{server.pid}/environ"),
        )

    [user] = identity
    with pytest.raises(KeyError):
        pwd.getpwuid(user)
    assert [each.returncode != 0 for each in outside] == [True, True]
    assert folder.stat().st_uid == 0
    assert (folder / "cluster").stat().st_mode & 0o777 == 0o700
    assert {path.lstat().st_uid for path in (folder / "cluster").rglob("*")} == {user}


def run_unprivileged(*command: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, user="nobody", group="nogroup", capture_output=True, check=False)


@as_root
def test_a_cluster_with_another_owner_is_given_to_the_servers_user(folder: Path) -> None:
    with quick_postgres(folder) as url:
        keep_a_note(url)
    owner = (folder / "cluster").stat().st_uid
    subprocess.run(["chown", "-R", "nobody", folder / "cluster"], check=True)

    with quick_postgres(folder) as url:
        assert_note_kept(url)
    assert {path.lstat().st_uid for path in (folder / "cluster").rglob("*")} == {owner}


def test_the_server_sees_no_environment_of_ours(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ERRAND_REDIS_URL", "redis://:secret@redis")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")

    with quick_postgres(folder):
        server = psutil.Process(server_pid(folder))
        environments = [server.environ()]
        for each in server.children():
            with suppress(psutil.NoSuchProcess):  # such as a worker of autovacuum
                environments.append(each.environ())

    assert all("secret" not in "".join(each.values()) for each in environments)
    assert environments[0].keys() <= {"PATH", "LC_ALL", "PGLOCALEDIR", "PGSYSCONFDIR"}


def test_only_our_own_user_is_let_in_by_the_socket(folder: Path) -> None:
    us = pwd.getpwuid(os.geteuid()).pw_name

    with quick_postgres(folder) as url:
        [(peer,)] = query(url, "SELECT system_user")
        rules = query(url, "SELECT type, database, user_name, auth_method FROM pg_hba_file_rules")
        maps = query(url, "SELECT DISTINCT sys_name FROM pg_ident_file_mappings")
        [(mode,)] = query(url, "SHOW unix_socket_permissions")

    assert peer == f"peer:{us}"
    assert rules == [("local", ["all"], ["all"], "peer")]
    assert maps == [(us,)]
    assert mode == "0700"


def test_no_text_of_a_user_gets_into_the_servers_log(folder: Path) -> None:
    with quick_postgres(folder) as url:
        for statement in (
            "SELECT 'private' FROM no_such_table",
            "SELECT 'private'::int",
            "DO $$BEGIN RAISE 'x' USING DETAIL = 'private'; END$$",
        ):
            with pytest.raises(psycopg2.Error):
                query(url, statement)
        with suppress(psycopg2.Error):
            query(url, "SELECT 'private', pg_terminate_backend(pg_backend_pid())")

    text = server_log(folder)
    assert "database system is ready" in text
    assert "private" not in text


def test_the_servers_log_is_kept_for_a_week(folder: Path) -> None:
    names = ["logging_collector", "log_filename", "log_rotation_age", "log_truncate_on_rotation"]

    with quick_postgres(folder) as url:
        settings = [query(url, f"SHOW {name}")[0][0] for name in names]

    assert settings == ["on", "%a.log", "1d", "on"]


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777])
def test_a_data_folder_that_others_can_write_to_is_refused(folder: Path, mode: int) -> None:
    folder.mkdir()
    (folder / "kept").touch()
    folder.chmod(mode)

    with (
        pytest.raises(EmbeddedPostgresError, match=f"can write to {folder}: run `chmod go-w"),
        quick_postgres(folder),
    ):
        pass


def test_a_data_folder_that_others_can_replace_is_refused(shelf: Path) -> None:
    above = shelf / "above"
    above.mkdir()
    above.chmod(0o777)

    with (
        pytest.raises(EmbeddedPostgresError, match=f"all users can write to {above}"),
        quick_postgres(above / "data"),
    ):
        pass


@as_root
def test_a_data_folder_of_another_user_is_refused(folder: Path) -> None:
    folder.mkdir()
    (folder / "kept").touch()
    shutil.chown(folder, "nobody")

    with (
        pytest.raises(EmbeddedPostgresError, match="belongs to another user"),
        quick_postgres(folder),
    ):
        pass


@pytest.mark.parametrize("name", ["users.lock", "start.lock", "startup.log", "hba_file.conf"])
def test_a_link_in_place_of_a_file_is_not_followed(folder: Path, shelf: Path, name: str) -> None:
    target = shelf / "target"
    target.write_text("kept")
    folder.mkdir()
    (folder / name).symlink_to(target)

    with pytest.raises(EmbeddedPostgresError, match=name), quick_postgres(folder):
        pass
    assert target.read_text() == "kept"
