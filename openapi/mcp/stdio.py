"""`errand mcp`: the tools of a server that is elsewhere."""

from collections.abc import Callable
from typing import Any

import httpx2
from fastmcp import FastMCP

from openapi.mcp.server import mcp_server
from openapi.mcp.transport import Caller


class NoTools(Exception):
    """The server does not give what its tools need; the text says why."""


def tools_at(url: str, token: Callable[[], str | None]) -> FastMCP[Any]:
    """The tools of the server at this URL; each of their requests has the token of that moment."""
    with httpx2.Client(base_url=url) as client:
        contract = _got(client, "/openapi.json", None)
        user_id = _got(client, "/api/me", _bearer(token()))["user_id"]
    return mcp_server(
        contract, url, httpx2.AsyncHTTPTransport(), lambda: Caller(user_id, _bearer(token()))
    )


def _bearer(token: str | None) -> str | None:
    return f"Bearer {token}" if token else None


def _got(client: httpx2.Client, path: str, authorization: str | None) -> Any:
    headers = {"Authorization": authorization} if authorization else {}
    try:
        response = client.get(path, headers=headers)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise NoTools(f"{client.base_url} does not answer: {error}") from error
    if response.is_error:
        raise NoTools(f"{client.base_url} refuses {path}: {response.text}")
    return response.json()
