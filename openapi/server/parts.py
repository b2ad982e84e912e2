"""What an application shares with the process that runs it."""

from dataclasses import dataclass, field
from functools import partial

from openapi.server.connection_limits import Connections
from openapi.server.metrics.meters import Meters
from openapi.server.metrics.request_log import MeteredRequestLog
from openapi.server.request_log import RequestLog
from openapi.server.shutdown import Shutdown
from openapi.settings import Settings


@dataclass
class Parts:
    """The parts of one worker; each of several has its own copy."""

    connections: Connections
    log: RequestLog = field(default_factory=partial(RequestLog, wanted=False))
    shutdown: Shutdown = field(default_factory=Shutdown)
    meters: Meters | None = None

    @classmethod
    def of(cls, settings: Settings) -> "Parts":
        """The parts that the settings ask for."""
        wanted = settings.request_log
        meters = None if settings.metrics_port is None else Meters(settings.workers)
        return cls(
            Connections(
                settings.connection_limit,
                settings.address_connection_limit,
                settings.trusted_proxies,
            ),
            log=MeteredRequestLog(meters, wanted=wanted) if meters else RequestLog(wanted=wanted),
            meters=meters,
        )

    def enter(self, worker: int) -> None:
        """Count as this worker from now on."""
        if self.meters:
            self.meters.enter(worker)
