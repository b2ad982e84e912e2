"""A line of JSON for each request, on standard output."""

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import orjson

from openapi.problems import Answer

EVERY_SECONDS = 0.25
MOST_WAITING = 50_000
LONGEST_PATH = 300
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
        if self._wanted:
            self._writer.start()

    async def __aexit__(self, *_: object) -> None:
        self._over.set()
        if self._wanted:
            self._writer.join(timeout=1)

    def add(self, scope: Any, answer: Answer | None, seconds: float) -> None:
        """Note a request, as far as it is known, and its answer, unless the client has gone."""
        if not self._wanted:
            return
        if len(self._lines) >= MOST_WAITING:
            self._left_out += 1
            return
        client = scope.get("client")
        entry = {
            "time": datetime.fromtimestamp(time.time(), UTC),
            "method": scope.get("method"),
            "path": scope.get("raw_path", b"")[:LONGEST_PATH].decode("latin-1"),
            "operation": scope.get("operation"),
            "status": answer and answer.status,
            "bytes": answer and len(answer.body),
            "ms": round(seconds * 1000, 2),
            "client": client and client[0],
        }
        self._lines.append(orjson.dumps(entry, option=orjson.OPT_UTC_Z))

    def _write_on(self) -> None:
        while not self._over.wait(EVERY_SECONDS):
            self._write()
        self._write()

    def _write(self) -> None:
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        if self._left_out:
            lines.append(b'{"left_out":%d}' % self._left_out)
            self._left_out = 0
        for text in _together(lines):
            try:
                os.write(sys.stdout.fileno(), text)
            except OSError:  # nobody will ever read it
                self._wanted = False


def _together(lines: Iterable[bytes]) -> Iterator[bytes]:
    """As many lines at once as stay together."""
    text = b""
    for line in lines:
        if text and len(text) + len(line) >= AT_ONCE:
            yield text
            text = b""
        text += line + b"\n"
    if text:
        yield text
