"""What a server takes of its machine, again and again, and whether that grows."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import psutil

MEGABYTE = 2**20
QUARTERS = 4
WARM_UP = 0.2
"""The part of the samples that does not count: caches are filled, and pages are touched."""


class Usage(NamedTuple):
    """What the processes of a server take together."""

    rss: float
    pss: float
    descriptors: float
    threads: float
    database_connections: float


TOLERANCES = Usage(rss=8, pss=8, descriptors=4, threads=1, database_connections=1)
"""By how much the last quarter may be above the first one: megabytes, or how many.

Memory rises by 5 MB until more than a hundred faults have struck, and then no more.
"""


def usage(pid: int, database_port: int) -> Usage:
    """What a server and its workers take now; memory in megabytes."""
    parent = psutil.Process(pid)
    each_one = [_of_one(each, database_port) for each in _all(parent)]
    return Usage(*map(sum, zip(*each_one, strict=True)))


def _all(parent: psutil.Process) -> list[psutil.Process]:
    return [parent, *parent.children(recursive=True)]


def _of_one(process: psutil.Process, database_port: int) -> Usage:
    memory = process.memory_full_info()
    peers = [each.raddr.port for each in process.net_connections("tcp") if each.raddr]
    return Usage(
        rss=memory.rss / MEGABYTE,
        pss=memory.pss / MEGABYTE,
        descriptors=process.num_fds(),
        threads=process.num_threads(),
        database_connections=peers.count(database_port),
    )


class Growth(NamedTuple):
    """How much was taken in each quarter of the time after the warm-up."""

    name: str
    medians: list[float]
    highest_at_first: float
    """The highest of the first quarter."""

    @property
    def is_flat(self) -> bool:
        """Whether the last quarter is not above the first one by more than is tolerated."""
        tolerance: float = getattr(TOLERANCES, self.name)
        return self.medians[-1] - self.highest_at_first <= tolerance

    def __str__(self) -> str:
        medians = "".join(f"{each:9.1f}" for each in self.medians)
        return f"{self.name:21}{medians}  {'flat' if self.is_flat else 'GROWS'}"


@dataclass
class Samples:
    """Samples in the order of time."""

    look: Callable[[], Usage]
    taken: list[Usage] = field(default_factory=list)

    def take(self) -> None:
        """Look once more."""
        self.taken.append(self.look())

    def growths(self) -> list[Growth]:
        """How each quantity has changed."""
        counted = self.taken[int(len(self.taken) * WARM_UP) :]
        assert len(counted) >= QUARTERS, "too little time"
        ends = [len(counted) * number // QUARTERS for number in range(QUARTERS + 1)]
        quarters = [counted[start:end] for start, end in pairwise(ends)]
        return [
            Growth(
                name,
                [statistics.median(getattr(each, name) for each in part) for part in quarters],
                max(getattr(each, name) for each in quarters[0]),
            )
            for name in Usage._fields
        ]
