"""From settings to a server that listens, with its database."""

import asyncio
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import click
import uvicorn
from uvicorn.supervisors import Multiprocess

from db.embedded import running_postgres
from db.errors import DatabaseAway
from db.migrate import NEWEST, migrate, require_newest, schema_version
from db.trash import purge_at
from openapi.app import App, check_contract, create_app
from openapi.protocol import Protocol
from openapi.settings import Settings

BACKLOG = 2048
EXAMPLE_USER = "0190a1b2-0000-7000-8000-00000000a11c"
EXAMPLE_BODY = """-H 'Content-Type: application/json' -d '{"title": "Buy milk"}'"""
GRACE_SECONDS = 10


def serve(settings: Settings) -> None:
    """Serve until a signal comes, then stop whatever was started."""
    _log(settings.log_level)
    check_contract()
    with database_at(settings) as url:
        _prepare_schema(settings, url)
        config = uvicorn.Config(
            partial(_app, settings.model_copy(update={"database_url": url})),
            factory=True,
            host=settings.host,
            port=settings.port,
            workers=settings.workers,
            http=partial(Protocol, request_timeout=settings.request_timeout),  # type: ignore[arg-type]
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
        _announce(*listening.getsockname()[:2])
        if settings.workers > 1:
            Multiprocess(config, sockets=[listening]).run()
        else:
            server = uvicorn.Server(config)
            server.run(sockets=[listening])
            if not server.started:
                sys.exit(1)


def purge(settings: Settings) -> int:
    """Purge the trash, and say of how many tasks."""
    with database_at(settings) as url:
        require_newest(schema_version(url))
        options = settings.model_copy(update={"database_url": url}).pool_options()
        return asyncio.run(purge_at(options, settings.trash_days))


def _app(settings: Settings) -> App:
    """The application; in a process of its own, if there are several workers."""
    _log(settings.log_level)
    return create_app(settings)


@contextmanager
def database_at(settings: Settings) -> Iterator[str]:
    """The URL of the database that is set, or of an embedded one that runs meanwhile."""
    if settings.database_url:
        yield settings.database_url
        return
    with running_postgres(settings.data_dir) as url:
        yield url


def _prepare_schema(settings: Settings, url: str) -> None:
    """Migrate what is ours; of somebody else's database, only make sure that it is ready."""
    try:
        version = schema_version(url)
    except DatabaseAway as error:
        click.echo(f"{error} Serving all the same: requests are answered 503 until it is back.")
        return
    if settings.database_url:
        require_newest(version)
    elif version != NEWEST:
        migrate(url)


def _log(level: str) -> None:
    """Our own events at the level that is set; of other libraries' only what went wrong."""
    logging.basicConfig(
        level="DEBUG" if level == "debug" else "WARNING",
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    logging.getLogger("errand").setLevel(level.upper())


def _announce(host: str, port: int) -> None:
    at = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    tasks = f"{at}/api/{EXAMPLE_USER}/tasks"
    click.echo(f"Errand listens on {at}")
    click.echo(f"  Swagger UI  {at}/docs")
    click.echo(f"  Try         curl {tasks} {EXAMPLE_BODY}")
