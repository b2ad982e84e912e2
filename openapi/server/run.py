"""Starts the server and its database from the settings."""

import asyncio
import gc
import logging
import os
import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection

import click
import uvicorn

from db import purge as purging
from db.citus.opening import database_at as open_database
from db.citus.opening import is_distributed
from db.errors import DatabaseAway
from db.migrate import check_role, migrate, schema_of
from db.postgres.database_url import hosts_without_tls
from db.postgres.embedded import running_postgres
from db.postgres.pool_options import PoolOptions
from db.postgres.roles import as_application
from db.postgres.schema_version import require_served
from db.probe import probe
from openapi.access.policy import validate_access_settings
from openapi.server.announcement import announce
from openapi.server.app import App
from openapi.server.ephemeral import on_ephemeral_data
from openapi.server.listening import bind, listen, opener_for_workers
from openapi.server.metrics.page import metrics_served
from openapi.server.parts import Parts
from openapi.server.processes import Server, Workers
from openapi.server.protocol import Protocol
from openapi.settings import Settings, WrongSettings

FILES_BESIDES = 512
logger = logging.getLogger("errand")

NO_STANDBY = (
    "ERRAND_READ_URL names one standby, but the tables of DATABASE_URL are distributed over the"
    " nodes of a Citus cluster: leave it out."
)
GRACE_SECONDS = 10
GC_THRESHOLD = 50_000


def serve(settings: Settings) -> None:
    """Serve until a signal comes."""
    _serve(settings, durable=True)


def serve_ephemeral(settings: Settings) -> None:
    """The same, on a new database that is removed at the end."""
    with on_ephemeral_data(settings) as ephemeral:
        _serve(ephemeral, durable=False)


def _serve(settings: Settings, *, durable: bool) -> None:
    _log(settings.log_level)
    validate_access_settings(settings)
    parts = Parts.of(settings)
    app = _compiled(settings, parts)
    with (
        bind(settings) as bound,
        metrics_served(settings, parts.meters) as metrics_port,
        database_at(settings, durable=durable) as given,
    ):
        url = _prepared_to_serve(settings, given)
        config = _config(settings, parts, partial(_app, settings, url, parts, app))
        address = bound.getsockname()[:2]
        on_start = partial(announce, settings, *address, durable=durable, metrics_port=metrics_port)
        if settings.workers == 1:
            listen(bound, settings)
            parts.enter(0)
            Server(config, parts.shutdown).serve_on(bound, on_start)
        else:
            opener = opener_for_workers(bound, settings)
            worker = partial(_serve_as_worker, config, parts, opener)
            Workers(settings.workers, worker).run(on_start)


def _serve_as_worker(
    config: uvicorn.Config,
    parts: Parts,
    opener: Callable[[], socket.socket],
    number: int,
    parent: Connection,
) -> None:
    """Serve in a process of several; tell the parent when that begins."""
    parts.enter(number)
    Server(config, parts.shutdown).serve_on(opener(), partial(parent.send, True))


def _config(settings: Settings, parts: Parts, app: Callable[[], App]) -> uvicorn.Config:
    """Uvicorn's configuration; every worker has its own copy, with its own parts."""
    return uvicorn.Config(
        app,
        factory=True,
        interface="asgi3",
        host=settings.host,
        port=settings.port,
        http=partial(  # type: ignore[arg-type]
            Protocol,
            request_timeout=settings.request_timeout,
            idle_timeout=settings.idle_timeout,
            drain_timeout=settings.drain_timeout,
            connections=parts.connections,
            log=parts.log,
        ),
        ws="none",
        lifespan="on",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        log_config=None,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


def purge(settings: Settings) -> int:
    """Purge the trash, and return how many tasks were purged."""

    async def purge_once(options: PoolOptions) -> int:
        async with open_database(options.for_a_command(), purging.CATALOGUE) as database:
            return (await purging.purge(database, settings.trash_days)).tasks

    with database_at(settings) as given:
        url = _prepared(settings, given)
        return asyncio.run(purge_once(settings.pool_options(url)))


def _compiled(settings: Settings, parts: Parts) -> App | None:
    """The application of a single worker; of several, each must compile it again."""
    app = App(settings, parts=parts)
    return app if settings.workers == 1 else None


def _app(settings: Settings, database_url: str, parts: Parts, compiled: App | None) -> App:
    """The application; in a process of its own, if there are several workers."""
    _allow_files(settings.connection_limit)
    app = (compiled or _compiled_again(settings, parts)).with_database(database_url)
    _freeze_gc()
    return app


def _compiled_again(settings: Settings, parts: Parts) -> App:
    """The application of one of several workers; their parent has logged the warnings of it."""
    _log("error")
    app = App(settings, parts=parts)
    _log(settings.log_level, name=f"worker {os.getpid()}")
    return app


def _freeze_gc() -> None:
    """Exclude the objects that exist at the start from garbage collection, and collect rarely.

    A full collection of them would delay requests by 40 ms. Objects of requests are freed by
    reference counting, without the collector.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)


def _allow_files(connections: int) -> None:
    """Raise the limit of open files, often 1,024: each connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + FILES_BESIDES
    if 0 <= soft < wanted:  # no limit is -1
        most = min(wanted, hard) if hard >= 0 else wanted
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


@contextmanager
def database_at(settings: Settings, *, durable: bool = True) -> Iterator[str]:
    """The URL of the settings, or that of an embedded database, which runs inside `with`."""
    if settings.database_url:
        _warn_without_tls("DATABASE_URL", settings.database_url)
        yield settings.database_url
        return
    with running_postgres(settings.data_dir, durable=durable) as url:
        yield url


def _warn_without_tls(name: str, url: str) -> None:
    for host in hosts_without_tls(url):
        logger.warning(
            "The connection to %s may go without encryption: add sslmode=verify-full to "
            "%s, or sslmode=require, which does not check who responds.",
            host,
            name,
        )


def _prepared(settings: Settings, url: str) -> str:
    """Migrate the embedded database; of any other one, check that it is migrated."""
    if not settings.database_url:
        migrate(url)
        return as_application(url)
    require_served(schema_of(url))
    check_role(url)
    return url


def _prepared_to_serve(settings: Settings, given: str) -> str:
    """The same, and probe the database; another one than the embedded may be away."""
    try:
        url = _prepared(settings, given)
        if settings.read_url and is_distributed(url):
            raise WrongSettings(NO_STANDBY)
        asyncio.run(probe(settings.pool_options(url)))
    except DatabaseAway as error:
        if not settings.database_url:
            raise
        click.echo(f"{error} The server starts anyway: it responds with 503 until then.")
        return given
    if settings.read_url:
        _probe_standby(settings, settings.read_url)
    return url


def _probe_standby(settings: Settings, url: str) -> None:
    """The same for the standby; it may be away, too."""
    _warn_without_tls("ERRAND_READ_URL", url)
    try:
        require_served(schema_of(url))
        asyncio.run(probe(settings.pool_options(url)))
    except DatabaseAway as error:
        click.echo(f"{error} Until then DATABASE_URL serves the reads of ERRAND_READ_URL.")


def _log(level: str, name: str | None = None) -> None:
    """Set up logging: Errand's events at this level; of libraries only warnings and errors.

    Each of several workers has a name in its lines.
    """
    process = f" {name}" if name else ""
    logging.basicConfig(
        level="DEBUG" if level == "debug" else "WARNING",
        format=f"%(asctime)s %(levelname)s{process} %(name)s: %(message)s",
        force=True,
    )
    logging.getLogger("errand").setLevel(level.upper())
