"""All metrics that there are: their names, their labels, and their places among the numbers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import cached_property
from itertools import product

from db.postgres.activity import FAILURES, LARGEST_GROUP
from db.postgres.statement import Access
from openapi.http.problems import KINDS

NO_OPERATION = "none"
"""Stands for the operation of a request for a page, of a preflight, or of an unknown path."""
DISCONNECTED = "disconnected"
"""Stands for the status of a response that the client did not wait for."""
OTHER = "other"

STATUSES = ["200", "201", "204", "304", "307", *sorted({str(each.status) for each in KINDS})]
DURATIONS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
GROUP_SIZES = (1, 2, 4, 8, 16, 32, LARGEST_GROUP)


class Type(Enum):
    """How the numbers of several workers become one, and how Prometheus reads them."""

    COUNTER = auto()
    GAUGE = auto()
    PEAK = auto()
    """A gauge; of several workers, the highest counts."""
    HISTOGRAM = auto()


@dataclass(frozen=True)
class Family:
    """A metric: one number for each combination of its labels; of a histogram, several."""

    name: str
    help: str
    type: Type
    labels: tuple[str, ...]
    series: tuple[tuple[str, ...], ...]
    bounds: tuple[float, ...]
    start: int

    @property
    def width(self) -> int:
        """The numbers of one series: of a histogram one for each bucket, the last, and the sum."""
        return len(self.bounds) + 2 if self.type is Type.HISTOGRAM else 1

    @property
    def places(self) -> range:
        """The places of all its numbers."""
        return range(self.start, self.start + self.width * len(self.series))

    @cached_property
    def place(self) -> dict[tuple[str, ...], int]:
        """The place of the first number of each series."""
        return dict(zip(self.series, self.places[:: self.width], strict=True))


class Families:
    """The metrics of a server with these operations."""

    def __init__(self, operations: Iterable[str]) -> None:
        self.all: list[Family] = []
        of_operation = [*operations, NO_OPERATION]
        statuses = [*STATUSES, DISCONNECTED, OTHER]
        self._declare_requests(of_operation, statuses)
        self._declare_waiting()
        self._declare_database()
        self._declare_storage()
        self._declare_process()

    @property
    def size(self) -> int:
        """The count of all numbers."""
        return self.all[-1].places.stop

    def _declare_requests(self, operations: Sequence[str], statuses: Sequence[str]) -> None:
        self.requests = self._add(
            Type.COUNTER,
            "requests",
            "Requests that have ended.",
            operation=operations,
            status=statuses,
        )
        self.durations = self._add(
            Type.HISTOGRAM,
            "request_duration_seconds",
            "Time from the head of a request to the end of its response.",
            DURATIONS,
            operation=operations,
        )
        self.problems = self._add(
            Type.COUNTER,
            "problems",
            "Problem documents by type: what was refused, and why.",
            type=[each.name for each in KINDS],
        )

    def _declare_waiting(self) -> None:
        self.in_flight = self._add(
            Type.GAUGE, "requests_in_flight", "Requests whose response has not started."
        )
        self.streams = self._add(Type.GAUGE, "streams", "Streams of changes that are open.")
        self.long_polls = self._add(Type.GAUGE, "long_polls", "Long polls that wait for a change.")
        self.connections = self._add(
            Type.GAUGE, "client_connections", "Connections of clients that are open."
        )

    def _declare_database(self) -> None:
        self.pool = self._add(
            Type.GAUGE,
            "database_connections",
            "Connections to the database.",
            state=["idle", "busy"],
        )
        self.waiting = self._add(
            Type.GAUGE,
            "database_queue_length",
            "Requests, and statements with calls, that wait for a connection.",
        )
        self.queue_age = self._add(
            Type.PEAK, "database_queue_age_seconds", "How long the first of them has waited."
        )
        self.connects = self._add(
            Type.COUNTER, "database_connects", "Connections to the database that were opened."
        )
        self.lost = self._add(
            Type.COUNTER, "database_connections_lost", "Connections that were lost and replaced."
        )
        self.failures = self._add(
            Type.COUNTER,
            "database_errors",
            "Statements that failed, by what failed.",
            error=list(FAILURES.values()),
        )
        self.standby = self._add(
            Type.COUNTER,
            "standby_reads",
            "Reads that were sent to a standby, by what came of them.",
            result=["fresh", "stale", "failed"],
        )
        self.groups = self._add(
            Type.HISTOGRAM,
            "group_calls",
            "Calls that shared a round trip and a commit.",
            GROUP_SIZES,
            access=[each.name.lower() for each in Access],
        )

    def _declare_storage(self) -> None:
        self.replays = self._add(
            Type.COUNTER,
            "replayed_responses",
            "Stored responses that were sent again for an Idempotency-Key.",
        )
        self.purged = self._add(
            Type.COUNTER,
            "purged_rows",
            "Rows that the purge has deleted.",
            kind=["tasks", "lists", "replays"],
        )
        self.purged_at = self._add(
            Type.PEAK, "last_purge_timestamp_seconds", "When the last purge ended; 0 before."
        )

        self.stored = self._add(
            Type.PEAK,
            "stored_rows",
            "Rows that the purge will delete, by the last count of PostgreSQL.",
            kind=["trash", "replays"],
        )
        self.overdue = self._add(
            Type.PEAK,
            "purge_overdue_seconds",
            "How long ago the oldest of the trash should have been purged.",
        )

    def _declare_process(self) -> None:
        self.workers = self._add(Type.GAUGE, "workers", "Processes that serve.")
        self.lag = self._add(
            Type.PEAK, "event_loop_lag_seconds", "How late the event loop runs what is due."
        )
        self.memory = self._add(
            Type.GAUGE, "resident_memory_bytes", "Resident memory of all workers."
        )
        self.cpu = self._add(Type.COUNTER, "cpu_seconds", "CPU time of all workers.")
        self.dropped = self._add(
            Type.COUNTER,
            "log_lines_dropped",
            "Lines of the request log that were not read in time.",
        )

    def _add(
        self,
        type_: Type,
        name: str,
        text: str,
        bounds: tuple[float, ...] = (),
        **labels: Sequence[str],
    ) -> Family:
        start = self.size if self.all else 0
        series = tuple(product(*labels.values()))
        family = Family(f"errand_{name}", text, type_, tuple(labels), series, bounds, start)
        self.all.append(family)
        return family
