"""What tests do with an embedded PostgreSQL and the processes that use it."""

import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest

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
    """Whether it is a process, and not one that has ended or is about to be a zombie."""
    with suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).cmdline())
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
