"""PostgreSQL in a folder: the first process starts it, all share it, the last one stops it."""

import fcntl
import logging
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg2

from db.errors import EmbeddedPostgresError
from db.postgres.embedded_server import NAME, Postmaster, Server
from db.private_files import open_private

log = logging.getLogger("errand.database")

LOOK_SECONDS = 0.5
USERS_LOCK = "users.lock"
# A process that has just created the lock file may not have locked it yet.
YOUNG_SECONDS = 60


@contextmanager
def running_postgres(
    data_dir: Path, *, durable: bool = True, max_connections: int = 100
) -> Iterator[str]:
    """Yield the URL of the PostgreSQL server in the folder; its last process stops the server."""
    with _faults_explained(data_dir):
        server = Server(data_dir, durable=durable, max_connections=max_connections)
        users = open_private(server.folder / USERS_LOCK)
    with users:
        fcntl.flock(users, fcntl.LOCK_SH)
        try:
            with _faults_explained(data_dir):
                url = _started(server).url(NAME)
            with _kept_running(server):
                yield url
        finally:
            # Critical section: the upgrade releases the shared lock first, so of two processes that
            # stop together one succeeds. A new process waits until the server has stopped.
            with suppress(BlockingIOError):
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                server.stop()


def remove_abandoned(data_dir: Path) -> None:
    """Stop the server of a folder whose processes were killed, and remove the folder."""
    lock = data_dir / USERS_LOCK
    if data_dir.is_symlink() or data_dir.lstat().st_uid != os.geteuid() or not lock.exists():
        return
    if time.time() - lock.stat().st_mtime < YOUNG_SECONDS:
        return
    with open_private(lock) as users, suppress(BlockingIOError, EmbeddedPostgresError):
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        Server(data_dir, durable=False, max_connections=1).stop()
        shutil.rmtree(data_dir, ignore_errors=True)


def _started(server: Server) -> Postmaster:
    """The server, which one process at a time may start."""
    with open_private(server.folder / "start.lock") as start:
        fcntl.flock(start, fcntl.LOCK_EX)
        return server.running()


@contextmanager
def _kept_running(server: Server) -> Iterator[None]:
    """Start the server again if it dies; if that fails, end this process with the reason."""
    failures: list[EmbeddedPostgresError] = []

    def watch() -> None:
        while not server.stopping.wait(LOOK_SECONDS):
            if server.pid() is None and (failure := _restart(server)):
                failures.append(failure)
                os.kill(os.getpid(), signal.SIGTERM)
                return

    watcher = threading.Thread(target=watch, name="watch PostgreSQL", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        server.stopping.set()
        watcher.join()
        if failures:
            raise failures[0]


def _restart(server: Server) -> EmbeddedPostgresError | None:
    """Start the server that has died; return the reason if it cannot be started."""
    log.error("the embedded PostgreSQL has died; it is started again")
    try:
        with _faults_explained(server.folder):
            _started(server)
    except EmbeddedPostgresError as error:
        return None if server.stopping.is_set() else error
    return None


@contextmanager
def _faults_explained(data_dir: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, psycopg2.Error) as error:
        message = f"PostgreSQL cannot use {data_dir}: {error}; set ERRAND_DATA_DIR to another one"
        raise EmbeddedPostgresError(message) from error
