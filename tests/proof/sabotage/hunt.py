"""Servers with a planted bug, and the promises that find it."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import click

from db.migrate import migrate
from db.postgres.embedded import running_postgres
from openapi.command_line import main as errand
from tests.proof.promises.report import Outcome, Verdict, promises, scene_at, shown
from tests.proof.promises.scene import SMALL, Scale
from tests.proof.sabotage import reads, writes
from tests.proof.sabotage.bugs import Bug
from tests.support.databases import administration, database_named, temporary_database
from tests.support.forks import Fork
from tests.support.issuer import Issuer, running_issuer
from tests.support.servers import PATIENT_SERVER, trusting, url_of
from tests.support.worlds import data_folder

BUGS = {bug.name: bug for bug in (*writes.BUGS, *reads.BUGS)}
HEALTHY = Bug("no bug", lambda: None)
LONGEST = 120


class Found(NamedTuple):
    """The promise that found a bug, and after how many seconds."""

    outcome: Outcome
    seconds: float


def serve_with(name: str) -> None:
    """Serve as `errand serve` does, with the bug of this name."""
    BUGS.get(name, HEALTHY).plant()
    errand()


def hunt(names: Sequence[str] = ()) -> int:
    """Print what found each bug; returns how many survive, or are found where there is none."""
    chosen = [each for each in BUGS.values() if not names or any(n in each.name for n in names)]
    survivors = 0
    with _postgres() as postgres_url, running_issuer() as issuer:
        for with_tokens in (False, True):
            healthy = HEALTHY._replace(with_tokens=with_tokens)
            found = finds(healthy, postgres_url, issuer, (SMALL,))
            words = f"but {found.outcome}" if found else "every promise is kept"
            click.echo(f"without a bug, {'with' if with_tokens else 'no'} tokens: {words}")
            survivors += found is not None
        for bug in chosen:
            found = finds(bug, postgres_url, issuer, (SMALL, Scale()))
            survivors += found is None
            click.echo(_described(bug, found))
    click.echo(f"{len(chosen)} bugs, {survivors} not as they should be")
    return survivors


def _described(bug: Bug, found: Found | None) -> str:
    if found is None:
        return f"SURVIVES         {bug.name}"
    name, _, _, words = found.outcome
    return f"found in {found.seconds:5.1f} s  {bug.name}: {name} ({words[:LONGEST]})"


def finds(bug: Bug, postgres_url: str, issuer: Issuer, scales: Sequence[Scale]) -> Found | None:
    """The first promise that is broken, a little at first and then more; None if all are kept."""
    with (
        temporary_database(postgres_url) as database_url,
        _serving(bug, database_url, issuer) as urls,
    ):
        token, other = [issuer.token(str(uuid4())) if bug.with_tokens else None for _ in range(2)]
        began = time.monotonic()
        for scale in scales:
            with scene_at(urls, token, other, scale, quiet=True) as scene:
                for outcome in shown(scene, promises()):
                    if outcome.verdict is Verdict.BROKEN:
                        return Found(outcome, time.monotonic() - began)
    return None


@contextmanager
def _serving(bug: Bug, database_url: str, issuer: Issuer) -> Iterator[list[str]]:
    """Servers with the bug, on a database with it."""
    others = trusting(issuer, ERRAND_RATE_LIMIT="0") if bug.with_tokens else {}
    environment = {**PATIENT_SERVER, **others, "DATABASE_URL": database_url}
    if bug.sql:
        with administration(database_url) as execute:
            execute(bug.sql)
    with ExitStack() as stack:
        urls = []
        for _ in range(bug.servers):
            log = stack.enter_context(Path(os.devnull).open("w"))
            main = partial(serve_with, bug.name)
            arguments = ("serve", "--port", "0")
            server = Fork(main, arguments, environment=environment, errors=log.fileno())
            stack.callback(_ends, server)
            urls.append(url_of(server))
        yield urls


def _ends(server: Fork) -> None:
    """It may be broken: it is not asked to end."""
    server.kill()
    server.communicate()


@contextmanager
def _postgres() -> Iterator[str]:
    """One with the schema in its template."""
    with data_folder() as folder, running_postgres(folder, durable=False) as url:
        with administration(url) as execute:
            execute("CREATE DATABASE template")
        migrate(database_named("template", url))
        yield url
