"""HTTP/1.1 as uvicorn speaks it, but for what it would let pass."""

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from openapi import problems

LONGEST_HEAD = 64 * 1024


class Protocol(HttpToolsProtocol):
    """uvicorn's HTTP, with a limit to headers, without upgrades, and with errors like any other."""

    _unparsed = 0

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

    def on_headers_complete(self) -> None:
        """A request begins."""
        self._unparsed = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Its body comes."""
        self._unparsed = 0
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, unless a request before it waits for its own answer."""
        if not self._owes_an_answer():
            error = problems.Problem(problems.MALFORMED, msg)
            answer = problems.answer(error, "an unreadable request")
            lines = [b"HTTP/1.1 400 Bad Request", b"connection: close"]
            lines += [b"%b: %b" % header for header in answer.headers]
            self.transport.write(b"\r\n".join([*lines, b"", answer.body]))
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
            cycle is not None and not cycle.more_body and not cycle.response_complete
        )
