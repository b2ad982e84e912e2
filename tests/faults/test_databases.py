"""PostgreSQL locks, is slow, has no connections or no disk left, or is replaced, under load."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psycopg2
import pytest
from psycopg2.extensions import make_dsn, parse_dsn

from db.migrate import migrate
from db.postgres.roles import as_application
from tests.faults.impatient import BRIEFLY, impatient
from tests.faults.load import Load, under_load
from tests.support.databases import administration, as_owner, lock_users, query_as_owner
from tests.support.embedded import url_of as url_of_postgres
from tests.support.embedded import user_process
from tests.support.folders import temporary_folder
from tests.support.pooler import needs_pgbouncer, pooler_to
from tests.support.ports import free_port
from tests.support.servers import Server, started, url_of
from tests.support.standby import running_standby
from tests.support.worlds import mortal_world, postmaster_of

pytestmark = pytest.mark.long

TIMES = 2
SECONDS = 2
DISK = "256m"
SLOW_COMMITS = """
    CREATE FUNCTION be_slow() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_sleep(0.1);
        RETURN NULL;
    END $$;
    CREATE CONSTRAINT TRIGGER slow_commits AFTER INSERT OR UPDATE ON tasks
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION be_slow()
"""
QUICK_COMMITS = "DROP TRIGGER slow_commits ON tasks; DROP FUNCTION be_slow"


def test_locked_rows(own_database: str) -> None:
    with (
        impatient(DATABASE_URL=own_database) as (_, url),
        under_load(lambda: [url]) as load,
        closing(psycopg2.connect(as_owner(own_database))) as holder,
    ):
        lock_users(holder)
        time.sleep(SECONDS)
        holder.rollback()
        load.flows()
        assert refusals(load)


def test_commits_that_wait_for_a_standby_which_is_not_there() -> None:
    with (
        mortal_world(0) as world,
        impatient(DATABASE_URL=world.database_url) as (_, url),
        under_load(lambda: [url]) as load,
        administration(world.database_url) as execute,
    ):
        for standby in ("missing", ""):
            execute(f"ALTER SYSTEM SET synchronous_standby_names = '{standby}'")
            execute("SELECT pg_reload_conf()")
            time.sleep(SECONDS)
        assert refusals(load)


def test_slots_that_are_exhausted(own_database: str) -> None:
    name = parse_dsn(own_database)["dbname"]
    with (
        impatient(DATABASE_URL=own_database) as (_, url),
        under_load(lambda: [url]) as load,
        administration(own_database) as execute,
    ):
        execute(f"ALTER DATABASE {name} CONNECTION LIMIT 1")
        execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            f" WHERE datname = '{name}' AND usename = 'errand_app'"
        )
        time.sleep(SECONDS)
        execute(f"ALTER DATABASE {name} CONNECTION LIMIT -1")
        load.flows()


@contextmanager
def small_disk() -> Iterator[Path]:
    """A file system of its own."""
    with temporary_folder() as folder:
        command = ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=755", "errand", str(folder)]
        if os.geteuid() != 0 or subprocess.run(command, check=False).returncode:
            pytest.skip("only root can mount a file system, where that is allowed")
        try:
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_full_disk() -> None:
    with small_disk() as disk:
        port = free_port()
        server = on_disk(port, disk)
        ballast = disk / "ballast"
        with under_load(lambda: [f"http://127.0.0.1:{port}"]) as load:
            fill(ballast)
            time.sleep(SECONDS)
            ballast.unlink()
            if server.returncode is not None:  # its PostgreSQL could not be started again
                server = on_disk(port, disk)
            load.flows()
        server.terminate()
        server.communicate(timeout=30)
        assert load.responses()["/problems#database-failing"]


def fill(file: Path) -> None:
    """Write to the file until the disk is full."""
    with suppress(OSError), file.open("wb", buffering=0) as ballast:
        while True:
            ballast.write(bytes(2**20))


def on_disk(port: int, disk: Path) -> Server:
    data_dir = str(disk / "data")
    flags = ("--port", str(port), "--data-dir", data_dir)
    server = started(*flags, log=None, DATABASE_URL="", **BRIEFLY)
    url_of(server)
    return server


def test_ten_times_the_load_that_can_be_served(own_database: str) -> None:
    with (
        impatient(DATABASE_URL=own_database) as (_, url),
        under_load(lambda: [url], clients=80) as load,
        administration(own_database) as execute,
    ):
        execute(SLOW_COMMITS)
        counts = [len(each.seconds) for each in load.writers]
        time.sleep(5)
        seconds = sorted(
            second
            for each, count in zip(load.writers, counts, strict=True)
            for second in each.seconds[count:]
        )
        execute(QUICK_COMMITS)
        assert load.responses()["/problems#overloaded"] > len(seconds) / 2
        # Without a bound, who comes last of 80 would wait 8 s.
        assert seconds[len(seconds) * 99 // 100] < 4


@needs_pgbouncer
def test_killed_pooler(own_database: str) -> None:
    with (
        pooler_to(own_database, "transaction") as pooler,
        impatient(DATABASE_URL=pooler.url) as (_, url),
        under_load(lambda: [url]) as load,
    ):
        for _ in range(TIMES):
            pooler.kill()
            load.flows()


def test_failover_to_a_standby() -> None:
    with temporary_folder() as folder, user_process(folder / "data", durable=True) as keeper:
        owner_url = url_of_postgres(keeper)
        migrate(owner_url)
        primary = as_application(owner_url)
        own = folder / "own"
        own.mkdir()
        with running_standby(primary, own) as standby, administration(primary) as execute:
            execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            execute("SELECT pg_reload_conf()")
            both = hosts_of(primary, standby.url)
            with (
                impatient(DATABASE_URL=both) as (_, url),
                under_load(lambda: [url]) as load,
            ):
                keeper.kill()  # it would start PostgreSQL again
                keeper.wait(30)
                os.kill(postmaster_of(folder / "data"), signal.SIGKILL)
                query_as_owner(standby.url, "SELECT pg_promote()")
                load.flows()


def hosts_of(*urls: str) -> str:
    """One URL of several hosts."""
    parts = [parse_dsn(each) for each in urls]
    places = {key: ",".join(str(each[key]) for each in parts) for key in ("host", "port")}
    return make_dsn(urls[0], **places)


def refusals(load: Load) -> int:
    """How often the server had to say that a write was not done, or perhaps not."""
    return sum(count for kind, count in load.responses().items() if "#" in kind)
