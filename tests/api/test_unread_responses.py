"""Clients that do not read their responses: what is kept for them has a bound and an end."""

import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from tests.support.polling import eventually
from tests.support.servers import started, url_of
from tests.support.users import User
from tests.support.wire import ALIVE, request

MIB = 1024 * 1024
# TIME-WAIT and the like keep nothing; the server listens without a client.
DONE = {"05", "06", "0A"}
BUNDLE = "/docs/swagger-ui-bundle.js"


class Server:
    """A server whose connections and memory can be looked at."""

    def __init__(self, url: str, pid: int) -> None:
        self.url = url
        self._port = httpx.URL(url).port
        self._process = psutil.Process(pid)

    def memory(self) -> int:
        """The bytes that the process has in memory."""
        return int(self._process.memory_info().rss)

    def sockets(self) -> list[int]:
        """The bytes that the kernel keeps for each connection, be the server done with it or not.

        They are those that the client has not received yet.
        """
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return [
            int(row[4].partition(":")[0], 16)
            for row in rows
            if int(row[1].partition(":")[2], 16) == self._port and row[3] not in DONE
        ]


@pytest.fixture
def server(new_database: Callable[[], str]) -> Iterator[Server]:
    process = started(
        DATABASE_URL=new_database(),
        ERRAND_DRAIN_TIMEOUT="1",
        ERRAND_IDLE_TIMEOUT="1",
        ERRAND_REQUEST_LOG="false",
    )
    yield Server(url_of(process), process.pid)
    process.terminate()
    process.communicate(timeout=20)


@contextmanager
def unread(server: Server, count: int, content: bytes) -> Iterator[None]:
    """Clients that send this and read nothing."""
    url = httpx.URL(server.url)
    with ExitStack() as stack:
        for _ in range(count):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect((url.host, url.port or 80))
            client.setblocking(False)
            client.send(content)
        yield


needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc/net/tcp")


@needs_linux
def test_a_client_that_does_not_read_is_disconnected(server: Server) -> None:
    with User(server.url) as alice:
        operation = {"op": "create", "title": "a", "description": "\x01" * 2000}
        for _ in range(2):
            alice.post(f"{alice.tasks}/batch", json={"operations": [operation] * 50})
        content = request("GET", f"{alice.tasks}?limit=100")

    with unread(server, 10, content):
        assert eventually(lambda: len(server.sockets()) >= 10)
        assert eventually(lambda: not server.sockets())


@needs_linux
@pytest.mark.parametrize("headers", [[], ["Connection: close"]])
def test_the_kernel_keeps_little_of_what_is_not_read_and_not_for_long(
    server: Server, headers: list[str]
) -> None:
    with unread(server, 10, request("GET", BUNDLE, *headers)):
        assert eventually(lambda: sum(server.sockets()) > 10 * 10_000)
        assert max(server.sockets()) < 512 * 1024
        assert eventually(lambda: not server.sockets())


@needs_linux
def test_what_is_pipelined_and_not_read_takes_little_memory(server: Server) -> None:
    httpx.get(f"{server.url}/health/live")
    before = server.memory()
    with unread(server, 100, ALIVE * 4000):
        assert eventually(lambda: len(server.sockets()) >= 100)
        assert eventually(lambda: not server.sockets(), seconds=20)
        after = server.memory()

    assert (after - before) / MIB < 100 * 0.6


@needs_linux
def test_many_clients_that_do_not_read_the_same_file_share_it(server: Server) -> None:
    httpx.get(server.url + BUNDLE)
    before = server.memory()
    with unread(server, 100, request("GET", BUNDLE)):
        assert eventually(lambda: sum(size > 10_000 for size in server.sockets()) >= 100)
        assert (server.memory() - before) / MIB < 100 * 0.5
