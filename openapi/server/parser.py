"""Parses the bytes of a connection as HTTP requests, with httptools.

httptools accepts request lines that HTTP does not allow, and parses all bytes that it gets. So this
module passes it one head, or one part of a body, at a time: it checks the request line itself, and
pipelined requests are not parsed before the response is sent.

Most requests of a connection have the same headers, byte for byte, and no body: these headers are
parsed once.
"""

import re
from typing import Any

import httptools

LONGEST_HEAD = 64 * 1024
# Headers are kept up to this size and number: each takes a hundred bytes besides its text.
LONGEST_KEPT, MOST_KEPT = 4096, 50
HEAD_END = b"\r\n\r\n"
LINE_BREAK = b"\r\n"
# The target is a path with an optional query, or a whole URL, as clients send it to a proxy.
REQUEST_LINE = re.compile(
    rb"([A-Z-]+) (?:(/[!\"$->@-~]*)(?:\?([!\"$-~]*))?|([!-~]+)) HTTP/(1\.[01])\r\n"
)
# A line before a chunk costs as much as hundreds of bytes in it: the lines may have a 16th of all.
MOST_IN_LINES = 32 * 1024
CHUNKS_TO_LINES = 16
NOT_WELL_FORMED = "This is not a well-formed HTTP request."


class NotHTTP(Exception):
    """The bytes are not an HTTP request; the text says why."""


