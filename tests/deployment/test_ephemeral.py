"""`errand serve --ephemeral`: the real server, and no trace of it afterwards."""

import os
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support import http
from tests.support.polling import eventually
from tests.support.servers import Server, errand, started, url_of
from tests.support.users import User


@pytest.fixture
def temporary() -> Iterator[Path]:
    """The folder of temporary files of a server, which every account can enter."""
    with tempfile.TemporaryDirectory(prefix="errand-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def started_ephemerally(temporary: Path, *flags: str, database_url: str = "") -> Server:
    settings = {"DATABASE_URL": database_url} if database_url else {}
    return started("--ephemeral", *flags, log=None, TMPDIR=str(temporary), **settings)


def runs(pid: int) -> bool:
    """Whether the process runs; the init of a container may never reap one that has ended."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def data_folders(temporary: Path) -> list[Path]:
    return list(temporary.glob("errand-*"))


def test_data_are_private_and_gone_after_sigterm(temporary: Path) -> None:
    process = started_ephemerally(temporary)
    with User(url_of(process)) as alice:
        task = alice.creates("Buy milk")
        assert alice.get(task.url).json() == task.document
    [folder] = data_folders(temporary)
    access = folder.stat().st_mode & 0o777
    (pid_file,) = folder.rglob("postmaster.pid")
    postmaster = int(pid_file.read_text().split()[0])

    process.terminate()
    announced, _ = process.communicate(timeout=30)

    assert process.returncode == 0
    assert "all data are removed when the server stops" in announced
    assert access & 0o007 == 0
    assert not runs(postmaster)
    assert list(temporary.iterdir()) == []


def test_data_are_gone_after_ctrl_c_was_pressed_twice(temporary: Path) -> None:
    process = started_ephemerally(temporary)
    url_of(process)
    (pid_file,) = temporary.rglob("postmaster.pid")
    postmaster = int(pid_file.read_text().split()[0])

    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)

    assert data_folders(temporary) == []
    assert eventually(lambda: not runs(postmaster), 10)


def test_data_are_gone_after_a_signal_during_the_start(temporary: Path) -> None:
    process = started_ephemerally(temporary)
    assert eventually(lambda: any(temporary.glob("errand-*/*")), 30)

    process.terminate()
    process.communicate(timeout=30)

    assert data_folders(temporary) == []


@pytest.mark.long
def test_data_of_a_killed_server_are_removed_by_the_next_and_those_of_others_are_not(
    temporary: Path,
) -> None:
    killed = started_ephemerally(temporary)
    left = postmaster_of(temporary, killed)
    other = started_ephemerally(temporary)
    running = postmaster_of(temporary, other)
    killed.kill()
    killed.communicate(timeout=30)
    for lock in temporary.glob("*/users.lock"):
        os.utime(lock, (0, 0))

    following = started_ephemerally(temporary)
    url_of(following)
    exists = runs(left), runs(running), len(data_folders(temporary))
    for process in (other, following):
        process.terminate()
        process.communicate(timeout=30)

    assert exists == (False, True, 2)
    assert data_folders(temporary) == []


def postmaster_of(temporary: Path, process: Server) -> int:
    """The PostgreSQL of a server that has just been started, the latest in the folder."""
    url_of(process)
    latest = max(temporary.rglob("postmaster.pid"), key=lambda file: file.stat().st_mtime_ns)
    return int(latest.read_text().split()[0])


def test_data_are_gone_after_a_start_that_fails(temporary: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = errand("serve", "--ephemeral", "--port", port, TMPDIR=str(temporary))

    assert ended.returncode == 1
    assert "another program uses it" in ended.stderr
    assert data_folders(temporary) == []


@pytest.mark.long
def test_two_servers_have_data_of_their_own_with_their_own_keys(temporary: Path) -> None:
    first, second = (started_ephemerally(temporary, "--local-tokens") for _ in range(2))
    urls = [url_of(each) for each in (first, second)]
    folders = data_folders(temporary)
    tokens = {folder: errand("token", "--data-dir", str(folder)).stdout for folder in folders}

    statuses = [
        [
            http.get(f"{url}/api/me", headers={"Authorization": f"Bearer {token.strip()}"})
            for token in tokens.values()
        ]
        for url in urls
    ]
    for process in (first, second):
        process.terminate()
        process.communicate(timeout=30)

    assert [sorted(each.status_code for each in row) for row in statuses] == [[200, 401]] * 2
    assert data_folders(temporary) == []


@pytest.mark.long
def test_workers_share_the_ephemeral_data_whatever_database_the_environment_names(
    temporary: Path,
) -> None:
    away = "postgresql://127.0.0.1:1/nowhere"

    process = started_ephemerally(temporary, "--workers", "2", database_url=away)
    with User(url_of(process)) as alice:
        created = [alice.creates(str(number)).url for number in range(20)]
        assert len(alice.get(alice.tasks).json()) == len(created)
    process.terminate()
    process.communicate(timeout=30)

    assert data_folders(temporary) == []


@pytest.mark.parametrize(
    ("flag", "value"), [("--data-dir", "/nowhere"), ("--database-url", "postgresql:///nowhere")]
)
def test_a_database_or_a_folder_beside_it_is_refused(flag: str, value: str) -> None:
    ended = errand("serve", "--ephemeral", flag, value)

    assert (ended.returncode, ended.stdout) == (2, "")
    assert f"Error: --ephemeral brings a database of its own: leave out {flag}\n" in ended.stderr
