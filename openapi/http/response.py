"""A response to a client: a status, headers and a body."""

from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple

Header = tuple[bytes, bytes]
Headers = list[Header]
Chunks = AsyncGenerator[bytes, None]


class Response(NamedTuple):
    """A status, headers with names in lower case, and a body.

    A streamed body is its first chunk and a generator of the rest.
    """

    status: int
    headers: Headers
    body: bytes
    rest: Chunks | None = None

    def with_headers(self, headers: Sequence[Header]) -> "Response":
        """The same response with these additional headers."""
        return Response(self.status, [*self.headers, *headers], self.body, self.rest)
