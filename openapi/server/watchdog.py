"""The watchdog cancels requests in flight: after their deadline, or if the client disconnects.

A cancellation stops the handler and its statement in the database.
"""

import asyncio
import math
from typing import Any

from openapi.access.principal import Principal
from openapi.http.problems import RETRY_AFTER, TOO_LATE, Kind, Problem
from openapi.http.request import ClientDisconnected, Request
from openapi.operations.endpoint import Endpoint

INTERVAL = 0.1


class ServerStopping(Exception):
    """The server stops, and ends a stream that has no end of its own."""


class InFlightRequest:
    """A request, the task that serves it, and the values for its line in the log."""

    operation: Endpoint | None = None

    caller: Principal | None = None
    """The principal, once the token is verified."""

    key_id: str | None = None
    """The key that a refused token names."""

    problem: Kind | None = None
    """The kind of problem that it ended with."""

    observer: asyncio.Task[None] | None = None
    _received_at: float | None = None
    _cause: Exception | None = None

    def __init__(self, request: Request, task: "asyncio.Task[Any] | None") -> None:
        self.request = request
        self._task = task

    def check_deadline(self, now: float) -> None:
        """Cancel the task if the timeout has passed since the request was received.

        From the second check on, the connection is observed, too. Few requests last so long, and
        an observer costs more than all other work for a fast request.
        """
        if self._received_at is None:
            self._received_at = now
        elif self.observer is None:
            self.observe()
        timeout = self.operation.response_timeout if self.operation else math.inf
        if now - self._received_at > timeout:
            detail = (
                "The server cancelled the request. A change may or may not have been made: check."
            )
            self.cancel(Problem(TOO_LATE, detail, headers=[RETRY_AFTER]))

    def observe(self) -> None:
        """Cancel the task when the client disconnects."""
        self.observer = asyncio.create_task(self._observe())

    def cause_of(self, error: BaseException) -> BaseException:
        """The reason, if the watchdog cancelled the task; otherwise the error itself."""
        if self._cause is None or not isinstance(error, asyncio.CancelledError):
            return error
        if self._task is not None:
            self._task.uncancel()
        return self._cause

    def cancel(self, cause: Exception) -> None:
        """Cancel the task, unless it was cancelled before."""
        if self._cause is None and self._task is not None:
            self._cause = cause
            self._task.cancel()

    async def _observe(self) -> None:
        await self.request.disconnected()
        self.cancel(ClientDisconnected())


class RequestWatchdog:
    """Checks all requests in flight at intervals: a timer for each would slow fast ones down."""

    def __init__(self) -> None:
        self._in_flight: set[InFlightRequest] = set()
        self._endless: set[InFlightRequest] = set()
        self._is_stopping = False

    @property
    def in_flight(self) -> int:
        """The number of requests whose response has not started, or is sent in parts."""
        return len(self._in_flight)

    def enter(self, request: Request) -> InFlightRequest:
        """Watch a request, which the current task serves; it has no deadline yet."""
        in_flight = InFlightRequest(request, asyncio.current_task())
        self._in_flight.add(in_flight)
        return in_flight

    def enter_endless(self, request: Request) -> InFlightRequest:
        """Watch a request whose response ends when the client disconnects or the server stops.

        It has no deadline, so it is not checked: thousands of them cost nothing while they wait.
        """
        in_flight = InFlightRequest(request, asyncio.current_task())
        in_flight.observe()
        self._endless.add(in_flight)
        if self._is_stopping:
            in_flight.cancel(ServerStopping())
        return in_flight

    def leave(self, in_flight: InFlightRequest) -> None:
        """Stop watching a request."""
        self._in_flight.discard(in_flight)
        if self._endless:
            self._endless.discard(in_flight)
        if in_flight.observer is not None:
            in_flight.observer.cancel()

    async def run(self) -> None:
        """Check every request that was received completely, until cancelled.

        While a body arrives, the connection has a deadline of its own, and an observer would
        consume the body.
        """
        while True:
            await asyncio.sleep(INTERVAL)
            now = asyncio.get_running_loop().time()
            for in_flight in self._in_flight:
                if in_flight.request.body_received:
                    in_flight.check_deadline(now)

    def stop(self) -> None:
        """The server stops: end all endless streams, also those that begin from now on."""
        self._is_stopping = True
        for in_flight in self._endless:
            in_flight.cancel(ServerStopping())
