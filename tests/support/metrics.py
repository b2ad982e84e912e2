"""The metrics of a server, as Prometheus reads them."""

from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

from tests.support import http
from tests.support.servers import Server, url_of

Sample = tuple[str, frozenset[tuple[str, str]]]

METERED = {"ERRAND_METRICS_PORT": "0"}
"""The settings of a server that serves metrics."""

ANNOUNCED = "Metrics "


class Metrics:
    """The page of metrics of a server that was just started."""

    def __init__(self, server: Server) -> None:
        self.process = server
        self.server_url = url_of(server)
        assert server.stdout
        lines = iter(server.stdout.readline, "")
        self.url = next(line for line in lines if ANNOUNCED in line).split()[-1]

    def text(self) -> str:
        """The page."""
        response = http.get(self.url)
        assert response.status_code == 200
        return response.text

    def samples(self) -> Mapping[Sample, float]:
        """Every sample, by its name and labels."""
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(self.text())
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float:
        """The value of one sample; one that is left out is 0."""
        return self.samples().get((name, frozenset(labels.items())), 0)
