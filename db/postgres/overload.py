"""How long requests may wait for the database, after CoDel ("Controlling Queue Delay", RFC 8289).

A queue that empties now and then is a burst, and to wait is right. One that stands is an overload:
to wait longer serves no more requests, it only serves all of them later.
"""

from db.errors import DatabaseAway, Overloaded
from db.postgres.owner_locks import OwnerLocks
from db.postgres.waiting_line import WaitingLine

FOREVER = float("inf")
CLOSING = "The server is stopping."


class Overload:
    """Bounds the wait: to a while in a burst, to less once the queue stands for that while."""

    def __init__(self, burst: float, standing: float) -> None:
        self._burst = burst
        self._standing = min(standing, burst)
        self._last_calm = 0.0

    def bound(self, age: float, now: float) -> float:
        """How long requests may wait now, if the oldest has waited for `age`."""
        if age < self._standing:
            self._last_calm = now
        return self._burst if now - self._last_calm < self._burst else self._standing

    def refuse_overdue(
        self, line: WaitingLine, locks: OwnerLocks, now: float, *, early: float, is_connected: bool
    ) -> None:
        """Refuse what has waited too long for a connection or its turn, or will have so early."""
        bound = self.bound(now + self._burst - line.oldest_deadline, now)

        def unserved() -> Exception:
            if is_connected:
                return Overloaded(f"No database connection became free within {bound:g} s.")
            return DatabaseAway(f"There was no connection to the database for {bound:g} s.")

        def not_locked() -> Exception:
            return Overloaded(f"Another change for this user did not end within {self._burst:g} s.")

        # A deadline is what a request has if it waits for as long as in a burst.
        line.expire(now + self._burst - bound + min(early, bound / 2), unserved)
        locks.expire(now + min(early, self._burst / 2), not_locked)


def refuse_all(line: WaitingLine, locks: OwnerLocks) -> None:
    """Refuse all that waits: the server stops."""

    def closing() -> Exception:
        return DatabaseAway(CLOSING)

    line.expire(FOREVER, closing)
    locks.expire(FOREVER, closing)
