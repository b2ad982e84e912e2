"""What a pool has done since it was opened, and how it is now: plain numbers, for metrics."""

from typing import NamedTuple

from db.errors import ConnectionLost, DatabaseAway, DatabaseFailing, StatementTimedOut
from db.postgres.statement import Access

LARGEST_GROUP = 64

UNEXPECTED = "unexpected"
FAILURES: dict[type[Exception], str] = {
    DatabaseAway: "refused",
    StatementTimedOut: "timed_out",
    ConnectionLost: "connection_lost",
    DatabaseFailing: "failing",
    Exception: UNEXPECTED,
}
"""What a failed statement counts as, by the error that its caller gets."""


class Activity:
    """Counts since the pool was opened."""

    def __init__(self) -> None:
        self.connects = 0
        self.lost = 0
        self.failures = dict.fromkeys(FAILURES.values(), 0)
        self.group_sizes = {access: [0] * (LARGEST_GROUP + 1) for access in Access}
        """The groups with so many calls each."""

    def count_failure(self, error: Exception) -> Exception:
        """Count a statement that failed with the error, and return the error."""
        self.failures[next(FAILURES[kind] for kind in type(error).__mro__ if kind in FAILURES)] += 1
        return error


class PoolState(NamedTuple):
    """A pool at this moment."""

    idle: int
    busy: int
    waiting: int
    """Waiters for a connection: requests, and statements with calls."""

    queue_age: float
    """How long the first of them has waited, in seconds."""
