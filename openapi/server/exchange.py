"""One request of a connection and its response, as ASGI messages."""

import asyncio
import socket
import struct
from collections.abc import Iterable
from typing import Any, Protocol
from urllib.parse import unquote

from starlette.types import Message
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.server import ServerState

from openapi.http.request import ClientDisconnected, Refusal
from openapi.http.response import Header
from openapi.server.parser import RequestParser

CLOSE = (b"connection", b"close")
CHUNKED = (b"transfer-encoding", b"chunked")
LAST_CHUNK = b"0\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
ASGI = {"version": "3.0", "spec_version": "2.3"}
# Chunks of a streamed body are written together up to this size.
WRITE_SIZE = 32 * 1024
LARGE = 64 * 1024


class Connection(Protocol):
    """The part of a connection that an exchange uses."""

    transport: asyncio.Transport
    flow: FlowControl
    server_state: ServerState

    def on_response_complete(self) -> None:
        """Go on to the next request."""


class Exchange:
    """A request and its response; most responses are written with one system call."""

    disconnected = False
    response_started = False
    response_complete = False
    _size = 0
    _waiter: asyncio.Future[None] | None = None
    _start: Any = None
    _stream: "BodyStream | None" = None
    _refusal: Refusal | None = None

    def __init__(
        self,
        connection: Connection,
        scope: Any,
        *,
        keep_alive: bool,
        expects_continue: bool,
        is_received: bool,
    ) -> None:
        self.scope = scope
        self.keep_alive = keep_alive
        self.is_received = is_received
        self._connection = connection
        self._expects_continue = expects_continue
        self._body: list[bytes] = []
        self._has_news = is_received

    def add_body(self, parts: list[bytes], *, is_received: bool) -> None:
        """Add parts of the body that have arrived; after the response they are dropped."""
        self.is_received = is_received
        if self.response_complete:
            return
        self._body += parts
        self._size += sum(map(len, parts))
        if self._size > HIGH_WATER_LIMIT:
            self._connection.flow.pause_reading()
        self._wake()

    def disconnect(self) -> None:
        """End the request: the client has disconnected."""
        self.disconnected = True
        self._wake()

    def refuse(self, refusal: Refusal) -> None:
        """Note the response with which the protocol has refused the rest of the request."""
        self._refusal = refusal

    async def receive(self) -> Message:
        """The part of the body that has arrived since the last call, or the disconnection."""
        if self._expects_continue and not self._connection.transport.is_closing():
            self._expects_continue = False
            self._connection.transport.write(CONTINUE)
        if not self.disconnected and not self.response_complete:
            self._connection.flow.resume_reading()
            while not self._has_news:
                await self._news()
            self._has_news = False
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect", "refusal": self._refusal}
        body = b"".join(self._body)
        self._body, self._size = [], 0
        return {"type": "http.request", "body": body, "more_body": not self.is_received}

    async def send(self, message: Message) -> None:
        """Write the head together with the body, or with the first chunk of a stream."""
        if message["type"] == "http.response.start":
            self.response_started = True
            self._expects_continue = False
            self._start = message
        elif self._stream is not None or message.get("more_body", False):
            await self._send_chunk(message)
        else:
            if self._connection.flow.write_paused and not self.disconnected:
                await self._connection.flow.drain()
            if not self.disconnected and not self._connection.transport.is_closing():
                self._write(b"" if self.scope["method"] == "HEAD" else message["body"])
                self._complete()

    def abort(self) -> None:
        """End a response that cannot be completed, so that the client notices."""
        if not self.response_started or self.response_complete:
            return
        if self._stream is None:
            self._connection.transport.close()
        else:
            self._stream.abort()

    async def _news(self) -> None:
        """Wait until `receive` may have something new to return.

        The future is made here, not with the exchange: most requests have no body.
        """
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    def _wake(self) -> None:
        self._has_news = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _send_chunk(self, message: Message) -> None:
        if self.disconnected or self._connection.transport.is_closing():
            raise ClientDisconnected
        if self._stream is None:
            # HTTP/1.0 has no chunks: there the body ends with the connection.
            has_length = any(name == b"content-length" for name, _ in self._start["headers"])
            is_chunked = self.scope["http_version"] == "1.1" and not has_length
            head = self._head(CHUNKED) if is_chunked else self._head()
            self._stream = BodyStream(self._connection, head, is_chunked=is_chunked)
        if message.get("more_body", False):
            await self._stream.send(message["body"])
        else:
            self._stream.finish(message["body"])
            self._complete()

    def _write(self, body: bytes) -> None:
        head = self._head()
        if len(body) < LARGE:
            self._connection.transport.write(head + body)
        else:
            # Not copied: many slow clients of one large file share its bytes.
            self._connection.transport.writelines([head, body])

    def _head(self, *framing: Header) -> bytes:
        headers = [*self._connection.server_state.default_headers, *self._start["headers"]]
        if CLOSE in headers:
            self.keep_alive = False
        elif not self.keep_alive:
            headers.append(CLOSE)
        return rendered(self._start["status"], [*headers, *framing] if framing else headers)

    def _complete(self) -> None:
        self.response_complete = True
        self._wake()
        if not self.keep_alive:
            self._connection.transport.close()
        self._connection.on_response_complete()


