"""The page of all metrics, at an address of its own: no client of the API can reach it there."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from itertools import accumulate
from typing import TYPE_CHECKING

from openapi.server.metrics.families import Family, Type
from openapi.server.metrics.meters import Meters
from openapi.settings import Settings, WrongSettings

if TYPE_CHECKING:
    from prometheus_client.core import Metric

QUIET = (Type.COUNTER, Type.HISTOGRAM)


@contextmanager
def metrics_served(settings: Settings, meters: Meters | None) -> Iterator[int | None]:
    """Serve the metrics inside `with`, on the port that is yielded.

    A thread does that, in the parent of the workers if there are several. So metrics can also be
    read while the event loop is busy.
    """
    if meters is None or settings.metrics_port is None:
        yield None
        return
    from prometheus_client import start_http_server  # noqa: PLC0415

    try:
        server, _ = start_http_server(
            settings.metrics_port,
            settings.metrics_host,
            Page(meters),
        )
    except OSError as error:
        raise WrongSettings(
            f"Errand cannot serve metrics on {settings.metrics_host}, port"
            f" {settings.metrics_port}: {error.strerror}. Choose another ERRAND_METRICS_PORT."
        ) from error
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


class Page:
    """A collector for prometheus_client: it reads the numbers when it is asked."""

    def __init__(self, meters: Meters) -> None:
        self._meters = meters
        self._version = version("errand")

    def collect(self) -> Iterator["Metric"]:
        """Every metric; a series of several labels that has not counted anything is left out."""
        from prometheus_client.core import InfoMetricFamily  # noqa: PLC0415

        totals = self._meters.totals()
        yield InfoMetricFamily("errand", "The version of Errand.", {"version": self._version})
        for family in self._meters.families.all:
            yield _metric(family, totals)


def _metric(family: Family, totals: list[float]) -> "Metric":
    from prometheus_client.core import (  # noqa: PLC0415
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
    )

    name, text, labels = family.name, family.help, family.labels
    if family.type is Type.HISTOGRAM:
        histogram = HistogramMetricFamily(name, text, labels=labels)
        for values, place in family.place.items():
            *counts, total = totals[place : place + family.width]
            if any(counts):
                bounds = [*map(str, map(float, family.bounds)), "+Inf"]
                buckets = list(zip(bounds, accumulate(counts), strict=True))
                histogram.add_metric(values, buckets, total)
        return histogram
    make = CounterMetricFamily if family.type is Type.COUNTER else GaugeMetricFamily
    metric = make(name, text, labels=labels)
    for values, place in family.place.items():
        if totals[place] or len(labels) <= 1:
            metric.add_metric(values, totals[place])
    return metric