class RequestParser:
    """Parses one request after the other; the fields are those of the latest request."""

    def __init__(self) -> None:
        self.method = ""
        self.path = b""
        self.query = b""
        self.version = ""
        self.headers: list[tuple[bytes, bytes]] = []
        self.keep_alive = False
        self.expects_continue = False
        self.has_head = False
        self.is_complete = True
        self._parser: Any = httptools.HttpRequestParser(self)
        self._partial_head = b""
        self._body: list[bytes] = []
        self._left = 0
        self._line = b""
        self._in_lines = 0
        self._in_chunks = 0
        self._in_trailers = False
        self._kept_signature = ("", "", b"")
        self._kept_headers: list[tuple[bytes, bytes]] = []

    @property
    def in_body(self) -> bool:
        """Whether a body is arriving."""
        return self.has_head and not self.is_complete

    @property
    def is_idle(self) -> bool:
        """Whether no request has arrived in part."""
        return self.is_complete and not self._partial_head

    def release(self) -> None:
        """Break the reference cycle with httptools: no garbage collection is needed."""
        self._parser = None

    def feed_head(self, data: bytes, start: int) -> int:
        """Parse to the end of a head, or of the data; return where that is.

        A part of a head is kept until the rest arrives, with which the next data begins.
        """
        parsed = len(self._partial_head)
        if parsed:
            data, start = self._partial_head + data[start:], 0
        else:
            self.has_head = False
            while start < len(data) and data[start] in LINE_BREAK:
                start += 1  # RFC 9112, 2.2
        end = data.find(HEAD_END, start)
        stop = len(data) if end < 0 else end + len(HEAD_END)
        if stop - start > LONGEST_HEAD:
            raise NotHTTP(f"The headers are longer than {LONGEST_HEAD:,} bytes.")
        if end < 0:
            self._partial_head = data[start:]
            self._parse(data[start + parsed :])
        else:
            self._partial_head = b""
            self._read_head(data, start, start + parsed, stop)
        return stop - parsed

    def feed_body(self, data: bytes, start: int) -> int:
        """Parse to the end of a body or of one of its parts, or of the data; return where it is."""
        if not self._left:
            return self._feed_line(data, start)
        end = min(start + self._left, len(data))
        self._left -= end - start
        self._parse(data[start:end])
        return end

    def take_body(self) -> list[bytes]:
        """What has arrived of the body since the last call."""
        body, self._body = self._body, []
        return body

    def on_message_begin(self) -> None:
        """Begin a request; httptools calls this and the following methods."""
        self.headers = []
        self.is_complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header, its name in lower case."""
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Note that the head is complete."""
        self.has_head = True
        self.keep_alive = self.version != "1.0" and self._parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        """Add to the body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Note that the request is complete."""
        self.is_complete = True

    def _read_head(self, data: bytes, start: int, unparsed: int, stop: int) -> None:
        """Read a head that has arrived; httptools has parsed it up to `unparsed`.

        If it has parsed nothing of it, headers that are kept need not be parsed again.
        """
        headers_start = self._read_request_line(data, start)
        signature = self.method, self.version, data[headers_start:stop]
        self.expects_continue = False
        if signature == self._kept_signature and unparsed == start:
            self.headers, self.keep_alive, self.has_head = self._kept_headers, True, True
            return
        self._parse(data[unparsed:stop])
        if not self.has_head:  # such as the preface of HTTP/2, which goes on
            raise NotHTTP(NOT_WELL_FORMED)
        if not self.is_complete:
            self._expect_body()
        elif (
            self.keep_alive
            and stop - headers_start <= LONGEST_KEPT
            and len(self.headers) <= MOST_KEPT
        ):
            self._kept_signature, self._kept_headers = signature, self.headers

    def _read_request_line(self, data: bytes, start: int) -> int:
        """Read the request line; return where the headers begin that a later request can share."""
        match = REQUEST_LINE.match(data, start)
        if match is None:
            raise NotHTTP("A request begins with its method, its path and HTTP/1.1 or HTTP/1.0.")
        method, path, query, url, version = match.groups(b"")
        self.path, self.query = split_url(url) if url else (path, query)
        self.method = method.decode()
        self.version = version.decode()
        # httptools may refuse a whole URL: then the request line is compared like the headers.
        return start if url else match.end()

    def _parse(self, data: bytes) -> None:
        """Parse; a request for an upgrade is read again without its Upgrade header."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            if self.method == "CONNECT":
                raise NotHTTP("This server is not a proxy.") from None
            head = self._head_without_upgrade()
            # The old parser does not parse what follows an upgrade.
            self._parser = httptools.HttpRequestParser(self)
            self._parse(head)
        except httptools.HttpParserError:
            raise NotHTTP(NOT_WELL_FORMED) from None

    def _head_without_upgrade(self) -> bytes:
        version = self.version.encode()
        lines = [b"%b / HTTP/%b" % (self.method.encode(), version)]
        lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    def _expect_body(self) -> None:
        headers = dict(self.headers)
        self.expects_continue = headers.get(b"expect", b"").lower() == b"100-continue"
        if b"transfer-encoding" in headers:
            self._expect_chunks()
        else:
            self._left = int(headers[b"content-length"])

    def _expect_chunks(self) -> None:
        codings = [value.lower() for name, value in self.headers if name == b"transfer-encoding"]
        if codings != [b"chunked"]:
            raise NotHTTP("The only Transfer-Encoding is `chunked`.")
        if self.version == "1.0":
            raise NotHTTP("HTTP/1.0 has no Transfer-Encoding.")
        self._in_lines = self._in_chunks = 0
        self._in_trailers = False

    def _feed_line(self, data: bytes, start: int) -> int:
        """Parse to the end of a line before a chunk, or of a trailer."""
        stop = data.find(b"\n", start) + 1 or len(data)
        self._line += data[start:stop]
        self._in_lines += stop - start
        if self._in_lines > MOST_IN_LINES + self._in_chunks // CHUNKS_TO_LINES:
            raise NotHTTP("The chunks are too small, or the lines between them too long.")
        # Trailers are parsed like headers, but no proxy has checked them: they are dropped.
        self.headers = []
        self._parse(data[start:stop])
        if self._line.endswith(b"\n"):
            if not self._in_trailers:
                self._expect_chunk(int(self._line.partition(b";")[0], 16))
            self._line = b""
        if self.is_complete:
            # The old parser minds a trailer: after `Connection: close` it refuses the next request.
            self._parser = httptools.HttpRequestParser(self)
        return stop

    def _expect_chunk(self, size: int) -> None:
        self._in_chunks += size
        self._in_trailers = size == 0
        self._left = size and size + len(LINE_BREAK)


def split_url(url: bytes) -> tuple[bytes, bytes]:
    """The path and the query of a whole URL, or of a path with a fragment."""
    try:
        parts = httptools.parse_url(url)
    except httptools.HttpParserInvalidURLError:
        raise NotHTTP("The request has no valid URL.") from None
    return parts.path or b"/", parts.query or b""
