"""From a request of a tool to a request of the API, and back to the tool's result."""

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urljoin

import httpx2
from fastmcp.exceptions import ToolError

from openapi.mcp.tools import OWN

SENT = ("accept", "content-type", "content-length", "host")
IF_MATCH = "If-Match"
NO_CONTENT = 204
UNANSWERED = (
    "The server did not answer ({}). A write may have been made or not: call the tool again with"
    " the same arguments and the same idempotency_key, if it has one."
)


class Caller(NamedTuple):
    """The user of the tools: the id in paths, and the token, if there is one."""

    user_id: str
    authorization: str | None


class ToolTransport(httpx2.AsyncBaseTransport):
    """Sends what a tool asks for as the caller, and returns what the tool does."""

    def __init__(
        self,
        inner: httpx2.AsyncBaseTransport,
        headers: Mapping[str, str],
        caller: Callable[[], Caller],
    ) -> None:
        """`headers` has the header of each argument that is sent in one."""
        self._inner = inner
        self._headers = headers
        self._caller = caller

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The result of the tool; raises the problem document of an error as text."""
        sent = self._of_api(request)
        try:
            response = await self._inner.handle_async_request(sent)
            text = (await response.aread()).decode()
        except httpx2.TransportError as error:
            raise ToolError(UNANSWERED.format(str(error) or type(error).__name__)) from error
        if not response.is_success:
            raise ToolError(text, log_level=logging.DEBUG)
        if response.status_code == NO_CONTENT:
            return httpx2.Response(200, text="Done.")
        if response.headers["content-type"] != "application/json":
            return httpx2.Response(200, text=text)
        return httpx2.Response(200, json=_result(response, sent))

    def _of_api(self, request: httpx2.Request) -> httpx2.Request:
        user_id, authorization = self._caller()
        headers = {name: request.headers[name] for name in SENT if name in request.headers}
        headers |= dict(self._arguments(request))
        if authorization:
            headers["authorization"] = authorization
        raw_path = request.url.raw_path.replace(OWN.encode(), user_id.encode(), 1)
        url = request.url.copy_with(raw_path=raw_path)
        return httpx2.Request(request.method, url, headers=headers, content=request.read())

    def _arguments(self, request: httpx2.Request) -> Iterator[tuple[str, str]]:
        for argument, header in self._headers.items():
            value = request.headers.get(argument)
            if value is not None:
                yield header, f'"{value}"' if header == IF_MATCH else value

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


def _result(response: httpx2.Response, sent: httpx2.Request) -> Any:
    value = response.json()
    if not isinstance(value, list):
        return value
    return {"items": value, "next": _next(response, sent)}


def _next(response: httpx2.Response, sent: httpx2.Request) -> dict[str, str] | None:
    """The arguments of the next page that are not those of this one; None at the end."""
    link = response.links.get("next")
    if link is None:
        return None
    url = httpx2.URL(urljoin(str(sent.url), link["url"]))
    return {name: value for name, value in url.params.items() if sent.url.params.get(name) != value}
