"""HTTP/1.1 as uvicorn speaks it, with the bounds and refusals that uvicorn lacks."""

import asyncio
from collections import deque
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from openapi.http.problems import (
    CROWDED,
    MALFORMED,
    RETRY_AFTER,
    TIMED_OUT,
    Kind,
    Problem,
    problem_response,
)
from openapi.http.request import Refusal
from openapi.http.response import Headers
from openapi.server.exchange import CLOSE, Exchange, rendered
from openapi.server.request_log import RequestLog
from openapi.server.shutdown import Shutdown

LONGEST_HEAD = 64 * 1024
VERSIONS = ("1.1", "1.0")
NOT_HTTP = "This is not a well-formed HTTP request."


class Malformed(Exception):
    """Raised where the parser takes what HTTP does not allow."""


class Protocol(HttpToolsProtocol):
    """One connection: uvicorn's HTTP with deadlines, limits and problem documents; no upgrades."""

    cycle: Exchange  # type: ignore[assignment]
    pipeline: deque[Exchange]  # type: ignore[assignment]

    def __init__(
        self,
        *,
        request_timeout: float,
        idle_timeout: float,
        drain_timeout: float,
        connection_limit: int,
        log: RequestLog,
        shutdown: Shutdown,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._log = log
        self._shutdown = shutdown
        self._connection_limit = connection_limit
        self._request_timeout = request_timeout
        self._idle_timeout = idle_timeout
        self._drain_timeout = drain_timeout
        self._unparsed = 0
        self._unfinished = False
        self._idle_since = 0.0
        self._request_timer: asyncio.TimerHandle | None = None
        self._current: Exchange | None = None
        self._next: asyncio.Future[Exchange] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected: its first request has a deadline."""
        super().connection_made(transport)
        if len(self.connections) > self._connection_limit:
            detail = f"It has {self._connection_limit:,}."
            self._refuse(CROWDED, detail, [RETRY_AFTER])
        else:
            self._start_request_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake the pending request; drop the references."""
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._stop_request_timer()
        if self._current is not None:
            self._current.disconnected = True
            self._current.message_event.set()
        if self._next is not None:
            self._next.cancel()
        # Else they stay until Python collects cycles.
        self.pipeline.clear()
        self.cycle = self._current = self._next = None  # type: ignore[assignment]

    def shutdown(self) -> None:
        """The server begins to stop: close the connection after the response in progress."""
        super().shutdown()
        self._shutdown.begin()

    async def drain(self) -> None:
        """Return when more may be written; a client that reads too slowly is disconnected."""
        try:
            async with asyncio.timeout(self._drain_timeout):
                await self.flow.drain()
        except TimeoutError:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived, within the limits of a head and its deadline."""
        self._unparsed += len(data)
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            cause = error.__context__
            detail = str(cause) if isinstance(cause, Malformed) else NOT_HTTP
            self.send_400_response(detail)
            return
        if self._unparsed > LONGEST_HEAD:
            self.send_400_response(f"The headers are longer than {LONGEST_HEAD:,} bytes.")
        elif not self._unfinished:
            self._stop_request_timer()
        elif self._request_timer is None:
            self._start_request_timer()

    def on_message_begin(self) -> None:
        """A request begins."""
        self._unfinished = True
        super().on_message_begin()

    def on_message_complete(self) -> None:
        """A request has been received whole."""
        self._unfinished = False
        super().on_message_complete()

    def on_headers_complete(self) -> None:
        """Serve a request as soon as its head is there and those before it are served."""
        self._unparsed = 0
        self.scope["method"] = self.parser.get_method().decode("ascii")
        self.scope["http_version"] = version = self.parser.get_http_version()
        if version not in VERSIONS:
            raise Malformed(f"HTTP/{version} is not supported.")
        if self.parser.should_upgrade():
            return
        # What follows a chunked body has the form of headers, but was checked by no proxy.
        self.headers = []
        self._read_url()
        before = self.cycle
        keep_alive = self.scope["http_version"] != "1.0" and self.parser.should_keep_alive()
        self.cycle = Exchange(
            self, self.scope, keep_alive=keep_alive, expects_continue=self.expect_100_continue
        )
        if before is None or before.response_complete:
            self._serve(self.cycle)
        else:
            self.flow.pause_reading()
            self.pipeline.append(self.cycle)

    def _serve(self, exchange: Exchange) -> None:
        """Hand a request to the application, in one task for all requests of the connection."""
        if self._next is None:
            self._next = self.loop.create_future()
            task = self.loop.create_task(self._serve_all(self._next))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        self._next.set_result(exchange)

    async def _serve_all(self, next_: "asyncio.Future[Exchange]") -> None:
        """Serve one request after the other, until the connection ends."""
        try:
            while True:
                exchange = self._current = await next_
                next_ = self._next = self.loop.create_future()
                try:
                    await self.app(exchange.scope, exchange.receive, exchange.send)
                finally:
                    exchange.abort()
                if self.transport.is_closing():
                    return
        finally:
            self.transport.close()

    def _read_url(self) -> None:
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        self.scope["path"] = unquote(path) if "%" in path else path
        self.scope["raw_path"] = url.path
        self.scope["query_string"] = url.query or b""

    def on_response_complete(self) -> None:
        """Turn to the next request, if it is there already."""
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._serve(self.pipeline.popleft())
            return
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._start_idle_timer(self._idle_timeout)

    def _start_idle_timer(self, seconds: float) -> None:
        """One timer for many requests: when it fires it finds out since when none is there."""
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self._close_if_idle)

    def _close_if_idle(self) -> None:
        self.timeout_keep_alive_task = None
        busy = self._unfinished or (self.cycle is not None and not self.cycle.response_complete)
        since = self.loop.time() if busy else self._idle_since
        left = since + self._idle_timeout - self.loop.time()
        if left > 0:
            self._start_idle_timer(left)
        else:
            self.transport.close()

    def on_chunk_header(self) -> None:
        """Refuse a chunked body that is encoded in another way as well (RFC 9112, 6.1)."""
        codings = [value for name, value in self.scope["headers"] if name == b"transfer-encoding"]
        if [each.lower() for each in codings] != [b"chunked"]:
            raise Malformed("The only Transfer-Encoding is `chunked`.")
        if self.scope["http_version"] == "1.0":
            raise Malformed("HTTP/1.0 has no Transfer-Encoding.")

    def on_body(self, body: bytes) -> None:
        """A part of a body has arrived."""
        self._unparsed = 0
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP."""
        self._refuse(MALFORMED, msg)

    def _refuse(self, kind: Kind, detail: str, headers: Headers | None = None) -> None:
        """Close the connection, and say why, unless that would be read as another response."""
        if not self._owes_response():
            problem = Problem(kind, detail, headers=headers or ())
            request_id = str(uuid4())
            response = problem_response(problem, "an unreadable request", request_id)
            self.transport.write(rendered(kind.status, [CLOSE, *response.headers]) + response.body)
            self._log_refusal(Refusal(response, request_id))
        self.transport.close()

    def _log_refusal(self, refusal: Refusal) -> None:
        """Log a refusal, unless the application has the request: it logs every one it has."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.refuse(refusal)
            return
        scope: Any = self.scope if self._unfinished else {}
        self._log.add(
            request_id=refusal.request_id,
            method=scope.get("method"),
            path=scope.get("raw_path", b""),
            status=refusal.response.status,
            size=len(refusal.response.body),
            client=self.client and self.client[0],
        )

    def _start_request_timer(self) -> None:
        """Set a deadline; only a request that arrives in parts needs one."""
        self._request_timer = self.loop.call_later(self._request_timeout, self._on_request_timeout)

    def _stop_request_timer(self) -> None:
        if self._request_timer is not None:
            self._request_timer.cancel()
            self._request_timer = None

    def _on_request_timeout(self) -> None:
        cycle = self.cycle
        refused_early = cycle is not None and cycle.response_complete and cycle.more_body
        if self._unfinished and not refused_early:
            self._refuse(TIMED_OUT, f"It did not come within {self._request_timeout:g} s.")
        else:
            self.transport.close()

    def _feed(self, data: bytes) -> None:
        """Parse; an upgrade is declined by parsing the request as if it asked for none."""
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

    def _owes_response(self) -> bool:
        cycle = self.cycle
        return bool(self.pipeline) or (
            cycle is not None
            and not cycle.response_complete
            and (cycle.response_started or not cycle.more_body)
        )
