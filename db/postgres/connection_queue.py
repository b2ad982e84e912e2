"""The queue for connections: the waiter with the earliest deadline gets the next free one."""

import asyncio
from collections import deque
from typing import Protocol

from db.postgres.connection import Connection
from db.postgres.owner_locks import MakeError


class ConnectionWaiter(Protocol):
    """A waiter for a connection: one request, or the calls of one statement."""

    @property
    def deadline(self) -> float:
        """The earliest deadline of its requests."""

    def take(self, connection: Connection) -> bool:
        """Use the connection, and release it later; false if the waiter does not need it."""

    def expire(self, cutoff: float, make_error: MakeError) -> bool:
        """Fail the requests whose deadline is before the cutoff; false if no request is left."""


class ConnectionRequest:
    """One request that waits for a connection."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.connection: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()

    def take(self, connection: Connection) -> bool:
        """Hand the connection over, unless the request was cancelled or has failed."""
        if self.connection.done():
            return False
        self.connection.set_result(connection)
        return True

    def expire(self, cutoff: float, make_error: MakeError) -> bool:
        """Fail the request if its deadline is before the cutoff."""
        if self.deadline < cutoff and not self.connection.done():
            self.connection.set_exception(make_error())
        return not self.connection.done()


class ConnectionQueue:
    """Waiters in the order of their deadlines, which is the order of their arrival."""

    def __init__(self) -> None:
        self._waiters: deque[ConnectionWaiter] = deque()

    def __len__(self) -> int:
        return len(self._waiters)

    @property
    def oldest_deadline(self) -> float:
        """The earliest deadline; infinity if the queue is empty."""
        return min((each.deadline for each in self._waiters), default=float("inf"))

    def add(self, waiter: ConnectionWaiter) -> None:
        """Insert the waiter by its deadline: one that comes again is not put at the end."""
        place = len(self._waiters)
        while place and self._waiters[place - 1].deadline > waiter.deadline:
            place -= 1
        self._waiters.insert(place, waiter)

    def add_first(self, waiter: ConnectionWaiter) -> None:
        """Insert the waiter before all others."""
        self._waiters.appendleft(waiter)

    def take(self, connection: Connection) -> bool:
        """Give the connection to the first waiter that needs it; false if no waiter does."""
        while self._waiters:
            if self._waiters.popleft().take(connection):
                return True
        return False

    def expire(self, cutoff: float, make_error: MakeError) -> None:
        """Fail the requests whose deadline is before the cutoff."""
        self._waiters = deque(each for each in self._waiters if each.expire(cutoff, make_error))
