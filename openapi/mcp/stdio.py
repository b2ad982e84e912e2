"""`errand mcp`: the tools of a server, over standard input and output."""

from typing import Any

import httpx2

from openapi.mcp.server import mcp_server
from openapi.mcp.transport import Caller


class NoTools(Exception):
    """The server does not give what its tools need; the text says why."""


def run(url: str, token: str | None) -> None:
    """Serve the tools of the server at this URL until standard input ends."""
    authorization = f"Bearer {token}" if token else None
    headers = {"Authorization": authorization} if authorization else {}
    with httpx2.Client(base_url=url, headers=headers) as client:
        contract = _got(client, "/openapi.json")
        caller = Caller(_got(client, "/api/me")["user_id"], authorization)
    server = mcp_server(contract, url, httpx2.AsyncHTTPTransport(), lambda: caller)
    server.run("stdio", show_banner=False)


def _got(client: httpx2.Client, path: str) -> Any:
    try:
        response = client.get(path)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise NoTools(f"{client.base_url} does not answer: {error}") from error
    if response.is_error:
        raise NoTools(f"{client.base_url} refuses {path}: {response.text}")
    return response.json()
