"""PgBouncer, between a server and its PostgreSQL."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import make_dsn, parse_dsn

from tests.support.network import network_to
from tests.support.polling import eventually

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
PORT = 6432

needs_pgbouncer = pytest.mark.skipif(PGBOUNCER is None, reason="there is no PgBouncer here")


class Pooler:
    """A PgBouncer that can be killed."""

    def __init__(self, configuration: Path, url: str) -> None:
        self.url = url
        self._configuration = configuration
        self._start()

    def _start(self) -> None:
        # Like PostgreSQL, it refuses to run as root.
        account: dict[str, Any] = {"user": "nobody"} if os.geteuid() == 0 else {}
        command = [str(PGBOUNCER), "--quiet", str(self._configuration)]
        self._process = subprocess.Popen(command, **account)
        assert eventually(self._accepts, 20), "PgBouncer does not start"

    def _accepts(self) -> bool:
        try:
            psycopg2.connect(self.url).close()
        except psycopg2.OperationalError:
            return False
        return True

    def kill(self) -> None:
        """Kill it, and start it again at the same address."""
        self._process.kill()
        self._process.wait(20)
        for socket in self._configuration.parent.glob(".s.PGSQL.*"):
            socket.unlink()
        self._start()

    def stop(self) -> None:
        """Stop it in order."""
        self._process.terminate()
        self._process.wait(20)


@contextmanager
def pooler_to(url: str, mode: str) -> Iterator[Pooler]:
    """A pooler in that mode, with two connections to the database."""
    # PostgreSQL knows its peers by their user, which PgBouncer's is not where root runs the tests.
    with network_to(url) as way, tempfile.TemporaryDirectory(prefix="errand-") as name:
        database = parse_dsn(way.url)
        folder = Path(name)
        folder.chmod(0o777)
        configuration = folder / "pgbouncer.ini"
        configuration.write_text(
            "[databases]\n"
            f"* = host={database['host']} port={database['port']} user={database['user']}\n"
            "[pgbouncer]\n"
            f"pool_mode = {mode}\ndefault_pool_size = 2\nauth_type = any\n"
            f"listen_port = {PORT}\nunix_socket_dir = {folder}\n"
        )
        place = {"host": name, "port": PORT, "dbname": database["dbname"]}
        pooler = Pooler(configuration, make_dsn(**place, user=database["user"]))
        try:
            yield pooler
        finally:
            pooler.stop()
