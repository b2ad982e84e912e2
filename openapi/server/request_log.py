"""A line for each request on standard output: JSON, or a short text on a terminal."""

import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import orjson

from openapi.http.request import Refusal
from openapi.server.watchdog import InFlightRequest

log = logging.getLogger("errand")

EVERY_SECONDS = 0.25
MOST_WAITING = 50_000
LONGEST_PATH = 300
LONGEST_ADDRESS = 50
# Writes to a pipe up to this size are atomic (POSIX, PIPE_BUF).
AT_ONCE = 4096

GREEN, YELLOW, RED, DIM, PLAIN = "\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[2m", "\x1b[0m"


Entry = dict[str, Any]


class RequestLog:
    """Collects lines, which a thread writes: no request waits for the reader of the log.

    Lines that are not read in time are left out; a line says how many.
    """

    def __init__(self, *, wanted: bool) -> None:
        self.dropped = 0
        """The lines that were not read in time."""
        self._wanted = wanted
        self._line = _json
        self._lines: deque[bytes] = deque()
        self._left_out = 0
        self._writer: threading.Thread | None = None
        self._closed: threading.Event | None = None

    async def __aenter__(self) -> None:
        # If standard output is closed, another file may have its descriptor.
        self._wanted = self._wanted and sys.stdout is not None
        if self._wanted:
            self._line = _for_a_terminal if sys.stdout.isatty() else _json
            # Not in __init__: a thread cannot be passed to a worker process.
            self._closed = threading.Event()
            # A reader that does not read must not keep the process alive.
            self._writer = threading.Thread(target=self._run, args=[self._closed], daemon=True)
            self._writer.start()

    async def __aexit__(self, *_: object) -> None:
        if self._closed and self._writer:
            self._closed.set()
            self._writer.join(timeout=1)

    def add(
        self, in_flight: InFlightRequest, status: int | None, size: int, seconds: float
    ) -> None:
        """Log a request; without a status, the client has disconnected."""
        if not self._wanted:
            return
        request, operation, caller = in_flight.request, in_flight.operation, in_flight.caller
        path = request.path
        if operation is None or operation.has_secret:
            path = request.path_without_secrets
        self._add(
            {
                "time": datetime.now(UTC),
                "request_id": request.id,
                "method": request.method,
                "path": path[:LONGEST_PATH].decode("latin-1"),
                "operation": operation and operation.id,
                "status": status,
                "bytes": size,
                "ms": round(seconds * 1000, 2),
                "client": request.client and request.client[:LONGEST_ADDRESS],
                "caller": caller and caller.owner,
                "key_id": in_flight.key_id or (caller and caller.key_id),
            }
        )

    def add_refusal(self, refusal: Refusal, client: str | None) -> None:
        """Log a request that could not be parsed."""
        if not self._wanted:
            return
        response = refusal.response
        self._add(
            {
                "time": datetime.now(UTC),
                "request_id": refusal.request_id,
                "method": None,
                "path": "",
                "operation": None,
                "status": response.status,
                "bytes": len(response.body),
                "ms": None,
                "client": client,
                "caller": None,
                "key_id": None,
            }
        )

    def _add(self, entry: Entry) -> None:
        if len(self._lines) >= MOST_WAITING:
            self._left_out += 1
            self.dropped += 1
        else:
            self._lines.append(self._line(entry))

    def _run(self, closed: threading.Event) -> None:
        while self._wanted and not closed.wait(EVERY_SECONDS):
            self._write()
        self._write()

    def _write(self) -> None:
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        left_out, self._left_out = self._left_out, 0
        if left_out:
            lines.append(b'{"left_out":%d}\n' % left_out)
        try:
            for text in _batches(lines):
                _write_all(text)
        except OSError as error:
            # The log has no reader any more: say so in the log of errors.
            self._wanted = False
            log.warning("requests are no longer logged: %s", error.strerror)


def _json(entry: Entry) -> bytes:
    # The sum is a copy: orjson's own bytes object keeps a buffer of a kilobyte.
    return orjson.dumps(entry, option=orjson.OPT_UTC_Z) + b"\n"


def _for_a_terminal(entry: Entry) -> bytes:
    """Time, status, request and duration; control codes in the path are replaced."""
    status = entry["status"] or 0
    colour = GREEN if 0 < status < 400 else YELLOW if 0 < status < 500 else RED  # noqa: PLR2004
    path = "".join(each if each.isprintable() else "?" for each in entry["path"])
    took = "" if entry["ms"] is None else f"{entry['ms']:.1f} ms"
    line = f"{entry['time'].astimezone():%H:%M:%S} {colour}{status or 'gone'}{PLAIN}"
    return f"{line} {entry['method'] or '?'} {path} {DIM}{took}{PLAIN}\n".encode()


def _write_all(text: bytes) -> None:
    while text:
        text = text[os.write(sys.stdout.fileno(), text) :]


def _batches(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The lines, joined to texts that are written atomically."""
    text = b""
    for line in lines:
        if text and len(text) + len(line) > AT_ONCE:
            yield text
            text = b""
        text += line
    if text:
        yield text
