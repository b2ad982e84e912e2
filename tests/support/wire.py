"""A bare connection to the server, for bytes that no HTTP client would send."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import parse_headers
from typing import BinaryIO, cast

import httpx

PATIENCE = 20


class Wire:
    """Sends bytes as they are, and reads responses one by one."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._answers = cast(BinaryIO, connection.makefile("rb"))

    def sends(self, *parts: bytes) -> None:
        """Send it all, or as much as the server takes."""
        with suppress(ConnectionError):
            self._socket.sendall(b"".join(parts))

    def answer(self, *, to_head: bool = False) -> httpx.Response:
        """The next response; to HEAD, one without its body."""
        status_line = self._answers.readline()
        assert status_line.startswith(b"HTTP/1.1 "), status_line
        headers = list(parse_headers(self._answers).items())
        if dict(headers).get("transfer-encoding") == "chunked":
            content = b"".join(self._chunks())
        else:
            length = 0 if to_head else int(dict(headers).get("content-length", 0))
            content = self._answers.read(length)
        return httpx.Response(int(status_line.split()[1]), headers=headers, content=content)

    def rest(self) -> bytes:
        """All that the server sends until it closes the connection."""
        return self._answers.read()

    def _chunks(self) -> Iterator[bytes]:
        while length := int(self._answers.readline(), 16):
            yield self._answers.read(length)
            assert self._answers.readline() == b"\r\n"
        assert self._answers.readline() == b"\r\n"

    def is_closed(self) -> bool:
        """Whether the server closes the connection without another byte."""
        try:
            return self._answers.read(1) == b""
        except ConnectionResetError:
            return True

    def leaves(self) -> None:
        """Reset the connection."""
        self._answers.close()
        self._socket.close()


@contextmanager
def wire_to(server: str, address: str = "") -> Iterator[Wire]:
    """Connect to the server, from this address."""
    url = httpx.URL(server)
    with socket.create_connection(
        (url.host, url.port or 80), timeout=PATIENCE, source_address=(address, 0)
    ) as connection:
        wire = Wire(connection)
        yield wire
        wire.leaves()


def request(method: str, path: str, *headers: str, body: bytes | None = None) -> bytes:
    """A request as bytes; a body gets the headers of JSON and of its length."""
    if body is not None:
        headers = (*headers, "Content-Type: application/json", f"Content-Length: {len(body)}")
    head = "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *headers, "", ""])
    return head.encode("latin-1") + (body or b"")


def chunked(*chunks: bytes, ended: bool = True) -> bytes:
    """A chunked body."""
    framed = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return framed + (b"0\r\n\r\n" if ended else b"")


ALIVE = request("GET", "/health/live")
BODY = b'{"title":"Buy milk"}'
JSON = "Content-Type: application/json"
CHUNKED = "Transfer-Encoding: chunked"
LENGTH = f"Content-Length: {len(BODY)}"
