"""Servers: `errand serve` as a command, or forked where only its HTTP matters; other commands."""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol

from openapi.command_line import main
from tests.support.issuer import Issuer

LISTENING = "Errand listens on "
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["openapi.server.run", __name__])

Server = subprocess.Popen[str]


class Serve(Protocol):
    """Starts a server with these settings, and returns its URL."""

    def __call__(self, **settings: str) -> str: ...


@contextmanager
def serving(**settings: str) -> Iterator[str]:
    """Run `errand serve` on any free port, with these settings in its environment."""
    run = _commanded if "ERRAND_WORKERS" in settings else _forked
    with run(settings) as url:
        yield url


@contextmanager
def _commanded(settings: dict[str, str]) -> Iterator[str]:
    process = started(log=None, **settings)
    try:
        yield url_of(process)
    finally:
        process.terminate()
        process.communicate(timeout=20)


@contextmanager
def _forked(settings: dict[str, str]) -> Iterator[str]:
    """Fork a process that has imported the server: to import it takes most of a start."""
    reader, writer = multiprocessing.Pipe(duplex=False)
    environment = {**os.environ, **settings}
    process = FORKS.Process(target=_serve, args=(environment, writer), daemon=True)
    process.start()
    writer.close()
    with closing(reader), open(reader.fileno(), closefd=False) as output:
        try:
            yield _announced(output.readline())
        finally:
            process.terminate()
            process.join(20)
            assert process.exitcode == 0


def _serve(environment: dict[str, str], output: Connection) -> None:
    """Become `errand serve`."""
    os.environ.clear()
    os.environ.update(environment)
    os.dup2(output.fileno(), sys.stdout.fileno())
    sys.argv = ["errand", "serve", "--port", "0"]
    main()


def trusting(issuer: Issuer, **others: str) -> dict[str, str]:
    """The settings of a server that takes this issuer's tokens."""
    return {
        "ERRAND_JWKS_URL": issuer.jwks_url,
        "ERRAND_ISSUER": issuer.url,
        "ERRAND_AUDIENCE": issuer.url,
        **others,
    }


def started(*flags: str, log: Path | None = None, **settings: str) -> Server:
    """Start `errand serve` on any free port."""
    with (log or Path(os.devnull)).open("w") as stderr:
        return subprocess.Popen(
            [sys.executable, "-m", "openapi", "serve", "--port", "0", *flags],
            env={**os.environ, **settings},
            stdout=subprocess.PIPE,
            stderr=stderr if log else None,
            text=True,
        )


def url_of(process: Server) -> str:
    """Where a server listens that has just been started."""
    assert process.stdout
    return _announced(process.stdout.readline())


def _announced(line: str) -> str:
    assert line.startswith(LISTENING), line
    return line.removeprefix(LISTENING).strip()


def errand(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command, and wait for its end."""
    return subprocess.run(
        [sys.executable, "-m", "openapi", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
