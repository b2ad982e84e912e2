"""The processes that serve: this one, or several with this one as their parent."""

import asyncio
import logging
import multiprocessing
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection, wait

import uvicorn

from openapi.server.shutdown import Shutdown

logger = logging.getLogger("errand")

spawn = multiprocessing.get_context("spawn")

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
KILL_SECONDS = 20
CHECK_SECONDS = 1
# A worker that dies before it serves is not replaced in a busy loop.
RESTART_SECONDS = 1


class Server(uvicorn.Server):
    """uvicorn's server; when it stops, it still serves every request that was sent before."""

    def __init__(self, config: uvicorn.Config, shutdown: Shutdown) -> None:
        super().__init__(config)
        self._shutdown = shutdown
        self._on_start: Callable[[], None] | None = None

    def serve_on(
        self, listening: socket.socket, on_start: Callable[[], None] | None = None
    ) -> None:
        """Serve on a listening socket until a signal stops it; exit if the start fails."""
        self._on_start = on_start
        # uvicorn handles signals only after it has created the event loop; one may come before.
        for stop in STOP_SIGNALS:
            signal.signal(stop, self.handle_exit)
        self.run(sockets=[listening])
        if not self.started:
            sys.exit(1)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start as uvicorn does, then call `on_start`."""
        await super().startup(sockets)
        if self.started and self._on_start is not None:
            self._on_start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End long polls, accept the connections in the backlog, then stop as uvicorn does."""
        self._shutdown.begin()
        for listening in sockets or []:
            with suppress(BlockingIOError):
                while True:
                    await self._connect(listening.accept()[0])
        await super().shutdown(sockets)

    async def _connect(self, accepted: socket.socket) -> None:
        loop = asyncio.get_running_loop()

        def protocol() -> asyncio.Protocol:
            return self.config.http_protocol_class(  # type: ignore[call-arg]
                config=self.config,
                server_state=self.server_state,
                app_state=self.lifespan.state,
                _loop=loop,
            )

        await loop.connect_accepted_socket(protocol, accepted)


class Worker:
    """One of several processes; it sends a message when it has started to serve."""

    def __init__(self, number: int, serve: Callable[[int, Connection], None]) -> None:
        self.number = number
        self.is_serving = False
        self.messages, sender = spawn.Pipe(duplex=False)
        self.process = spawn.Process(target=serve, args=[number, sender])
        self.process.start()
        sender.close()

    def receive(self) -> None:
        """Receive the message, if it has arrived."""
        with suppress(EOFError):
            if not self.is_serving and self.messages.poll():
                self.is_serving = bool(self.messages.recv())


class Workers:
    """Several processes: one that dies is replaced, and all are stopped together."""

    def __init__(self, count: int, serve: Callable[[int, Connection], None]) -> None:
        """`serve` gets the number of the worker; its successor has the same one."""
        self._count = count
        self._serve = serve
        self._workers: list[Worker] = []
        self._stops_at: float | None = None
        self._has_failed = False

    def run(self, on_start: Callable[[], None]) -> None:
        """Run the workers until a signal stops them; exit if they cannot start to serve."""
        for stop in STOP_SIGNALS:
            signal.signal(stop, lambda *_: self._stop())
        for number in range(self._count):
            self._start_worker(number)
        is_started = False
        while self._workers:
            self._check()
            if not is_started and self._workers and all(w.is_serving for w in self._workers):
                is_started = True
                on_start()
        if self._has_failed:
            sys.exit(1)

    def _start_worker(self, number: int) -> None:
        self._workers.append(Worker(number, self._serve))
        if self._stops_at is not None:  # the signal came while the worker was started
            self._stop()

    def _check(self) -> None:
        """Wait for news of the workers; replace one that has ended, kill one that does not stop."""
        ends = [each.process.sentinel for each in self._workers]
        messages = [each.messages for each in self._workers if not each.is_serving]
        wait([*ends, *messages], timeout=CHECK_SECONDS)
        for worker in list(self._workers):
            worker.receive()
            if worker.process.exitcode is not None:
                self._replace(worker)
            elif self._stops_at is not None and time.monotonic() > self._stops_at + KILL_SECONDS:
                worker.process.kill()

    def _replace(self, worker: Worker) -> None:
        self._workers.remove(worker)
        if self._stops_at is not None:
            return
        if not worker.is_serving and (worker.process.exitcode or 0) > 0:
            self._has_failed = True
            self._stop()
            return
        logger.error("The worker %s died; another one starts.", worker.process.pid)
        if not worker.is_serving:
            time.sleep(RESTART_SECONDS)
        self._start_worker(worker.number)

    def _stop(self) -> None:
        if self._stops_at is None:
            self._stops_at = time.monotonic()
        for worker in self._workers:
            worker.process.terminate()
