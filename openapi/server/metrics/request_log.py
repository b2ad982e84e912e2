"""The request log, which also counts."""

from bisect import bisect_left

from openapi.http.request import Refusal
from openapi.server.metrics.families import DISCONNECTED, DURATIONS, NO_OPERATION, OTHER, STATUSES
from openapi.server.metrics.meters import Meters
from openapi.server.request_log import RequestLog
from openapi.server.watchdog import InFlightRequest


class MeteredRequestLog(RequestLog):
    """Counts each request that it logs, or would log: this takes less than a microsecond."""

    def __init__(self, meters: Meters, *, wanted: bool) -> None:
        super().__init__(wanted=wanted)
        self._meters = meters

    async def __aenter__(self) -> None:
        families = self._meters.families
        self._numbers = self._meters.numbers
        self._problems = families.problems.place
        self._buckets = {labels[0]: place for labels, place in families.durations.place.items()}
        self._counters: dict[str, dict[int | None, int]] = {}
        of_status = {**{str(each): each for each in map(int, STATUSES)}, DISCONNECTED: None}
        self._others = {}
        for (operation, status), place in families.requests.place.items():
            if status == OTHER:
                self._others[operation] = place
            else:
                self._counters.setdefault(operation, {})[of_status[status]] = place
        await super().__aenter__()

    def add(
        self, in_flight: InFlightRequest, status: int | None, size: int, seconds: float
    ) -> None:
        """Count and log a request."""
        operation = in_flight.operation
        name = NO_OPERATION if operation is None else operation.id
        numbers = self._numbers
        place = self._counters[name].get(status)
        numbers[self._others[name] if place is None else place] += 1
        first = self._buckets[name]
        numbers[first + bisect_left(DURATIONS, seconds)] += 1
        numbers[first + SUM] += seconds
        if in_flight.problem is not None:
            numbers[self._problems[in_flight.problem.name,]] += 1
        if self._wanted:
            super().add(in_flight, status, size, seconds)

    def add_refusal(self, refusal: Refusal, client: str | None) -> None:
        """Count and log a request that could not be parsed."""
        name = NO_OPERATION
        self._numbers[self._counters[name][refusal.response.status]] += 1
        self._numbers[self._problems[refusal.kind.name,]] += 1
        super().add_refusal(refusal, client)


SUM = len(DURATIONS) + 1
