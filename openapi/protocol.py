"""HTTP/1.1 as uvicorn speaks it, but for what it would let pass."""

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from db import waiting
from openapi import problems
from openapi.problems import CROWDED, MALFORMED, RETRY_AFTER, TIMED_OUT, Headers, Kind, Problem

LONGEST_HEAD = 64 * 1024


class Protocol(HttpToolsProtocol):
    """uvicorn's HTTP, with bounds for a request, without upgrades, and with our kind of errors."""

    def __init__(self, *, request_timeout: float, connection_limit: int, **options: Any) -> None:
        super().__init__(**options)
        self._connection_limit = connection_limit
        self._request_timeout = request_timeout
        self._unparsed = 0
        self._unfinished = False
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody has come, and has not long to say something."""
        super().connection_made(transport)
        if len(self.connections) > self._connection_limit:
            detail = f"It has {self._connection_limit:,}."
            self._refuse(CROWDED, detail, [RETRY_AFTER])
        else:
            self._be_patient()

    def connection_lost(self, exc: Exception | None) -> None:
        """They have gone."""
        super().connection_lost(exc)
        self._be_patient_no_more()

    def shutdown(self) -> None:
        """The server stops, and so does all waiting for changes, of whomever."""
        super().shutdown()
        waiting.end()

    def data_received(self, data: bytes) -> None:
        """Take what has come, if it leads to a request some day."""
        self._unparsed += len(data)
        self._unset_keepalive_if_required()
        try:
            self._feed(data)
        except httptools.HttpParserError:
            self.send_400_response("This is not a well-formed HTTP request.")
            return
        if self._unparsed > LONGEST_HEAD:
            self.send_400_response(f"The headers are longer than {LONGEST_HEAD:,} bytes.")
        elif not self._unfinished:
            self._be_patient_no_more()
        elif self._patience is None:
            self._be_patient()

    def on_message_begin(self) -> None:
        """A request begins."""
        self._unfinished = True
        super().on_message_begin()

    def on_message_complete(self) -> None:
        """It has come whole."""
        self._unfinished = False
        super().on_message_complete()

    def on_headers_complete(self) -> None:
        """Its headers have come."""
        self._unparsed = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Its body comes."""
        self._unparsed = 0
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP."""
        self._refuse(MALFORMED, msg)

    def _refuse(self, kind: Kind, detail: str, headers: Headers | None = None) -> None:
        """End the connection, and say why, unless that would stand for another answer."""
        if not self._owes_an_answer():
            problem = Problem(kind, detail, headers=headers or ())
            answer = problems.answer(problem, "an unreadable request")
            lines = [STATUS_LINE[kind.status].strip(), b"connection: close"]
            lines += [b"%b: %b" % header for header in answer.headers]
            self.transport.write(b"\r\n".join([*lines, b"", answer.body]))
        self.transport.close()

    def _be_patient(self) -> None:
        """A request that has begun must end; a timer is needed for the few that come in parts."""
        self._patience = self.loop.call_later(self._request_timeout, self._lose_patience)

    def _be_patient_no_more(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _lose_patience(self) -> None:
        cycle = self.cycle
        refused_early = cycle is not None and cycle.response_complete and cycle.more_body
        if self._unfinished and not refused_early:
            self._refuse(TIMED_OUT, f"It did not come within {self._request_timeout:g} s.")
        else:
            self.transport.close()

    def _feed(self, data: bytes) -> None:
        """Parse; an upgrade is declined by reading the request as if it asked for none."""
        while data:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                if self.scope["method"] == "CONNECT":
                    raise httptools.HttpParserError from None
                data = self._head_without_upgrade() + data[upgrade.args[0] :]
                # The old parser takes what follows for the other protocol, or for nothing.
                self.parser = httptools.HttpRequestParser(self)

    def _should_upgrade(self) -> bool:
        """Whether the parser is to stop behind the headers."""
        return True

    def _head_without_upgrade(self) -> bytes:
        version = self.scope["http_version"].encode()
        lines = [b"%b %b HTTP/%b" % (self.scope["method"].encode(), self.url, version)]
        lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    def _owes_an_answer(self) -> bool:
        cycle = self.cycle
        return bool(self.pipeline) or (
            cycle is not None
            and not cycle.response_complete
            and (cycle.response_started or not cycle.more_body)
        )
