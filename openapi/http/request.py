"""A request of a client: a head, and a body that arrives in parts."""

import re
from collections.abc import AsyncIterator, Iterator
from itertools import count
from typing import Any, NamedTuple
from uuid import uuid4

from starlette.types import Receive

from openapi.http.problems import TOO_LARGE, Kind, Problem
from openapi.http.response import Response

# A secret of 256 bits in base64url, also percent-encoded. A UUID is shorter.
SECRET = re.compile(rb"[A-Za-z0-9_%-]{43,}")


class Refusal(NamedTuple):
    """A response that was sent before the request was read whole, and the id in its document."""

    kind: Kind
    response: Response
    request_id: str


class ClientDisconnected(Exception):
    """The client disconnected before its request was read, or the server refused to read on.

    The refusal, if there is one, has been sent already.
    """

    def __init__(self, refusal: Refusal | None = None) -> None:
        super().__init__("the connection ended before the request")
        self.refusal = refusal


class Request:
    """One request. Names of headers are in lower case; repeated headers are joined."""

    __slots__ = (
        "_receive",
        "_scope",
        "body_received",
        "client",
        "has_body",
        "headers",
        "id",
        "method",
        "path",
        "query",
        "state",
    )

    def __init__(self, scope: Any, receive: Receive, request_id: str) -> None:
        self._scope = scope
        self._receive = receive
        self.id = request_id
        self.method: str = scope["method"]
        self.path: bytes = scope["raw_path"]
        self.query: bytes = scope["query_string"]
        self.state: Any = scope["state"]
        client = scope.get("client")
        self.client: str | None = client[0] if client else None
        self.headers = headers = headers_of(scope["headers"])
        # RFC 9112, 6
        has_length = headers.get(b"content-length", b"0") != b"0"
        self.has_body = has_length or b"transfer-encoding" in headers
        self.body_received = not self.has_body

    @property
    def http_version(self) -> str:
        """The version of HTTP that the client speaks."""
        version: str = self._scope["http_version"]
        return version

    def __str__(self) -> str:
        return f"{self.method} {self.path_without_secrets.decode('latin-1')}"

    @property
    def path_without_secrets(self) -> bytes:
        """The path as it may be logged."""
        return SECRET.sub(b"*", self.path)

    async def body(self, limit: int) -> bytes:
        """The whole body; one that is too large is refused before all of it is read."""
        if int(self.headers.get(b"content-length", 0)) > limit:
            raise _too_large(limit)
        body = await self._next_chunk()
        if not self.body_received:
            chunks = [body]
            size = len(body)
            while not self.body_received and size <= limit:
                chunks.append(await self._next_chunk())
                size += len(chunks[-1])
            body = b"".join(chunks)
        if len(body) > limit:
            raise _too_large(limit)
        return body

    async def chunks(self, limit: int) -> AsyncIterator[bytes]:
        """The body as it arrives; one that is too large is refused before all of it is read."""
        if int(self.headers.get(b"content-length", 0)) > limit:
            raise _too_large(limit)
        size = 0
        while not self.body_received:
            chunk = await self._next_chunk()
            size += len(chunk)
            if size > limit:
                raise _too_large(limit)
            yield chunk

    async def disconnected(self) -> None:
        """Return when the client has disconnected; the rest of the body is dropped."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _next_chunk(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected(message.get("refusal"))
        self.body_received = not message.get("more_body", False)
        chunk: bytes = message.get("body", b"")
        return chunk


def request_ids() -> Iterator[str]:
    """Unique UUIDs with a random start; a random one for each request would cost 2 µs."""
    start = uuid4()
    prefix = str(start)[:24]
    for number in count(start.node):
        yield f"{prefix}{number & 0xFFFFFFFFFFFF:012x}"


def headers_of(headers: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The values of headers by name; a header that is repeated is one list (RFC 9110, 5.2)."""
    unique = dict(headers)
    if len(unique) == len(headers):
        return unique
    values: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        values.setdefault(name, []).append(value)
    return {name: b", ".join(each) for name, each in values.items()}


def _too_large(limit: int) -> Problem:
    """The 413; it closes the connection, so that the rest of the body need not be read."""
    close = (b"connection", b"close")
    return Problem(TOO_LARGE, f"A body may have at most {limit:,} bytes.", headers=[close])
