"""What a server takes of its machine, again and again, and whether that grows."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import psutil

MEGABYTE = 2**20
WARM_UP = 0.2
"""The part of the samples that does not count: caches are filled, and pages are touched."""


class Usage(NamedTuple):
    """What the processes of a server take together."""

    rss: float
    pss: float
    descriptors: float
    threads: float
    database_connections: float


TOLERANCES = Usage(rss=4, pss=4, descriptors=4, threads=1, database_connections=1)
"""By how much the last quarter may be above the first one: megabytes, or how many."""


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
    """The highest of the first quarter after the warm-up, and the median of the last one."""

    name: str
    first: float
    last: float
    highest: float

    @property
    def is_flat(self) -> bool:
        """Whether the last quarter is not above the first one by more than is tolerated."""
        tolerance: float = getattr(TOLERANCES, self.name)
        return self.last - self.first <= tolerance

    def __str__(self) -> str:
        words = "flat" if self.is_flat else "GROWS"
        return f"{self.name:21} {self.first:8.1f} {self.last:8.1f} {self.highest:8.1f}  {words}"


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
        quarter = max(1, len(counted) // 4)
        return [
            Growth(
                name,
                max(getattr(each, name) for each in counted[:quarter]),
                statistics.median(getattr(each, name) for each in counted[-quarter:]),
                max(getattr(each, name) for each in self.taken),
            )
            for name in Usage._fields
        ]
