"""A network between a pool and its PostgreSQL, which can break in the ways that networks do.

It can also look like a connection pooler.
"""

import asyncio
import re
import struct
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from psycopg2.extensions import make_dsn, parse_dsn

ACCEPTED_BY_THEN = 0.02
# A message of the protocol: the id of the process, and the secret that cancels its statements.
KEY_DATA = re.compile(rb"(?<=K\x00\x00\x00\x0c)(?s:.{4})")
CANCEL_REQUEST = re.compile(rb"(?<=\x00\x00\x00\x10\x04\xd2\x16\x2e)(?s:.{4})")


class Network:
    """Forwards TCP connections to PostgreSQL's socket, from a thread and a loop of its own."""

    def __init__(self, url: str, *, like_a_pooler: bool = False) -> None:
        """It may announce process ids of its own to clients, as a pooler does."""
        self.connections_made = 0
        self._like_a_pooler = like_a_pooler
        self.delay = 0.0
        self._target = parse_dsn(url)
        self._url = url
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._flowing: asyncio.Event
        self._listener: asyncio.Server
        self._pumps: set[asyncio.Task[None]] = set()
        self._connecting = 0
        self._port = 0

    def start(self) -> None:
        self._thread.start()
        self._flowing = asyncio.Event()
        self.flow()
        self.come_back()

    def stop(self) -> None:
        self.go_down()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def address(self) -> dict[str, str]:
        """Host and port, as parts of a URL."""
        return {"host": "127.0.0.1", "port": str(self._port)}

    @property
    def url(self) -> str:
        """The URL of PostgreSQL through this network."""
        return make_dsn(self._url, **self.address)

    def hang(self) -> None:
        """Accept everything, and deliver nothing."""
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def flow(self) -> None:
        """Deliver again, and what was held back first."""
        self._loop.call_soon_threadsafe(self._flowing.set)

    def go_down(self) -> None:
        """Break what is connected, and refuse to connect."""
        self._run(self._close())

    def come_back(self) -> None:
        """Accept connections at the same address as before."""
        self._run(self._listen())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
        self._port = self._listener.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._listener.close()
        # One that is cancelled before it runs, or while it connects, would leave a socket open.
        await asyncio.sleep(ACCEPTED_BY_THEN)
        while self._connecting:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._pumps.add(task)
        self.connections_made += 1
        try:
            await self._join(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._pumps.discard(task)
            writer.transport.abort()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await self._connect()
        ways = [
            self._pump(reader, far_writer, CANCEL_REQUEST),
            self._pump(far_reader, writer, KEY_DATA),
        ]
        pumps = [asyncio.ensure_future(way) for way in ways]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            far_writer.transport.abort()
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self._connecting += 1
        try:
            host, port = self._target["host"], self._target["port"]
            if not host.startswith("/"):
                return await asyncio.open_connection(host, int(port))
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        finally:
            self._connecting -= 1

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, pid: re.Pattern[bytes]
    ) -> None:
        is_pid_ahead = self._like_a_pooler
        while data := await source.read(65536):
            if is_pid_ahead:
                data, changed = pid.subn(_other_pid, data, count=1)
                is_pid_ahead = not changed
            await asyncio.sleep(self.delay)
            await self._flowing.wait()
            sink.write(data)
            await sink.drain()


def _other_pid(pid: re.Match[bytes]) -> bytes:
    """Another id, and for that the first one again."""
    (number,) = struct.unpack("!I", pid.group())
    return struct.pack("!I", number ^ 2**30)


@contextmanager
def network_to(url: str, *, like_a_pooler: bool = False) -> Iterator[Network]:
    """A network to this database; it closes at the end, with all its connections."""
    network = Network(url, like_a_pooler=like_a_pooler)
    network.start()
    try:
        yield network
    finally:
        with suppress(OSError):
            network.flow()
        network.stop()


@contextmanager
def way_to(url: str, *, prepare: bool) -> Iterator[str]:
    """The URL as it is, or one of the same database where no connection prepares statements."""
    if prepare:
        yield url
    else:
        with network_to(url, like_a_pooler=True) as network:
            yield network.url
