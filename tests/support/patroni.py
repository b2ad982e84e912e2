"""Three nodes of PostgreSQL; Patroni and etcd decide which of them is the leader."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from psycopg2.extensions import make_dsn

from db.postgres.embedded_account import initdb_account, server_account
from db.postgres.embedded_server import NAME as OWNER
from tests.support.folders import temporary_folder
from tests.support.polling import eventually
from tests.support.ports import free_port

PATRONI, ETCD = shutil.which("patroni"), shutil.which("etcd")
BINARIES = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)
HOST = "127.0.0.1"
PATIENCE = 60
PROMOTED = "database system is ready to accept connections"
# The shortest time to live that Patroni takes: so long a dead leader is waited for.
TIMES = {"ttl": 20, "loop_wait": 2, "retry_timeout": 3, "master_start_timeout": 0}

needs_patroni = pytest.mark.skipif(
    not (PATRONI and ETCD and BINARIES), reason="there is no Patroni, etcd or PostgreSQL here"
)


class Node:
    """A Patroni with its PostgreSQL."""

    def __init__(self, name: str, folder: Path, etcd_port: int) -> None:
        self.name = name
        self.port, self.rest_port = free_port(), free_port()
        self.data = folder / name
        self._log = folder / f"{name}.log"
        self._configuration = folder / f"{name}.yml"
        self._configuration.write_text(yaml.safe_dump(self._settings(etcd_port)))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start Patroni, which makes or copies the data, and starts PostgreSQL."""
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                [str(PATRONI), str(self._configuration)],
                stdout=log,
                stderr=subprocess.STDOUT,
                **initdb_account(server_account()).process_options(),
            )

    def kill(self) -> None:
        """Kill both, as if the machine had lost its power."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
        with suppress(OSError, ValueError):
            os.kill(int((self.data / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)

    def promotions(self) -> list[datetime]:
        """When PostgreSQL began to accept changes, by its log."""
        lines = [line for line in self._log.read_text().splitlines() if line.endswith(PROMOTED)]
        return [
            datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)
            for line in lines
        ]

    def _settings(self, etcd_port: int) -> dict[str, Any]:
        return {
            "scope": "errand",
            "name": self.name,
            "restapi": {
                "listen": f"{HOST}:{self.rest_port}",
                "connect_address": f"{HOST}:{self.rest_port}",
            },
            "etcd3": {"host": f"{HOST}:{etcd_port}"},
            "bootstrap": {
                "dcs": {
                    **TIMES,
                    "synchronous_mode": True,
                    "postgresql": {
                        "use_pg_rewind": True,
                        "parameters": {"log_line_prefix": "%m ", "log_timezone": "UTC"},
                    },
                },
                "initdb": [{"encoding": "UTF8"}, "data-checksums"],
            },
            "postgresql": {
                "listen": f"{HOST}:{self.port}",
                "connect_address": f"{HOST}:{self.port}",
                "data_dir": str(self.data),
                "pgpass": f"{self.data}.pgpass",
                "bin_dir": str(BINARIES),
                "authentication": {
                    "superuser": {"username": OWNER, "password": "-"},
                    "replication": {"username": "replicator", "password": "-"},
                },
                "pg_hba": [
                    f"host all all {HOST}/32 trust",
                    f"host replication all {HOST}/32 trust",
                ],
                "parameters": {"unix_socket_directories": ""},
            },
        }


class Cluster:
    """The nodes, as they see themselves."""

    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = nodes
        ports = ",".join(str(each.port) for each in nodes)
        self.url = make_dsn(
            host=",".join([HOST] * len(nodes)),
            port=ports,
            dbname="postgres",
            user=OWNER,
            target_session_attrs="read-write",
        )

    def members(self) -> dict[str, str]:
        """The role of each node that is in order, by its name."""
        for node in self.nodes:
            with suppress(httpx.TransportError):
                response = self._ask(node, "GET", "/cluster")
                return {
                    each["name"]: each["role"]
                    for each in response.json()["members"]
                    if each["state"] in {"running", "streaming"}
                }
        return {}

    def node(self, role: str) -> Node:
        """The node with a role that one node has."""
        name = next(name for name, its in self.members().items() if its == role)
        return next(each for each in self.nodes if each.name == name)

    def is_whole(self) -> bool:
        """Whether there is a leader, a standby that has all it has, and another one."""
        return sorted(self.members().values()) == ["leader", "replica", "sync_standby"]

    def switch_over(self) -> Node:
        """Let the synchronous standby be the leader; returns it, when it is."""
        leader, candidate = self.node("leader"), self.node("sync_standby")
        body = {"leader": leader.name, "candidate": candidate.name}
        response = self._ask(leader, "POST", "/switchover", json=body)
        assert response.status_code == 200, response.text
        return candidate

    def fail_over(self) -> Node:
        """Kill the leader; returns the next one, when it is the leader."""
        leader = self.node("leader")
        leader.kill()
        others = [each for each in self.nodes if each is not leader]
        before = {each.name: len(each.promotions()) for each in others}

        def promoted() -> list[Node]:
            return [each for each in others if len(each.promotions()) > before[each.name]]

        assert eventually(lambda: bool(promoted()), PATIENCE)
        return promoted()[0]

    def _ask(self, node: Node, method: str, path: str, **options: Any) -> httpx.Response:
        url = f"http://{HOST}:{node.rest_port}{path}"
        return httpx.request(method, url, timeout=30, trust_env=False, **options)


@contextmanager
def _etcd(folder: Path) -> Iterator[int]:
    port = free_port()
    clients, peers = f"http://{HOST}:{port}", f"http://{HOST}:{free_port()}"
    command = [str(ETCD), "--data-dir", str(folder / "etcd"), "--log-level", "error"]
    command += ["--listen-client-urls", clients, "--advertise-client-urls", clients]
    command += ["--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers]
    command += ["--initial-cluster", f"default={peers}"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            assert eventually(lambda: _responds(f"{clients}/health"), PATIENCE)
            yield port
        finally:
            process.kill()


def _responds(url: str) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(url, trust_env=False).status_code == 200
    return False


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Three nodes, of which one is the leader and one is its synchronous standby."""
    with temporary_folder() as folder, _etcd(folder) as etcd_port, ExitStack() as stack:
        folder.chmod(0o777)
        nodes = [Node(name, folder, etcd_port) for name in ("one", "two", "three")]
        cluster = Cluster(nodes)
        for node in nodes:
            stack.callback(node.kill)
            node.start()
        assert eventually(cluster.is_whole, PATIENCE), cluster.members()
        yield cluster
