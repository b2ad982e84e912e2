"""A line of JSON for each request, on standard output."""

import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import orjson

from openapi.http.problems import Answer

log = logging.getLogger("errand")

EVERY_SECONDS = 0.25
MOST_WAITING = 50_000
LONGEST_PATH = 300
LONGEST_ADDRESS = 50
# What is written to a pipe at once stays together up to this size, whoever else writes to it.
AT_ONCE = 4096


class RequestLog:
    """Collects lines, and has a thread write them: no request waits for whoever reads them.

    Where they are not read, lines are left out, and a line says how many.
    """

    def __init__(self, *, wanted: bool) -> None:
        self._wanted = wanted
        self._lines: deque[bytes] = deque()
        self._left_out = 0
        self._over = threading.Event()
        # It must not keep the process alive that waits for a reader.
        self._writer = threading.Thread(target=self._write_on, daemon=True)

    async def __aenter__(self) -> None:
        # Where it is closed from the start, its number may become another file's.
        self._wanted = self._wanted and sys.stdout is not None
        if self._wanted:
            self._writer.start()

    async def __aexit__(self, *_: object) -> None:
        self._over.set()
        if self._writer.is_alive():
            self._writer.join(timeout=1)

    def add(self, scope: Any, answer: Answer | None, seconds: float | None) -> None:
        """Note a request, as far as it is known, and its answer, unless the client has gone."""
        if not self._wanted:
            return
        if len(self._lines) >= MOST_WAITING:
            self._left_out += 1
            return
        method, client = scope.get("method"), scope.get("client")
        entry = {
            "time": datetime.now(UTC),
            "method": method,
            "path": scope.get("raw_path", b"")[:LONGEST_PATH].decode("latin-1"),
            "operation": scope.get("operation"),
            "status": answer and answer.status,
            "bytes": 0 if answer is None or method == "HEAD" else len(answer.body),
            "ms": seconds and round(seconds * 1000, 2),
            "client": client and client[0][:LONGEST_ADDRESS],
        }
        # With its end it is a copy: orjson's own bytes keep the kilobyte they were written to.
        self._lines.append(orjson.dumps(entry, option=orjson.OPT_UTC_Z) + b"\n")

    def _write_on(self) -> None:
        while self._wanted and not self._over.wait(EVERY_SECONDS):
            self._write()
        self._write()

    def _write(self) -> None:
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        left_out, self._left_out = self._left_out, 0
        if left_out:
            lines.append(b'{"left_out":%d}\n' % left_out)
        try:
            for text in _together(lines):
                _write_all(text)
        except OSError as error:
            # It will not be read any more, and who reads the server's errors should know.
            self._wanted = False
            log.warning("requests are told no more: %s", error.strerror)


def _write_all(text: bytes) -> None:
    while text:
        text = text[os.write(sys.stdout.fileno(), text) :]


def _together(lines: Iterable[bytes]) -> Iterator[bytes]:
    """As many lines at once as stay together."""
    text = b""
    for line in lines:
        if text and len(text) + len(line) > AT_ONCE:
            yield text
            text = b""
        text += line
    if text:
        yield text
