"""Requests as the compiled operations see them, without a server."""

from collections.abc import Mapping
from uuid import uuid4

from starlette.types import Message, Receive

from openapi.http.request import Request


async def _nothing() -> Message:
    return {"type": "http.disconnect"}


def request_with(
    query: bytes = b"",
    headers: Mapping[bytes, bytes] | None = None,
    receive: Receive = _nothing,
) -> Request:
    """A request with this query, these headers, and the body that `receive` brings."""
    scope = {
        "state": {},
        "http_version": "1.1",
        "method": "POST",
        "raw_path": b"/",
        "query_string": query,
        "headers": list((headers or {}).items()),
    }
    return Request(scope, receive, str(uuid4()))
