"""The life of an embedded PostgreSQL: shared, stopped by its last user, recovered, kept running."""

import os
import signal
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from db.postgres.embedded import running_postgres
from db.postgres.embedded_server import Server
from tests.support.embedded import (
    PATIENCE,
    assert_note_kept,
    is_running,
    keep_a_note,
    leave,
    query,
    quick_postgres,
    server_log,
    server_pid,
    url_of,
    user_process,
    wait_until,
)
from tests.support.folders import copied


@pytest.fixture
def new_folder(shelf: Path) -> Path:
    return shelf / "data"


@pytest.fixture
def folder(new_folder: Path, used_once: Path) -> Path:
    """A data folder that was used once."""
    return copied(used_once, new_folder)


def test_a_clean_exit_stops_the_server(new_folder: Path) -> None:
    with quick_postgres(new_folder) as url:
        pid = server_pid(new_folder)
        assert query(url, "SELECT current_user, current_database()") == [("errand", "errand")]

    assert not is_running(pid)


def test_an_exception_stops_the_server(folder: Path) -> None:
    with pytest.raises(ZeroDivisionError), quick_postgres(folder):
        pid = server_pid(folder)
        raise ZeroDivisionError

    assert not is_running(pid)


def test_the_data_is_there_at_the_next_start(folder: Path) -> None:
    with running_postgres(folder) as url:
        keep_a_note(url)

    with running_postgres(folder) as url:
        assert_note_kept(url)


def test_the_last_of_two_processes_stops_the_server(folder: Path) -> None:
    with user_process(folder) as first, user_process(folder) as second:
        assert url_of(first) == url_of(second)
        pid = server_pid(folder)

        assert leave(first) == 0
        assert is_running(pid)
        assert leave(second) == 0
        assert not is_running(pid)


def test_the_last_of_two_users_in_one_process_stops_the_server(folder: Path) -> None:
    with ExitStack() as second:
        with quick_postgres(folder):
            url = second.enter_context(quick_postgres(folder))
            pid = server_pid(folder)
        assert query(url, "SELECT 1") == [(1,)]

    assert not is_running(pid)


def test_a_killed_user_leaves_the_server_to_the_next(folder: Path) -> None:
    with user_process(folder, durable=True) as user:
        keep_a_note(url_of(user))
        pid = server_pid(folder)
        user.kill()

    with running_postgres(folder) as url:
        assert server_pid(folder) == pid
        assert_note_kept(url)
    assert not is_running(pid)


def test_a_killed_server_recovers_at_the_next_start(folder: Path) -> None:
    with running_postgres(folder) as url:
        keep_a_note(url)
        killed = server_pid(folder)
        os.kill(killed, signal.SIGKILL)

    with running_postgres(folder) as url:
        assert server_pid(folder) != killed
        assert_note_kept(url)


def test_a_killed_server_recovers_while_one_of_its_processes_lingers(folder: Path) -> None:
    with ExitStack() as lingering:
        with running_postgres(folder) as url:
            keep_a_note(url)
            connection = lingering.enter_context(closing(psycopg2.connect(url)))
            backend = connection.info.backend_pid
            os.kill(backend, signal.SIGSTOP)
            os.kill(server_pid(folder), signal.SIGKILL)
        with user_process(folder) as user:
            wait_until(lambda: "pre-existing shared memory" in (folder / "startup.log").read_text())
            os.kill(backend, signal.SIGCONT)
            assert_note_kept(url_of(user))


def test_a_pid_left_by_a_killed_server_and_given_to_another_process_is_no_server(
    folder: Path,
) -> None:
    with quick_postgres(folder):
        os.kill(server_pid(folder), signal.SIGKILL)
    left = [folder / "cluster/postmaster.pid", folder / "socket/.s.PGSQL.5432.lock"]
    owner = left[0].stat()
    identity: dict[str, Any] = {"user": owner.st_uid} if os.geteuid() == 0 else {}

    with subprocess.Popen(["sleep", "60"], cwd="/", **identity) as stranger:
        for file in left:
            lines = file.read_text().splitlines(keepends=True)
            file.write_text("".join([f"{stranger.pid}\n", *lines[1:]]))
        with quick_postgres(folder) as url:
            assert query(url, "SELECT 1") == [(1,)]
        assert stranger.poll() is None
        stranger.kill()


def test_a_copy_of_a_folder_in_use_has_a_server_of_its_own(folder: Path, shelf: Path) -> None:
    with quick_postgres(folder) as url:
        copy = shelf / "copy"
        copied(folder, copy)
        keep_a_note(url)
        with quick_postgres(copy) as url_of_copy:
            assert query(url_of_copy, "SELECT to_regclass('notes')") == [(None,)]
        assert_note_kept(url)


