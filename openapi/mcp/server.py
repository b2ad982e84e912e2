"""A server of MCP whose tools are operations of the contract: FastMCP makes them."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from fastmcp import FastMCP
from fastmcp.server.providers.openapi import MCPType, RouteMap

from openapi.mcp.tools import headers_of_arguments, tools_of
from openapi.mcp.transport import Caller, ToolTransport

INSTRUCTIONS = (
    "The tasks of one user. Each task has a `revision`, which every change replaces. To change a"
    " task only as you have seen it, send its `revision`. To be able to repeat a write, send an"
    " `idempotency_key`. An error is a problem document (RFC 9457): `detail` says what is wrong."
)


def mcp_server(
    contract: dict[str, Any],
    base_url: str,
    transport: httpx2.AsyncBaseTransport,
    caller: Callable[[], Caller],
) -> FastMCP[Any]:
    """The server; its tools send their requests by this transport."""
    _log_as_others_do()
    tools = ToolTransport(transport, headers_of_arguments(contract), caller)
    # Not timed here: the server that is called has deadlines.
    client = httpx2.AsyncClient(transport=tools, base_url=base_url, timeout=None)
    info = contract["info"]

    @asynccontextmanager
    async def connections(_: object) -> AsyncIterator[None]:
        async with client:
            yield

    return FastMCP.from_openapi(
        tools_of(contract),
        client,
        name=info["title"],
        version=info["version"],
        instructions=INSTRUCTIONS,
        lifespan=connections,
        route_maps=[RouteMap(mcp_type=MCPType.TOOL)],
        strict_input_validation=True,
    )


def _log_as_others_do() -> None:
    """Undo what importing FastMCP does: its lines would have a format of their own.

    Its warnings are of calls with wrong arguments: the caller gets them, and the log need not.
    """
    logger = logging.getLogger("fastmcp")
    logger.handlers.clear()
    logger.setLevel(logging.ERROR)
    logger.propagate = True
