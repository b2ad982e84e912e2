"""Servers that run as `errand serve` does, and other commands."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import psutil

from openapi.command_line import main
from openapi.settings import variable
from tests.support import http
from tests.support.forks import Fork
from tests.support.issuer import Issuer
from tests.support.polling import eventually

LISTENING = "Errand listens on "
# A machine that is busy with tests is slow, and no test is to fail for that.
PATIENT = {"wait_timeout": "20", "overload_timeout": "20"}
PATIENT_SERVER = {variable(name): value for name, value in PATIENT.items()}
MANY_CONNECTIONS = {variable("pool_size"): "8"}
# Each connection prepares all statements, and most tests need no more than these.
FEW_CONNECTIONS = {variable("pool_size"): "2"}

Server = Fork | subprocess.Popen[str]


def wait_until_ready(url: str) -> None:
    """Wait until the server has a connection to its database."""
    assert eventually(lambda: http.get(f"{url}/health/ready").status_code == 200)


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
        assert process.returncode == 0


def errand(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command, and wait for its end."""
    return completed(main, *arguments, **environment)


def completed(
    run: Callable[[], None], *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run another function as a command."""
    with tempfile.TemporaryFile("w+") as errors:
        process = Fork(run, arguments, environment=environment, errors=errors.fileno())
        output, _ = process.communicate(timeout=60)
        errors.seek(0)
        return subprocess.CompletedProcess(
            arguments, process.wait(timeout=0), output, errors.read()
        )


def trusting(issuer: Issuer, **others: str) -> dict[str, str]:
    """The settings of a server that takes this issuer's tokens."""
    return {
        "ERRAND_JWKS_URL": issuer.jwks_url,
        "ERRAND_ISSUER": issuer.url,
        "ERRAND_AUDIENCE": issuer.url,
        **others,
    }


def started(*flags: str, log: Path | None = None, **settings: str) -> Fork:
    """Start `errand serve` on any free port."""
    arguments = ("serve", "--port", "0", *flags)
    with (log or Path(os.devnull)).open("w") as errors:
        return Fork(
            main,
            arguments,
            environment={**PATIENT_SERVER, **FEW_CONNECTIONS, **settings},
            errors=errors.fileno() if log else None,
        )


def executed(*flags: str, **settings: str) -> subprocess.Popen[str]:
    """The same as a command of its own, as an operator would."""
    return subprocess.Popen(
        [sys.executable, "-m", "openapi", "serve", "--port", "0", *flags],
        env={**os.environ, **PATIENT_SERVER, **FEW_CONNECTIONS, **settings},
        stdout=subprocess.PIPE,
        text=True,
    )


def url_of(process: Server) -> str:
    """The URL of a server that has just been started."""
    assert process.stdout
    return _announced(process.stdout.readline())


def _announced(line: str) -> str:
    assert line.startswith(LISTENING), line
    return line.removeprefix(LISTENING).strip()


def workers_of(parent: Server) -> list[psutil.Process]:
    """The processes that serve."""
    return [child for child in psutil.Process(parent.pid).children() if _is_worker(child)]


def _is_worker(process: psutil.Process) -> bool:
    """Whether it runs as a worker; one that has just ended does not."""
    try:
        return "spawn_main" in " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # a zombie is one of them
        return False