def test_a_killed_initdb_does_not_block_the_next_start(new_folder: Path) -> None:
    with user_process(new_folder) as user:
        wait_until(lambda: list(new_folder.glob("initdb-*/PG_VERSION")))
        children = Path(f"/proc/{user.pid}/task/{user.pid}/children")
        initdb = children.read_text().split() if children.exists() else []
        user.kill()
        for pid in initdb:
            os.kill(int(pid), signal.SIGKILL)
    assert not (new_folder / "cluster").exists()

    with quick_postgres(new_folder) as url:
        assert query(url, "SELECT 1") == [(1,)]


def test_six_racing_first_starts_share_one_server(new_folder: Path) -> None:
    with ExitStack() as stack:
        users = [stack.enter_context(user_process(new_folder)) for _ in range(6)]
        assert len({url_of(user) for user in users}) == 1
        pid = server_pid(new_folder)
        assert [leave(user) for user in users] == [0] * 6

    assert not is_running(pid)
    assert server_log(new_folder).count("starting PostgreSQL") == 1


def test_a_new_folder_is_reachable_while_other_processes_prepare_it(shelf: Path) -> None:
    def prepare(folder: Path) -> Server:
        together.wait(PATIENCE)
        return Server(folder, durable=False, max_connections=1)

    together = threading.Barrier(4)
    with ThreadPoolExecutor(4) as pool:
        for number in range(40):
            list(pool.map(prepare, [shelf / str(number)] * 4))


def test_racing_exits_and_starts_never_lose_the_server(folder: Path) -> None:
    with quick_postgres(folder):
        pass
    for _ in range(5):
        with user_process(folder) as leaving, user_process(folder) as coming:
            url_of(leaving)
            leave(leaving)
            assert query(url_of(coming), "SELECT 1") == [(1,)]
            pid = server_pid(folder)
            leave(coming)
        assert not is_running(pid)


@pytest.mark.parametrize("name", ["long/" * 30, "with a space, a comma", "täßk%25"])
def test_an_unusual_path_works(shelf: Path, name: str) -> None:
    with quick_postgres(shelf / name) as url:
        [(socket_folder,)] = query(url, "SHOW unix_socket_directories")

    assert not Path(socket_folder).exists()


def test_sigterm_stops_the_server(folder: Path) -> None:
    with user_process(folder) as user:
        url_of(user)
        pid = server_pid(folder)
        user.terminate()

        assert user.wait(PATIENCE) == 143
    assert not is_running(pid)


def test_ctrl_c_in_the_terminal_does_not_reach_the_server(folder: Path) -> None:
    with user_process(folder, start_new_session=True) as user, quick_postgres(folder) as url:
        url_of(user)
        os.killpg(user.pid, signal.SIGINT)
        user.wait(PATIENCE)

        assert query(url, "SELECT 1") == [(1,)]


def test_the_environment_changes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "LC_ALL": "tr_TR.UTF-8",
        "LANG": "xx",
        "PGPORT": "1",
        "TZ": "Asia/X",
    }.items():
        monkeypatch.setenv(name, value)

    with quick_postgres(folder) as url:
        assert query(url, "SELECT lower('I'), current_setting('timezone')") == [("i", "UTC")]


def test_settings_follow_the_arguments(folder: Path) -> None:
    asked = "SELECT current_setting('fsync'), current_setting('max_connections')"

    with running_postgres(folder, max_connections=20) as url:
        assert query(url, asked) == [("on", "20")]
    with running_postgres(folder, durable=False) as url:
        assert query(url, asked) == [("off", "100")]


@pytest.mark.parametrize("signalled", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_that_dies_is_started_again(folder: Path, signalled: signal.Signals) -> None:
    with running_postgres(folder) as url:
        keep_a_note(url)
        died = server_pid(folder)
        os.kill(died, signalled)

        wait_until(lambda: (pid := current_pid(folder)) and pid != died and answers(url))
        assert_note_kept(url)
        again = server_pid(folder)
    assert not is_running(again)


def current_pid(folder: Path) -> int | None:
    with suppress(OSError, IndexError, ValueError):
        return server_pid(folder)
    return None


def answers(url: str) -> bool:
    with suppress(psycopg2.OperationalError):
        return bool(query(url, "SELECT 1"))
    return False


def test_a_user_whose_server_cannot_be_started_again_ends_with_the_reason(folder: Path) -> None:
    with user_process(folder, stderr=subprocess.PIPE) as user:
        url_of(user)
        (folder / "cluster" / "PG_VERSION").write_text("14\n")
        os.kill(server_pid(folder), signal.SIGKILL)

        assert user.wait(PATIENCE) == 1
        assert user.stderr
        assert "holds data of PostgreSQL 14" in user.stderr.read()
