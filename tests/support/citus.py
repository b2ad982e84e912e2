"""A Citus cluster: a coordinator and two workers, on this machine."""

import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import make_dsn

from db.postgres.embedded_account import initdb_account, server_account
from db.postgres.embedded_server import NAME as OWNER
from tests.support.databases import administration, database_named, query_as_owner
from tests.support.folders import copied
from tests.support.polling import eventually
from tests.support.ports import free_port
from tests.support.users import User

SETTINGS = {
    "max_connections": "100",
    "shared_buffers": "32MB",
    "wal_level": "logical",
    "fsync": "off",
    "listen_addresses": "127.0.0.1",
}
OF_CITUS = {
    "shared_preload_libraries": "citus",
    "citus.node_conninfo": "sslmode=disable",
    "citus.enable_statistics_collection": "off",
    "citus.max_background_task_executors": "1",
}

LOCALLY = "SET citus.enable_ddl_propagation = off"
"""What lets a statement take effect on one node alone."""


def _directory(kind: str) -> Path:
    command = shutil.which("pg_config")
    if command is None:
        return Path("/nowhere")
    printed = subprocess.run([command, f"--{kind}"], check=True, capture_output=True, text=True)
    return Path(printed.stdout.strip())


HAS_CITUS = (_directory("sharedir") / "extension/citus.control").exists()
WITHOUT_CITUS = "PostgreSQL's extension citus is not here"
needs_citus = pytest.mark.skipif(not HAS_CITUS, reason=WITHOUT_CITUS)


class Node:
    """A PostgreSQL, of a cluster or alone."""

    def __init__(self, data: Path, **settings: str) -> None:
        self.data = data
        self._settings = {**SETTINGS, **settings}
        self.port = free_port()
        place: dict[str, Any] = {"host": "127.0.0.1", "port": self.port, "sslmode": "disable"}
        self.url = make_dsn(dbname="postgres", user=OWNER, **place)
        self._account = server_account()

    def start(self) -> None:
        """Start it, also after it was killed."""
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        self._account.own_all(self.data)
        command = [str(_directory("bindir") / "postgres"), "-D", str(self.data), "-k", ""]
        command += ["-p", str(self.port)]
        command += [f"--{name}={value}" for name, value in self._settings.items()]
        with (self.data / "log").open("a") as log:
            options = self._account.process_options()
            self._server = subprocess.Popen(command, stderr=log, **options)

    def wait(self) -> None:
        """Return when it accepts connections."""
        assert eventually(self._accepts, 30), (self.data / "log").read_text()

    def _accepts(self) -> bool:
        with suppress(psycopg2.OperationalError):
            psycopg2.connect(self.url).close()
            return True
        return False

    def kill(self) -> None:
        """Stop it at once, as a failure would."""
        self._server.send_signal(signal.SIGQUIT)
        self._server.wait(20)

    def query(self, sql: str, *values: Any) -> list[Any]:
        """The first column of what a statement of the owner returns."""
        return query_as_owner(self.url, sql, *values)


class Cluster:
    """The nodes; the first one is the coordinator."""

    def __init__(self, coordinator: Node, workers: list[Node]) -> None:
        self.coordinator = coordinator
        self.workers = workers
        self.url = coordinator.url

    def shards_on(self, node: Node) -> list[int]:
        """The numbers of the users' shards that a node has."""
        return self.coordinator.query(
            "SELECT shardid FROM citus_shards WHERE table_name = 'users'::regclass"
            " AND nodeport = %s ORDER BY shardid",
            node.port,
        )

    def shard_of(self, user_id: str) -> int:
        """The number of the users' shard that has, or would have, the row of a user."""
        [shard] = self.coordinator.query(
            "SELECT get_shard_id_for_distribution_column('users', %s::uuid)", user_id
        )
        return int(shard)

    def worker_of(self, user_id: str) -> Node:
        """The worker that has the rows of a user."""
        shard = self.shard_of(user_id)
        return next(each for each in self.workers if shard in self.shards_on(each))

    def tables_of(self, user_id: str) -> dict[str, str]:
        """The names of the tables of a user's shard."""
        rows = self.coordinator.query(
            "SELECT json_build_array(table_name::text, shard_name) FROM citus_shards"
            " JOIN pg_dist_shard USING (shardid)"
            " WHERE (shardminvalue, shardmaxvalue) IN (SELECT shardminvalue, shardmaxvalue"
            "  FROM pg_dist_shard WHERE shardid ="
            "  get_shard_id_for_distribution_column('users', %s::uuid))",
            user_id,
        )
        return dict(rows)

    @contextmanager
    def database(self, name: str) -> Iterator[str]:
        """The URL of another database of the cluster, with the extension, for the owner."""
        for node in (self.coordinator, *self.workers):
            with administration(node.url) as execute:
                execute(LOCALLY)
                execute(f"CREATE DATABASE {name}")
            query_as_owner(database_named(name, node.url), "CREATE EXTENSION citus")
        url = database_named(name, self.url)
        _join(url, self.coordinator, self.workers)
        yield url
        for node in (self.coordinator, *self.workers):
            with administration(node.url) as execute:
                execute(LOCALLY)
                execute(f"DROP DATABASE {name} WITH (FORCE)")

    def move(self, shard: int, target: Node) -> None:
        """Move a shard, with those of the other tables, to a worker."""
        [source] = [each for each in self.workers if shard in self.shards_on(each)]
        self.coordinator.query(
            "SELECT citus_move_shard_placement(%s, '127.0.0.1', %s, '127.0.0.1', %s,"
            " 'block_writes')::text",
            *(shard, source.port, target.port),
        )


def new_user(server: str, is_wanted: Callable[[User], bool]) -> User:
    """A new user whose rows are where they are wanted."""
    while True:
        user = User(server)
        if is_wanted(user):
            return user
        user.close()


@contextmanager
def running_cluster(folder: Path, shards: int = 4) -> Iterator[Cluster]:
    """A cluster whose database is empty, but for the extension."""
    settings = {**OF_CITUS, "citus.shard_count": str(shards)}
    coordinator, *workers = nodes = _initialized(folder, settings)
    with ExitStack() as stack:
        for node in nodes:
            node.start()
            stack.callback(node.kill)
        for node in nodes:
            node.wait()
            node.query("CREATE EXTENSION citus")
        _join(coordinator.url, coordinator, workers)
        yield Cluster(coordinator, workers)


@contextmanager
def running_node(folder: Path) -> Iterator[Node]:
    """A PostgreSQL of the same version without the extension."""
    node = Node(folder / "alone")
    _initialize(node)
    node.start()
    try:
        node.wait()
        yield node
    finally:
        node.kill()


def _join(url: str, coordinator: Node, workers: list[Node]) -> None:
    query_as_owner(
        url, "SELECT citus_set_coordinator_host('127.0.0.1', %s)::text", coordinator.port
    )
    for node in workers:
        query_as_owner(url, "SELECT citus_add_node('127.0.0.1', %s)", node.port)


def _initialized(folder: Path, settings: dict[str, str]) -> list[Node]:
    """Three nodes, of which the others are copies of the first."""
    first = Node(folder / "coordinator", **settings)
    _initialize(first)
    names = ("worker_1", "worker_2")
    return [first, *(Node(copied(first.data, folder / name), **settings) for name in names)]


def _initialize(node: Node) -> None:
    node.data.mkdir()
    account = initdb_account(server_account())
    account.own(node.data)
    options = ["-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
    done = account.run(_directory("bindir") / "initdb", "-D", node.data, "-U", OWNER, *options)
    assert done.returncode == 0, done.stderr
