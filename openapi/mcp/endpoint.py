"""`/mcp`: MCP over HTTP, where each POST is one message and its answer; there are no sessions.

What a tool asks for is a request of its own, with the caller's token, that passes all stages of
the server in this process: it is authenticated, counted, timed, validated and logged as any other.
"""

import asyncio
from contextlib import AsyncExitStack
from typing import Any, Self

import httpx2
from fastmcp.server.dependencies import get_http_request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from handlers.context import Principal
from openapi.contract.document import Contract
from openapi.contract.faults import Where
from openapi.http.request import Request
from openapi.http.response import Headers, Response
from openapi.http.security_headers import WITH_ERRORS
from openapi.mcp.server import mcp_server
from openapi.mcp.transport import Caller
from openapi.operations.costs import CallerQuota
from openapi.settings import Settings

PATH = "/mcp"
CALLER = "errand.caller"
BASE_URL = "http://localhost"
SECONDS_BESIDES = 5
"""A tool's own request ends at its deadline: that of its message comes later."""


class McpEndpoint:
    """The method POST of `/mcp`; it serves inside `async with`."""

    id = "mcp"
    path = PATH
    where: Where = ("paths", PATH, "post")
    is_limited = True
    has_secret = False
    accept_patch = b""
    replays = 0

    def __init__(self, contract: Contract, settings: Settings, pipeline: ASGIApp) -> None:
        """`pipeline` serves the requests of tools."""
        self.notices: Headers = []
        self.requires_token = settings.requires_tokens
        self.response_timeout = settings.answer_timeout + SECONDS_BESIDES
        self._body_limit = settings.body_limit
        self._pipeline = pipeline
        self._exits = AsyncExitStack()
        transport = httpx2.ASGITransport(self._serve)
        server = mcp_server(contract.document, BASE_URL, transport, _caller)
        self._app = server.http_app(PATH, json_response=True, stateless_http=True)

    async def __aenter__(self) -> Self:
        await self._exits.enter_async_context(self._app.router.lifespan_context(self._app))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exits.aclose()

    async def respond(
        self,
        request: Request,
        path: dict[str, str],
        caller: Principal,
        quota: CallerQuota | None,
    ) -> Response:
        """The answer to one message."""
        exchange = _Exchange(await request.body(self._body_limit))
        try:
            await self._app(_scope(request, caller), exchange.receive, exchange.send)
        finally:
            exchange.ended.set()
        return exchange.response()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request of a tool as one of the client that has sent the message."""
        message = get_http_request().scope
        of_client = {name: message[name] for name in ("client", "state")}
        await self._pipeline({**scope, **of_client}, receive, send)


def _caller() -> Caller:
    caller: Caller = get_http_request().scope[CALLER]
    return caller


def _scope(request: Request, caller: Principal) -> Scope:
    token = request.headers.get(b"authorization")
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": request.http_version,
        "method": request.method,
        "scheme": "http",
        "root_path": "",
        "path": PATH,
        "raw_path": PATH.encode(),
        "query_string": b"",
        "headers": list(request.headers.items()),
        "client": request.client and (request.client, 0),
        "server": None,
        "state": request.state,
        CALLER: Caller(str(caller.user_id), token.decode("latin-1") if token else None),
    }


class _Exchange:
    """One message and its answer, as ASGI has them."""

    def __init__(self, body: bytes) -> None:
        self.ended = asyncio.Event()
        self._messages: list[Message] = [{"type": "http.request", "body": body}]
        self._status = 0
        self._headers: Headers = []
        self._body = b""

    async def receive(self) -> Message:
        """The message, and then its end."""
        if self._messages:
            return self._messages.pop()
        await self.ended.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        """Keep what is sent."""
        if message["type"] == "http.response.start":
            self._status, self._headers = message["status"], message["headers"]
        else:
            self._body += message.get("body", b"")

    def response(self) -> Response:
        """What was sent."""
        names = {name for name, _ in WITH_ERRORS}
        kept = [(name, value) for name, value in self._headers if name not in names]
        return Response(self._status, [*kept, *WITH_ERRORS], self._body)
