"""From settings to a server that listens, with its database."""

import asyncio
import gc
import logging
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import click
import uvicorn
from uvicorn.supervisors import Multiprocess

from db import purge as purging
from db.database import Database
from db.errors import DatabaseAway
from db.migrate import NEWEST, check_role, migrate, require_newest, schema_version
from db.postgres.embedded import running_postgres
from db.postgres.pool import PoolOptions
from db.postgres.roles import as_application
from openapi.access.policy import validate_access_settings
from openapi.access.principal import SAMPLE_USER
from openapi.server.app import App
from openapi.server.protocol import Protocol
from openapi.server.request_log import RequestLog
from openapi.server.shutdown import Shutdown
from openapi.settings import Settings

BACKLOG = 2048
FILES_BESIDES = 512
EXAMPLE_BODY = """-H 'Content-Type: application/json' -d '{"title": "Buy milk"}'"""
GRACE_SECONDS = 10
LOOK_FOR_GARBAGE_AFTER = 50_000
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def serve(settings: Settings) -> None:
    """Serve until a signal comes, then stop whatever was started."""
    _log(settings.log_level)
    validate_access_settings(settings)
    log, shutdown = RequestLog(wanted=settings.request_log), Shutdown()
    compiled = _compiled(settings, log, shutdown)
    with database_at(settings) as given:
        url = _prepared(settings, given)
        config = uvicorn.Config(
            partial(_app, settings, url, log, shutdown, compiled),
            factory=True,
            host=settings.host,
            port=settings.port,
            workers=settings.workers,
            http=partial(  # type: ignore[arg-type]
                Protocol,
                request_timeout=settings.request_timeout,
                idle_timeout=settings.idle_timeout,
                drain_timeout=settings.drain_timeout,
                connection_limit=settings.connection_limit,
                log=log,
                shutdown=shutdown,
            ),
            ws="none",
            lifespan="on",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            log_config=None,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        listening = config.bind_socket()
        listening.listen(BACKLOG)
        if settings.workers > 1:
            supervisor = Multiprocess(config, sockets=[listening])
            _announce(settings, *listening.getsockname()[:2])
            supervisor.run()
        else:
            server = uvicorn.Server(config)
            _stop_on_signals(server)
            _announce(settings, *listening.getsockname()[:2])
            server.run(sockets=[listening])
            if not server.started:
                sys.exit(1)


def _stop_on_signals(server: uvicorn.Server) -> None:
    """A signal that comes while the event loop is being made, before uvicorn looks, counts too."""
    for stop in STOP_SIGNALS:
        signal.signal(stop, server.handle_exit)


def purge(settings: Settings) -> int:
    """Purge the trash, and return how many tasks were purged."""

    async def purge_once(options: PoolOptions) -> int:
        async with Database(replace(options, size=1), purging.CATALOGUE) as database:
            return await purging.purge(database, settings.trash_days)

    with database_at(settings) as given:
        url = _prepared(settings, given)
        options = settings.model_copy(update={"database_url": url}).pool_options()
        return asyncio.run(purge_once(options))


def _compiled(settings: Settings, log: RequestLog, shutdown: Shutdown) -> App | None:
    """The application of a single worker; of several, each must compile it again."""
    app = App(settings, log=log, shutdown=shutdown)
    return app if settings.workers == 1 else None


def _app(
    settings: Settings, database_url: str, log: RequestLog, shutdown: Shutdown, compiled: App | None
) -> App:
    """The application; in a process of its own, if there are several workers."""
    _log(settings.log_level)
    _allow_files(settings.connection_limit)
    app = (compiled or App(settings, log=log, shutdown=shutdown)).with_database(database_url)
    _keep_what_is_there()
    return app


def _keep_what_is_there() -> None:
    """What lasts as long as the server is garbage never, and need not be looked at as such again.

    It is all that Python would look at for some 40 ms in the middle of requests. What requests need
    is let go with them, so that to look for what is not may wait.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(LOOK_FOR_GARBAGE_AFTER)


def _allow_files(connections: int) -> None:
    """Each connection is an open file, of which a process may often have but 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + FILES_BESIDES
    if 0 <= soft < wanted:  # no limit is -1
        most = min(wanted, hard) if hard >= 0 else wanted
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


@contextmanager
def database_at(settings: Settings) -> Iterator[str]:
    """The URL that is set, or that of an embedded database's owner, which runs meanwhile."""
    if settings.database_url:
        yield settings.database_url
        return
    with running_postgres(settings.data_dir) as url:
        yield url


def _prepared(settings: Settings, url: str) -> str:
    """Migrate what is ours, as its owner; of somebody else's, only make sure that it is ready."""
    if not settings.database_url:
        if schema_version(url) != NEWEST:
            migrate(url)
        return as_application(url)
    try:
        require_newest(schema_version(url))
        check_role(url)
    except DatabaseAway as error:
        click.echo(f"{error} Serving all the same: requests are answered 503 until it is back.")
    return url


def _log(level: str) -> None:
    """Our own events at the level that is set; of other libraries' only what went wrong."""
    logging.basicConfig(
        level="DEBUG" if level == "debug" else "WARNING",
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    logging.getLogger("errand").setLevel(level.upper())


def _announce(settings: Settings, host: str, port: int) -> None:
    at = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    example = f"{at}/api/{SAMPLE_USER.user_id}/tasks {EXAMPLE_BODY}"
    click.echo(f"Errand listens on {at}")
    click.echo(f"  Swagger UI  {at}/docs")
    if settings.local_tokens:
        click.echo(f'  Try         curl -H "Authorization: Bearer $(errand token)" {example}')
    if not settings.requires_tokens:
        click.echo(f"  Try         curl {example}")
        click.echo("  Open mode   whoever reaches this address may read and change all tasks")
