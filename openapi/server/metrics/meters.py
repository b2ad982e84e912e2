"""The numbers behind the metrics: each worker writes its own, and any process can add them up.

They lie in memory that the processes share. So an increment is one assignment, without a lock, and
a worker that dies takes nothing along: its successor goes on counting.
"""

import multiprocessing
from collections.abc import Iterable
from ctypes import c_double
from typing import Any

from openapi.server.metrics.families import Families, Family, Type

GAUGES = (Type.GAUGE, Type.PEAK)


class Meters:
    """The numbers of each of several workers."""

    families: Families
    numbers: "memoryview[float]"
    """Those of this process, once it has entered."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._shared: list[Any] = []

    def declare(self, operations: Iterable[str]) -> None:
        """Make room for the metrics of these operations; in a worker, find it made."""
        self.families = Families(operations)
        if not self._shared:
            spawn = multiprocessing.get_context("spawn")
            self._shared = [
                spawn.RawArray(c_double, self.families.size) for _ in range(self._workers)
            ]

    def enter(self, worker: int) -> None:
        """Count as this worker from now on."""
        self.numbers = _view(self._shared[worker])
        for family in self.families.all:
            if family.type in GAUGES:
                for place in family.places:
                    self.numbers[place] = 0

    def set(self, family: Family, value: float, *labels: str) -> None:
        """Set a gauge of this process."""
        self.numbers[family.place[labels]] = value

    def add(self, family: Family, value: float, *labels: str) -> None:
        """Increase a counter of this process."""
        self.numbers[family.place[labels]] += value

    def totals(self) -> list[float]:
        """The numbers of all workers together."""
        views = [_view(each) for each in self._shared]
        totals = [sum(each) for each in zip(*views, strict=True)]
        for family in self.families.all:
            if family.type is Type.PEAK:
                for place in family.places:
                    totals[place] = max(view[place] for view in views)
        return totals


def _view(shared: Any) -> "memoryview[float]":
    return memoryview(shared).cast("B").cast("d")
