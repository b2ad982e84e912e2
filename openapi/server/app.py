"""The application: Connexion's, with one middleware, which is compiled from the contract."""

import asyncio
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connexion import AsyncApp
from connexion.middleware.lifespan import LifespanMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from db.catalogue import CATALOGUE
from db.citus.opening import database_at
from db.database import Database
from db.purge import purge_daily
from db.standby import DatabaseWithStandby
from db.tasks.change_notifications import ChangeNotifications
from db.tasks.streams import Streams
from db.transfers.room import Room
from db.transfers.transfers import Transfers
from handlers.context import State
from openapi.access.cors import Cors
from openapi.access.policy import guard_of, hosts_of
from openapi.access.proxies import TrustedProxies
from openapi.access.rate_limits import Limiter
from openapi.contract.document import CONTRACT, Contract
from openapi.operations.compile import compile_contract
from openapi.server import docs
from openapi.server.admission import Admission
from openapi.server.metrics.samples import Samples
from openapi.server.middleware import ContractMiddleware
from openapi.server.parts import Parts
from openapi.server.watchdog import RequestWatchdog
from openapi.settings import Settings, WrongSettings, variable

TRANSFERRING = 4
"""One of so many connections may serve an export or an import at a time."""

if TYPE_CHECKING:
    from openapi.mcp.endpoint import McpEndpoint
    from openapi.server.tracing import Tracing


class App(AsyncApp):  # type: ignore[misc]
    """Connexion's application; the contract is compiled before anything is started."""

    def __init__(
        self,
        settings: Settings,
        contract_path: Path = CONTRACT,
        *,
        parts: Parts | None = None,
    ) -> None:
        """Raise the faults of the contract, or those of the keys of tokens."""
        contract = Contract.load(contract_path, settings)
        limit = settings.requests_a_minute
        origins, proxies = settings.cors_origins, settings.trusted_proxies
        self._settings = settings
        self._watchdog = RequestWatchdog()
        self._guard = guard_of(settings)
        self._limiter = Limiter(limit, settings.redis_url) if limit else None
        self._parts = parts or Parts.of(settings)
        super().__init__(__name__, lifespan=self._lifespan, middlewares=[LifespanMiddleware])
        self._router = compile_contract(contract, settings)
        self._mcp = _mcp(contract, settings, self) if settings.mcp else None
        if self._mcp:
            self._router.add(self._mcp.path, "POST", self._mcp)
        if self._parts.meters:
            self._parts.meters.declare(each.id for each in self._router.operations)
        self._tracing = _tracing() if settings.tracing else None
        self._contract = _middleware(
            self._tracing,
            super().__call__,
            router=self._router,
            pages=docs.pages(contract),
            cors=Cors(origins, contract) if origins else None,
            hosts=hosts_of(settings),
            proxies=TrustedProxies(proxies) if proxies else None,
            admission=Admission(self._guard, self._limiter),
            watchdog=self._watchdog,
            log=self._parts.log,
        )

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve a request, without Connexion's own middlewares, which would slow it down."""
        return self._contract(scope, receive, send)

    def with_database(self, url: str) -> "App":
        """The same application with this database, which may have been started later."""
        self._settings = self._settings.model_copy(update={"database_url": url})
        return self

    @asynccontextmanager
    async def _lifespan(self, _: Any) -> AsyncIterator[State]:
        """Open the database and run the watchdog while requests are served."""
        _stop_with_parent()
        watching = asyncio.create_task(self._watchdog.run())
        async with (
            self._parts.log,
            self._guard or nullcontext(),
            self._limiter or nullcontext(),
            self._tracing or nullcontext(),
            self._database() as database,
            ChangeNotifications.of(database, self._settings.redis_url) as notifications,
            self._mcp or nullcontext(),
        ):
            self._parts.shutdown.add(notifications.close)
            self._parts.shutdown.add(self._watchdog.stop)
            streams = Streams(
                notifications,
                most=self._settings.stream_limit,
                most_of_a_user=self._settings.user_stream_limit,
                heartbeat=self._settings.stream_heartbeat,
            )
            room = Room(
                max(1, self._settings.pool_size // TRANSFERRING),
                patience=self._settings.wait_timeout,
            )
            state = State(
                database=database,
                notifications=notifications,
                streams=streams,
                transfers=Transfers(database, room),
            )
            samples = self._samples(state)
            report = samples.count_purged if samples else None
            work = [purge_daily(database, self._settings.trash_days, report)]
            if samples:
                work += [samples.run(), samples.run_stored(self._settings.trash_days)]
            tasks = [asyncio.create_task(each) for each in work]
            yield state
            for task in tasks:
                task.cancel()
        watching.cancel()

    def _database(self) -> AbstractAsyncContextManager[Database]:
        options, url = self._settings.pool_options(), self._settings.read_url
        if url is None:
            return database_at(options, CATALOGUE, self._tracing)
        standby = self._settings.pool_options(url)
        return DatabaseWithStandby(options, CATALOGUE, self._tracing, standby=standby)

    def _samples(self, state: State) -> Samples | None:
        """What writes the state of this worker to its meters, if it has some."""
        parts = self._parts
        if parts.meters is None:
            return None
        return Samples(
            parts.meters,
            state,
            watchdog=self._watchdog,
            connections=parts.connections,
            operations=self._router.operations,
            log=parts.log,
        )


def _tracing() -> "Tracing":
    """What sends traces; imported here because it takes as long as the rest of the server."""
    with _extra("tracing"):
        from openapi.server.tracing import Tracing  # noqa: PLC0415
    return Tracing()


def _mcp(contract: Contract, settings: Settings, app: ASGIApp) -> "McpEndpoint":
    """What serves `/mcp`; imported here for the same reason."""
    with _extra("mcp"):
        from openapi.mcp.endpoint import McpEndpoint  # noqa: PLC0415
    return McpEndpoint(contract, settings, app)


@contextmanager
def _extra(name: str) -> Iterator[None]:
    """Name the extra whose packages are imported inside `with`, if they are not installed."""
    try:
        yield
    except ImportError as error:
        raise WrongSettings(
            f"{variable(name)} needs packages that are not installed ({error.name}):"
            f" run `pip install 'errand[{name}]'`."
        ) from error


def _middleware(tracing: "Tracing | None", app: ASGIApp, **parts: Any) -> ContractMiddleware:
    if tracing is None:
        return ContractMiddleware(app, **parts)
    from openapi.server.tracing import TracedMiddleware  # noqa: PLC0415

    return TracedMiddleware(app, tracing=tracing, **parts)


def _stop_with_parent() -> None:
    """Stop a worker if its parent was killed: it would keep the port and the database for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        stop = partial(os.kill, os.getpid(), signal.SIGTERM)
        asyncio.get_running_loop().add_reader(parent.sentinel, stop)
