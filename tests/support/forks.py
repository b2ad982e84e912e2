"""Processes that are forked from one that has imported the server: that takes most of a start."""

import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        *("openapi.server.run", "openapi.command_line", __name__, "openapi.stubs.missing"),
        *("uvicorn.lifespan.on", "uvicorn.loops.uvloop", "tests.support.preloaded"),
    ]
)


class Fork:
    """A process that is used like one of `subprocess.Popen`."""

    def __init__(
        self,
        main: Callable[[], None],
        arguments: Iterable[str] = (),
        *,
        environment: Mapping[str, str],
        errors: int | None = None,
    ) -> None:
        """Run a module's main function; what it writes to stderr goes to that file, if given."""
        output, theirs = os.pipe()
        files = [theirs] if errors is None else [theirs, os.dup(errors)]
        outputs = [Connection(each, readable=False) for each in files]
        self.stdout = os.fdopen(output)
        inherited = {**os.environ, **environment}
        self._process = FORKS.Process(
            target=_become, args=(main, tuple(arguments), inherited, *outputs), daemon=True
        )
        self._process.start()
        for each in outputs:
            each.close()

    @property
    def pid(self) -> int:
        """Its number."""
        assert self._process.pid
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """With what it has ended, if it has."""
        return self._process.exitcode

    def send_signal(self, signal: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal)

    def terminate(self) -> None:
        """Ask it to end."""
        self._process.terminate()

    def kill(self) -> None:
        """End it."""
        self._process.kill()

    def wait(self, timeout: float) -> int:
        """With what it ends."""
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("errand", timeout)
        return self.returncode

    def communicate(self, timeout: float = 60) -> tuple[str, None]:
        """What it has written that was not read yet, once it has ended."""
        late = threading.Timer(timeout, self.kill)
        late.start()
        text = "" if self.stdout.closed else self.stdout.read()
        self.stdout.close()
        self._process.join(timeout)
        was_late = not late.is_alive()
        late.cancel()
        if was_late or self.returncode is None:
            raise subprocess.TimeoutExpired("errand", timeout)
        return text, None


def _become(
    main: Callable[[], None],
    arguments: tuple[str, ...],
    environment: dict[str, str],
    *outputs: Connection,
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    for stream, output in zip((sys.stdout, sys.stderr), outputs, strict=False):
        os.dup2(output.fileno(), stream.fileno())
    sys.argv = ["errand", *arguments]
    multiprocessing.current_process().daemon = False  # it may have workers
    main()
