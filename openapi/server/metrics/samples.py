"""What is not counted request by request: once a second each worker looks at its parts."""

import asyncio
import logging
import resource
import time
from collections.abc import Iterable, Sized
from pathlib import Path

from db.errors import Unavailable
from db.purge import Purged, stored
from handlers.context import State
from openapi.operations.endpoint import Endpoint
from openapi.server.metrics.families import GROUP_SIZES, Family
from openapi.server.metrics.meters import Meters
from openapi.server.request_log import RequestLog
from openapi.server.watchdog import RequestWatchdog

EVERY_SECONDS = 1.0
STORED_SECONDS = 60.0
logger = logging.getLogger("errand")
STATM = Path("/proc/self/statm")


class Samples:
    """Writes what the parts of this worker say to its meters."""

    def __init__(
        self,
        meters: Meters,
        state: State,
        *,
        watchdog: RequestWatchdog,
        connections: Sized,
        operations: Iterable[Endpoint],
        log: RequestLog,
    ) -> None:
        self._meters = meters
        self._families = meters.families
        self._state = state
        self._watchdog = watchdog
        self._connections = connections
        self._operations = list(operations)
        self._log = log
        self._counted: dict[tuple[str, ...], float] = {}

    async def run(self) -> None:
        """Sample until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + EVERY_SECONDS
            self.sample()
            await asyncio.sleep(EVERY_SECONDS)
            self._meters.set(self._families.lag, max(0.0, loop.time() - due))

    async def run_stored(self, trash_days: int) -> None:
        """Look at what is stored once a minute, until cancelled."""
        while True:
            try:
                rows = await stored(self._state["database"], trash_days)
            except Unavailable as error:
                logger.warning("what is stored was not counted: %s", error)
            else:
                self._meters.set(self._families.stored, rows.trash, "trash")
                self._meters.set(self._families.stored, rows.replays, "replays")
                self._meters.set(self._families.overdue, rows.overdue)
            await asyncio.sleep(STORED_SECONDS)

    def count_purged(self, purged: Purged) -> None:
        """Count what a purge has deleted."""
        for kind, rows in purged._asdict().items():
            self._meters.add(self._families.purged, rows, kind)
        self._meters.set(self._families.purged_at, time.time())

    def sample(self) -> None:
        """Look at all parts."""
        self._sample_waiting()
        self._sample_database()
        self._sample_process()

    def _sample_waiting(self) -> None:
        meters, families = self._meters, self._families
        streams = self._state["streams"].count
        meters.set(families.streams, streams)
        meters.set(families.long_polls, self._state["notifications"].waiting - streams)
        meters.set(families.in_flight, self._watchdog.in_flight)
        meters.set(families.connections, len(self._connections))

    def _sample_database(self) -> None:
        meters, families = self._meters, self._families
        state, activity = self._state["database"].state(), self._state["database"].activity
        meters.set(families.pool, state.idle, "idle")
        meters.set(families.pool, state.busy, "busy")
        meters.set(families.waiting, state.waiting)
        meters.set(families.queue_age, state.queue_age)
        self._advance(families.connects, activity.connects)
        self._advance(families.lost, activity.lost)
        for error, count in activity.failures.items():
            self._advance(families.failures, count, error)
        for result, count in self._state["database"].standby_reads.items():
            self._advance(families.standby, count, result)
        for access, sizes in activity.group_sizes.items():
            self._advance_groups(access.name.lower(), sizes)

    def _sample_process(self) -> None:
        meters, families = self._meters, self._families
        usage = resource.getrusage(resource.RUSAGE_SELF)
        meters.set(families.workers, 1)
        meters.set(families.memory, _resident_bytes(usage))
        self._advance(families.cpu, usage.ru_utime + usage.ru_stime)
        self._advance(families.replays, sum(each.replays for each in self._operations))
        self._advance(families.dropped, self._log.dropped)

    def _advance(self, family: Family, value: float, *labels: str, offset: int = 0) -> None:
        """Bring a counter to what a part of this worker has counted since it began."""
        key = (family.name, *labels, str(offset))
        place = family.place[labels] + offset
        self._meters.numbers[place] += value - self._counted.get(key, 0)
        self._counted[key] = value

    def _advance_groups(self, access: str, sizes: list[int]) -> None:
        """The buckets of the sizes of groups; `sizes` counts those of each size."""
        low = 0
        for offset, bound in enumerate(GROUP_SIZES):
            count = sum(sizes[low + 1 : bound + 1])
            self._advance(self._families.groups, count, access, offset=offset)
            low = bound
        calls = sum(size * count for size, count in enumerate(sizes))
        self._advance(self._families.groups, calls, access, offset=len(GROUP_SIZES) + 1)


def _resident_bytes(usage: resource.struct_rusage) -> float:
    """The resident memory; where the system does not say, its peak."""
    try:
        return int(STATM.read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return usage.ru_maxrss * 1024
