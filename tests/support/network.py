"""A network between a pool and its PostgreSQL, which can break in the ways that networks do."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from psycopg2.extensions import make_dsn, parse_dsn

ACCEPTED_BY_THEN = 0.02


class Network:
    """Forwards TCP connections to PostgreSQL's socket, from a thread and a loop of its own."""

    def __init__(self, url: str) -> None:
        self.connections_made = 0
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
        ways = [self._pump(reader, far_writer), self._pump(far_reader, writer)]
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
            path = f"{self._target['host']}/.s.PGSQL.{self._target['port']}"
            return await asyncio.open_unix_connection(path)
        finally:
            self._connecting -= 1

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            await asyncio.sleep(self.delay)
            await self._flowing.wait()
            sink.write(data)
            await sink.drain()


@contextmanager
def network_to(url: str) -> Iterator[Network]:
    """A network to this database; it closes at the end, with all its connections."""
    network = Network(url)
    network.start()
    try:
        yield network
    finally:
        with suppress(OSError):
            network.flow()
        network.stop()
