"""How long requests may wait for the database, after CoDel ("Controlling Queue Delay", RFC 8289).

A queue that becomes empty now and then is a burst: its requests may wait. A queue that never
becomes empty, a standing queue, is an overload: longer waits do not serve more requests, they only
delay every response.
"""

from db.errors import DatabaseAway, Overloaded
from db.postgres.connection_queue import ConnectionQueue
from db.postgres.owner_locks import OwnerLocks

FOREVER = float("inf")
CLOSING = "The server is stopping."


class Overload:
    """Limits the wait to `burst` seconds; after a queue has stood that long, to `standing`."""

    def __init__(self, burst: float, standing: float) -> None:
        self._burst = burst
        self._standing = min(standing, burst)
        self._last_calm = 0.0

    def longest_wait(self, age: float, now: float) -> float:
        """How long requests may wait now, if the oldest one has waited for `age` seconds."""
        if age < self._standing:
            self._last_calm = now
        return self._burst if now - self._last_calm < self._burst else self._standing

    def fail_overdue(
        self,
        queue: ConnectionQueue,
        locks: OwnerLocks,
        now: float,
        *,
        early: float,
        is_connected: bool,
    ) -> None:
        """Fail the requests that have waited too long for a connection or for an owner's lock.

        A request fails up to `early` seconds too early: the next check would be too late.
        """
        longest = self.longest_wait(now + self._burst - queue.oldest_deadline, now)

        def no_connection() -> Exception:
            if is_connected:
                return Overloaded(f"No database connection became free within {longest:g} s.")
            return DatabaseAway(f"There was no connection to the database for {longest:g} s.")

        def no_lock() -> Exception:
            return Overloaded(f"Another change for this user did not end within {self._burst:g} s.")

        # Deadlines are set for the wait of a burst.
        queue.expire(now + self._burst - longest + min(early, longest / 2), no_connection)
        locks.expire(now + min(early, self._burst / 2), no_lock)


def fail_all(queue: ConnectionQueue, locks: OwnerLocks) -> None:
    """Fail all waiting requests, because the server stops."""

    def closing() -> Exception:
        return DatabaseAway(CLOSING)

    queue.expire(FOREVER, closing)
    locks.expire(FOREVER, closing)
