"""HTTP/1.1 as uvicorn speaks it, but for what it would let pass."""

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

import httptools
from starlette.types import Message
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from openapi.http.problems import (
    CROWDED,
    MALFORMED,
    RETRY_AFTER,
    TIMED_OUT,
    Kind,
    Problem,
    problem_response,
)
from openapi.http.response import Headers, Response
from openapi.server.request_log import RequestLog

LONGEST_HEAD = 64 * 1024
VERSIONS = ("1.1", "1.0")
CLOSE = (b"connection", b"close")
NOT_HTTP = "This is not a well-formed HTTP request."
GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"


class Malformed(Exception):
    """Raised where the parser takes what HTTP does not allow."""


class Exchange:
    """A request and its answer, which is sent as a whole: a system call costs more than a copy."""

    def __init__(self, protocol: "Protocol", *, keep_alive: bool) -> None:
        self.scope: Any = protocol.scope
        self.keep_alive = keep_alive
        self.waiting_for_100_continue = protocol.expect_100_continue
        self.body = b""
        self.more_body = True
        self.message_event = asyncio.Event()
        self.disconnected = False
        self.response_started = False
        self.response_complete = False
        self._protocol = protocol
        self._start: Any = None
        self._refusal: Response | None = None

    def refuse(self, refusal: Response) -> None:
        """End the request: the protocol has refused the rest of it."""
        self._refusal = refusal

    async def receive(self) -> Message:
        """What has arrived of the body since the last call, or that the client has gone."""
        if self.waiting_for_100_continue and not self._protocol.transport.is_closing():
            self.waiting_for_100_continue = False
            self._protocol.transport.write(GO_ON)
        if not self.disconnected and not self.response_complete:
            self._protocol.flow.resume_reading()
            await self.message_event.wait()
            self.message_event.clear()
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect", "refusal": self._refusal}
        body, self.body = self.body, b""
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    async def send(self, message: Message) -> None:
        """Keep the head until there is the body."""
        if message["type"] == "http.response.start":
            self.response_started = True
            self.waiting_for_100_continue = False
            self._start = message
            return
        if self._protocol.flow.write_paused and not self.disconnected:
            await self._protocol.flow.drain()
        if not self.disconnected and not self._protocol.transport.is_closing():
            self._finish(message["body"])

    def _finish(self, body: bytes) -> None:
        headers = [*self._protocol.server_state.default_headers, *self._start["headers"]]
        if CLOSE in headers:
            self.keep_alive = False
        elif not self.keep_alive:
            headers.append(CLOSE)
        head = rendered(self._start["status"], headers)
        transport = self._protocol.transport
        transport.write(head if self.scope["method"] == "HEAD" else head + body)
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            transport.close()
        self._protocol.on_response_complete()


def rendered(status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The head of an answer, of which no header can be the end."""
    lines = list(map(b": ".join, headers))
    head = STATUS_LINE[status] + b"\r\n".join([*lines, b"\r\n"])
    if not len(lines) + 2 == head.count(b"\n") == head.count(b"\r"):
        raise RuntimeError(f"a line break in a header: {head!r}")
    return head


class Protocol(HttpToolsProtocol):
    """uvicorn's HTTP, with bounds for a request, without upgrades, and with our kind of errors."""

    cycle: Exchange  # type: ignore[assignment]
    pipeline: deque[Exchange]  # type: ignore[assignment]

    def __init__(
        self,
        *,
        request_timeout: float,
        idle_timeout: float,
        connection_limit: int,
        log: RequestLog,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._log = log
        self._connection_limit = connection_limit
        self._request_timeout = request_timeout
        self._idle_timeout = idle_timeout
        self._unparsed = 0
        self._unfinished = False
        self._idle_since = 0.0
        self._patience: asyncio.TimerHandle | None = None
        self._answering: Exchange | None = None
        self._next: asyncio.Future[Exchange] | None = None

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
        self._unset_keepalive_if_required()
        self._be_patient_no_more()
        if self._answering is not None:
            self._answering.disconnected = True
            self._answering.message_event.set()
        if self._next is not None:
            self._next.cancel()
        # Else they stay until Python looks for cycles.
        self.pipeline.clear()
        self.cycle = self._answering = self._next = None  # type: ignore[assignment]

    def shutdown(self) -> None:
        """Finish the response under way, and close: the server stops."""
        super().shutdown()
        self.app_state["begin_shutdown"]()

    def data_received(self, data: bytes) -> None:
        """Take what has come, if it leads to a request some day."""
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
        """Its headers have come: let it be answered, once those before it are."""
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
        self.cycle = Exchange(self, keep_alive=keep_alive)
        if before is None or before.response_complete:
            self._answer(self.cycle)
        else:
            self.flow.pause_reading()
            self.pipeline.append(self.cycle)

    def _answer(self, exchange: Exchange) -> None:
        """Have it answered, by one task for all that come on this connection."""
        if self._next is None:
            self._next = self.loop.create_future()
            conversation = self.loop.create_task(self._converse(self._next))
            self.tasks.add(conversation)
            conversation.add_done_callback(self.tasks.discard)
        self._next.set_result(exchange)

    async def _converse(self, next_: "asyncio.Future[Exchange]") -> None:
        """Answer one request after the other, until the connection ends."""
        try:
            while True:
                exchange = self._answering = await next_
                next_ = self._next = self.loop.create_future()
                await self.app(exchange.scope, exchange.receive, exchange.send)
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
        """It is answered: turn to the next, which may be long in coming."""
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._answer(self.pipeline.popleft())
            return
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._look_again_in(self._idle_timeout)

    def _look_again_in(self, seconds: float) -> None:
        """One timer for many requests: it finds out how long the last has been answered."""
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self._close_if_idle)

    def _close_if_idle(self) -> None:
        self.timeout_keep_alive_task = None
        busy = self._unfinished or (self.cycle is not None and not self.cycle.response_complete)
        since = self.loop.time() if busy else self._idle_since
        left = since + self._idle_timeout - self.loop.time()
        if left > 0:
            self._look_again_in(left)
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
            refusal = problem_response(problem, "an unreadable request")
            self.transport.write(rendered(kind.status, [CLOSE, *refusal.headers]) + refusal.body)
            self._log_refusal(refusal)
        self.transport.close()

    def _log_refusal(self, refusal: Response) -> None:
        """Log a refusal, unless the application has the request: it logs every one it has."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.refuse(refusal)
            return
        scope: Any = self.scope if self._unfinished else {}
        self._log.add(
            method=scope.get("method"),
            path=scope.get("raw_path", b""),
            status=refusal.status,
            size=len(refusal.body),
            client=self.client and self.client[0],
        )

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
