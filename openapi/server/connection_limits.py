"""Limits of the connections of a worker: in all, and from each address."""

from collections.abc import Collection, Iterable
from heapq import nsmallest
from typing import Protocol

from openapi.access.proxies import Networks
from openapi.access.rate_limits import network

# A search for the longest idle connections looks at all of them: it evicts many at once.
EVICTED_AT_ONCE = 1 / 64


class Connection(Protocol):
    """The part of a connection that its limits use."""

    address: str | None

    @property
    def idle_since(self) -> float | None:
        """Since when no request is in flight; None if one is."""

    def close_idle(self) -> None:
        """Close it, to make room for another."""


class Connections:
    """Limits the connections; at a limit it closes those that have been idle the longest."""

    def __init__(self, limit: int, limit_per_address: int, proxies: Iterable[str] = ()) -> None:
        self._limit = limit
        self._limit_per_address = limit_per_address
        self._proxies = Networks(proxies)
        self._all: set[Connection] = set()
        self._of_address: dict[str, set[Connection]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def add(self, connection: Connection) -> str | None:
        """Add a connection, or return the reason to refuse it."""
        address = self._counted_as(connection)
        siblings = self._of_address.get(address, ()) if address else ()
        if not self._make_room(siblings, self._limit_per_address):
            return f"The server accepts {self._limit_per_address:,} connections from one address."
        if not self._make_room(self._all, self._limit):
            return f"The server accepts {self._limit:,} connections."
        self._all.add(connection)
        if address:
            self._of_address.setdefault(address, set()).add(connection)
        return None

    def discard(self, connection: Connection) -> None:
        """Remove a closed connection."""
        self._all.discard(connection)
        address = self._counted_as(connection)
        siblings = self._of_address.get(address)
        if siblings is not None:
            siblings.discard(connection)
            if not siblings:
                del self._of_address[address]

    def _counted_as(self, connection: Connection) -> str:
        """The network to count the connection under; none behind a trusted proxy."""
        address = connection.address
        return "" if address is None or address in self._proxies else network(address)

    def _make_room(self, connections: Collection[Connection], limit: int) -> bool:
        if len(connections) < limit:
            return True
        idle = [(since, id(each), each) for each in connections if (since := each.idle_since)]
        evicted = nsmallest(max(1, int(limit * EVICTED_AT_ONCE)), idle)
        for _, _, each in evicted:
            self.discard(each)
            each.close_idle()
        return bool(evicted)
