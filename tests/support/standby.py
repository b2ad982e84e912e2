"""A hot standby of an embedded PostgreSQL: a copy that replays what the primary writes."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg2
from psycopg2.extensions import make_dsn, parse_dsn

from db.postgres.embedded_account import find_binaries, server_account
from tests.support.databases import administration, as_owner, query_as_owner
from tests.support.polling import eventually

HBA = "local all all trust\nlocal replication all trust\n"


class Standby:
    """A standby that can be paused."""

    def __init__(self, url: str, server: "subprocess.Popen[bytes]") -> None:
        self.url = url
        self._server = server

    def pause(self) -> None:
        """Replay nothing from now on."""
        query_as_owner(self.url, "SELECT pg_wal_replay_pause()::text")
        state = "SELECT pg_get_wal_replay_pause_state()"
        assert eventually(lambda: query_as_owner(self.url, state) == ["paused"])

    def resume(self) -> None:
        """Replay what has come in, and go on."""
        query_as_owner(self.url, "SELECT pg_wal_replay_resume()::text")

    def freeze(self) -> None:
        """Let none of its processes run."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them run again."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """Stop the server at once."""
        self._server.send_signal(signal.SIGINT)
        self._server.wait(20)

    def _signal(self, number: int) -> None:
        for each in psutil.Process(self._server.pid).children():
            each.send_signal(number)

    def catch_up(self, primary_url: str) -> None:
        """Wait until all is replayed that the primary has written."""
        [written] = query_as_owner(primary_url, "SELECT pg_current_wal_insert_lsn()::text")
        replayed = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
        assert eventually(lambda: query_as_owner(self.url, replayed, written) == [True])


@contextmanager
def running_standby(primary_url: str, folder: Path) -> Iterator[Standby]:
    """A standby of the primary's whole cluster, which serves the same database."""
    with administration(primary_url) as execute:
        [file] = query_as_owner(primary_url, "SELECT current_setting('hba_file')")
        Path(file).write_text(HBA + Path(file).read_text())
        execute("SELECT pg_reload_conf()")
    account = server_account()
    binaries, _ = find_binaries(account, folder)
    data, parts = folder / "standby", parse_dsn(as_owner(primary_url))
    source = make_dsn(host=parts["host"], port=parts["port"], user=parts["user"])
    copy = ["--checkpoint=fast", "--write-recovery-conf", "--no-sync", f"--pgdata={data}"]
    backup = [str(binaries / "pg_basebackup"), *copy, f"--dbname={source}"]
    subprocess.run(backup, check=True, timeout=60)
    (folder / "hba.conf").write_text(HBA)
    account.own_all(folder)
    command = [str(binaries / "postgres"), "-D", str(data), "-k", str(folder), "-h", ""]
    command += ["-p", "5433", f"--hba_file={folder}/hba.conf", "--fsync=off"]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, stderr=log, **account.process_options())
    url = make_dsn(primary_url, host=str(folder), port=5433)
    try:
        assert eventually(lambda: _accepts(url), 30)
        yield Standby(url, server)
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(20)


def _accepts(url: str) -> bool:
    try:
        psycopg2.connect(url).close()
    except psycopg2.OperationalError:
        return False
    return True
