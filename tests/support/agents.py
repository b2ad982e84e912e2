"""Agents: FastMCP's own client, over standard input and output or HTTP."""

import asyncio
import json
import os
import sys
from typing import Any, Self

from fastmcp import Client, FastMCP
from fastmcp.client.transports import StdioTransport, StreamableHttpTransport
from mcp_types import TextContent


class Agent:
    """An agent; it is connected inside `with`."""

    def __init__(self, transport: StdioTransport | StreamableHttpTransport | FastMCP[Any]) -> None:
        self._client = Client(transport)
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        self._runner.__enter__()
        self._runner.run(self._client.__aenter__())  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._client.close())  # type: ignore[no-untyped-call]
        self._runner.close()

    def tools(self) -> dict[str, Any]:
        """The tools that it is offered, by name."""
        return {each.name: each for each in self._runner.run(self._client.list_tools())}

    def calls(self, tool: str, **arguments: Any) -> Any:
        """The result of a tool, which is checked against the schema of its results."""
        text, result = self._called(tool, arguments)
        assert not result.is_error, text
        return result.structured_content or text

    def fails(self, tool: str, **arguments: Any) -> str:
        """What the agent reads when a tool fails."""
        text, result = self._called(tool, arguments)
        assert result.is_error, text
        return text

    def is_refused(self, tool: str, **arguments: Any) -> Any:
        """The problem document with which a tool fails."""
        return json.loads(self.fails(tool, **arguments))

    def _called(self, tool: str, arguments: dict[str, Any]) -> tuple[str, Any]:
        called = self._client.call_tool(tool, arguments, raise_on_error=False)
        result = self._runner.run(called)
        [content] = result.content
        assert isinstance(content, TextContent)
        return content.text, result


def over_http(server: str, token: str | None = None) -> Agent:
    """An agent that is connected to `/mcp`."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return Agent(StreamableHttpTransport(f"{server}/mcp", headers=headers))


def over_stdio(server: str, token: str | None = None) -> Agent:
    """An agent that runs `errand mcp`."""
    environment = {**os.environ, **({"ERRAND_TOKEN": token} if token else {})}
    flags = ["-m", "openapi", "mcp", "--url", server]
    return Agent(StdioTransport(sys.executable, flags, env=environment))
