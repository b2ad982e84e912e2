"""How long requests may wait for the database, after CoDel ("Controlling Queue Delay", RFC 8289).

A queue that empties now and then is a burst, and to wait is right. One that stands is an overload:
to wait longer serves no more requests, it only serves all of them later.
"""


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