class BodyStream:
    """The body of a streamed response.

    Chunks that are sent in one iteration of the event loop are written together. If the producer
    waits before its next chunk, the chunk is written at once.
    """

    def __init__(self, connection: Connection, head: bytes, *, is_chunked: bool) -> None:
        self._connection = connection
        self._head = head
        self._is_chunked = is_chunked
        self._chunks: list[bytes] = []
        self._size = 0
        self._is_scheduled = False

    async def send(self, chunk: bytes) -> None:
        """Send a chunk; wait while the client reads too slowly (back-pressure)."""
        self._chunks.append(chunk)
        self._size += len(chunk)
        if self._size >= WRITE_SIZE:
            self._write()
            # Let other requests run even if the producer never waits.
            await asyncio.sleep(0)
        elif not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._write_scheduled)
        if self._connection.flow.write_paused:
            await self._connection.flow.drain()
            if self._connection.transport.is_closing():
                raise ClientDisconnected

    def finish(self, chunk: bytes) -> None:
        """Write the rest and the end of the body."""
        self._chunks.append(chunk)
        self._write(LAST_CHUNK if self._is_chunked else b"")

    def abort(self) -> None:
        """Close the connection without the last chunk; without chunks, reset it."""
        transport = self._connection.transport
        if transport.is_closing():
            return
        self._write()
        if self._is_chunked:
            transport.close()
        else:
            reset(transport)

    def _write_scheduled(self) -> None:
        self._is_scheduled = False
        self._write()

    def _write(self, end: bytes = b"") -> None:
        body = b"".join(self._chunks)
        self._chunks.clear()
        self._size = 0
        if self._is_chunked and body:
            body = b"%x\r\n%b\r\n" % (len(body), body)
        data = b"".join((self._head, body, end))
        self._head = b""
        if data and not self._connection.transport.is_closing():
            self._connection.transport.write(data)


def reset(transport: asyncio.Transport) -> None:
    """Close a connection so that the client sees an error, not an end."""
    linger = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: RST instead of FIN
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    transport.abort()


def scope_of(
    parser: RequestParser, client: Any, server: Any, state: dict[str, Any]
) -> dict[str, Any]:
    """The ASGI scope of the request that was parsed last."""
    path = parser.path.decode("ascii")
    return {
        "type": "http",
        "asgi": ASGI,
        "http_version": parser.version,
        "method": parser.method,
        "scheme": "http",
        "path": unquote(path) if "%" in path else path,
        "raw_path": parser.path,
        "query_string": parser.query,
        "root_path": "",
        "headers": parser.headers,
        "client": client,
        "server": server,
        "state": state.copy(),
    }


def rendered(status: int, headers: Iterable[Header]) -> bytes:
    """The head of a response; raises if a header has a line break (response splitting)."""
    lines = list(map(b": ".join, headers))
    head = STATUS_LINE[status] + b"\r\n".join([*lines, b"\r\n"])
    if not len(lines) + 2 == head.count(b"\n") == head.count(b"\r"):
        raise RuntimeError(f"a line break in a header: {head!r}")
    return head
