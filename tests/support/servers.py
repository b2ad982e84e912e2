"""Servers that run as `errand serve` does, and other commands."""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Protocol

from openapi.command_line import main
from openapi.settings import variable
from tests.support.issuer import Issuer

LISTENING = "Errand listens on "
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["openapi.server.run", __name__])

# A machine that is busy with tests is slow, and no test is to fail for that.
PATIENT = {"wait_timeout": "20", "overload_timeout": "20"}
PATIENT_SERVER = {variable(name): value for name, value in PATIENT.items()}

Server = subprocess.Popen[str]


class Serve(Protocol):
    """Starts a server with these settings, and returns its URL."""

    def __call__(self, **settings: str) -> str: ...


@contextmanager
def serving(**settings: str) -> Iterator[str]:
    """Run `errand serve` on any free port, with these settings in its environment."""
    run = _commanded if "ERRAND_WORKERS" in settings else _forked
    with run({**PATIENT_SERVER, **settings}) as url:
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
    reader, writer = multiprocessing.Pipe(duplex=False)
    process = _fork(("serve", "--port", "0"), settings, writer)
    with closing(reader), open(reader.fileno(), closefd=False) as output:
        try:
            yield _announced(output.readline())
        finally:
            process.terminate()
            process.join(20)
            assert process.exitcode == 0


def errand(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command, and wait for its end."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        outputs = [Connection(os.dup(file.fileno()), readable=False) for file in (output, errors)]
        process = _fork(arguments, environment, *outputs)
        process.join(60)
        assert process.exitcode is not None, "it does not end"
        output.seek(0)
        errors.seek(0)
        return subprocess.CompletedProcess(
            arguments, process.exitcode, output.read(), errors.read()
        )


def _fork(
    arguments: tuple[str, ...], environment: dict[str, str], *outputs: Connection
) -> ForkServerProcess:
    """Run a command in a process that has imported the server: that takes most of a start."""
    inherited = {**os.environ, **environment}
    process = FORKS.Process(target=_become, args=(arguments, inherited, *outputs), daemon=True)
    process.start()
    for output in outputs:
        output.close()
    return process


def _become(arguments: tuple[str, ...], environment: dict[str, str], *outputs: Connection) -> None:
    os.environ.clear()
    os.environ.update(environment)
    for stream, output in zip((sys.stdout, sys.stderr), outputs, strict=False):
        os.dup2(output.fileno(), stream.fileno())
    sys.argv = ["errand", *arguments]
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
            env={**os.environ, **PATIENT_SERVER, **settings},
            stdout=subprocess.PIPE,
            stderr=stderr if log else None,
            text=True,
        )


def url_of(process: Server) -> str:
    """The URL of a server that has just been started."""
    assert process.stdout
    return _announced(process.stdout.readline())


def _announced(line: str) -> str:
    assert line.startswith(LISTENING), line
    return line.removeprefix(LISTENING).strip()
