"""What is sent to a client: a status, headers and a body."""

from collections.abc import Sequence
from typing import NamedTuple

Header = tuple[bytes, bytes]
Headers = list[Header]


class Response(NamedTuple):
    """A status, headers with names in lower case, and a body."""

    status: int
    headers: Headers
    body: bytes

    def with_headers(self, headers: Sequence[Header]) -> "Response":
        """The same response with these headers besides its own."""
        return Response(self.status, [*self.headers, *headers], self.body)
