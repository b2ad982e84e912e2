"""Connections that share an event loop."""

import asyncio
from typing import Any

from starlette.types import ASGIApp
from uvicorn import Config
from uvicorn.server import ServerState

from openapi.server.connection_limits import Connections
from openapi.server.protocol import Protocol
from openapi.server.request_log import RequestLog
from tests.support.wire import request

NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"


def listening(app: ASGIApp) -> Any:
    """A server of this application, whose connections have the usual limits."""
    config = Config(app, lifespan="off")
    config.load()
    options: dict[str, Any] = {
        "request_timeout": 5,
        "idle_timeout": 5,
        "drain_timeout": 5,
        "connections": Connections(9, 9),
        "log": RequestLog(wanted=False),
    }
    state = ServerState()
    return asyncio.get_running_loop().create_server(
        lambda: Protocol(config=config, server_state=state, app_state={}, **options), "127.0.0.1"
    )


def test_pipelined_requests_do_not_hold_up_other_connections() -> None:
    served: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        served.append(scope["path"])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def visit() -> None:
        async with await listening(app) as server:
            address = server.sockets[0].getsockname()
            many, one = [await asyncio.open_connection(*address) for _ in range(2)]
            many[1].write(request("GET", "/many") * 500)
            one[1].write(request("GET", "/one"))
            await one[0].readuntil(NO_CONTENT)
            for _ in range(500):
                await many[0].readuntil(NO_CONTENT)
            for _, writer in (many, one):
                writer.close()

    asyncio.run(visit())

    assert len(served) == 501
    assert served.index("/one") < 20
