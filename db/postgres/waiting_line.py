"""The line of what waits for a connection: the oldest first, and none older than a bound."""

import asyncio
from collections import deque
from typing import Protocol

from db.postgres.connection import Connection
from db.postgres.owner_locks import MakeError


class Waiter(Protocol):
    """What waits for a connection: one request, or a queue of calls."""

    @property
    def deadline(self) -> float:
        """Until when the first of its requests may wait."""

    def take(self, connection: Connection) -> bool:
        """Use the connection, and release it later; false if there is no use for it any more."""

    def expire(self, cutoff: float, make_error: MakeError) -> bool:
        """Refuse what was to be served before; false if nothing is left."""


class ConnectionRequest:
    """One request that waits for a connection."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.connection: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()

    def take(self, connection: Connection) -> bool:
        """Hand the connection over, unless the request has gone."""
        if self.connection.done():
            return False
        self.connection.set_result(connection)
        return True

    def expire(self, cutoff: float, make_error: MakeError) -> bool:
        """Refuse it, if it was to be served before."""
        if self.deadline < cutoff and not self.connection.done():
            self.connection.set_exception(make_error())
        return not self.connection.done()


class WaitingLine:
    """Serves in the order of deadlines, which is that in which the requests came."""

    def __init__(self) -> None:
        self._waiters: deque[Waiter] = deque()

    @property
    def oldest_deadline(self) -> float:
        """The earliest deadline; infinity if nothing waits."""
        return min((each.deadline for each in self._waiters), default=float("inf"))

    def add(self, waiter: Waiter) -> None:
        """Line up; a waiter stands behind those that came before it, be it for the second time."""
        place = len(self._waiters)
        while place and self._waiters[place - 1].deadline > waiter.deadline:
            place -= 1
        self._waiters.insert(place, waiter)

    def add_ahead(self, waiter: Waiter) -> None:
        """Line up before all others."""
        self._waiters.appendleft(waiter)

    def take(self, connection: Connection) -> bool:
        """Give the connection to the first that has a use for it; false if none has."""
        while self._waiters:
            if self._waiters.popleft().take(connection):
                return True
        return False

    def expire(self, cutoff: float, make_error: MakeError) -> None:
        """Refuse what was to be served before."""
        self._waiters = deque(each for each in self._waiters if each.expire(cutoff, make_error))
