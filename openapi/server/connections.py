"""The connections of a worker: how many there are in all, and how many of each address."""

from collections.abc import Collection, Iterable
from heapq import nsmallest
from typing import Protocol

from openapi.access.proxies import Networks
from openapi.access.rate_limits import network

# To find the longest idle means to look at all: so it is done once for many.
EVICTED_AT_ONCE = 1 / 64


class Connection(Protocol):
    """What there is to know of a connection."""

    address: str | None

    @property
    def idle_since(self) -> float | None:
        """When it last had a request in flight, or was made; none if it has one now."""

    def close_idle(self) -> None:
        """Close it, to make room for another."""


class Connections:
    """Bounds the connections; room is made by closing the longest idle."""

    def __init__(self, limit: int, limit_per_address: int, proxies: Iterable[str] = ()) -> None:
        self._limit = limit
        self._limit_per_address = limit_per_address
        self._proxies = Networks(proxies)
        self._all: set[Connection] = set()
        self._of_address: dict[str, set[Connection]] = {}

    def add(self, connection: Connection) -> str | None:
        """Add a connection, or return why there is no room for it."""
        address = self._counted_as(connection)
        siblings = self._of_address.get(address, ()) if address else ()
        if not self._make_room(siblings, self._limit_per_address):
            return f"It takes {self._limit_per_address:,} from one address."
        if not self._make_room(self._all, self._limit):
            return f"It takes {self._limit:,}."
        self._all.add(connection)
        if address:
            self._of_address.setdefault(address, set()).add(connection)
        return None

    def discard(self, connection: Connection) -> None:
        """Forget a connection that is closed."""
        self._all.discard(connection)
        address = self._counted_as(connection)
        siblings = self._of_address.get(address)
        if siblings is not None:
            siblings.discard(connection)
            if not siblings:
                del self._of_address[address]

    def _counted_as(self, connection: Connection) -> str:
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
