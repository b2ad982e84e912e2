"""Servers that run as `errand serve` does, and the command itself."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from tests.support.issuer import Issuer

LISTENING = "Errand listens on "


Server = subprocess.Popen[str]


class Serve(Protocol):
    """Starts a server with these settings, and returns its URL."""

    def __call__(self, **settings: str) -> str: ...


@contextmanager
def serving(**settings: str) -> Iterator[str]:
    """Run `errand serve` on any free port, with these settings in its environment."""
    process = started(log=None, **settings)
    try:
        yield url_of(process)
    finally:
        process.terminate()
        process.communicate(timeout=20)


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
    first = process.stdout.readline()
    assert first.startswith(LISTENING), first
    return first.removeprefix(LISTENING).strip()


def errand(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "openapi", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
