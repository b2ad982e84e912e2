"""A connection of a client: its requests are served in order, with a deadline for each part."""

import asyncio
from typing import Any
from uuid import uuid4

from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.utils import get_local_addr, get_remote_addr
from uvicorn.server import ServerState

from openapi.http.problems import (
    CROWDED,
    MALFORMED,
    RETRY_AFTER,
    TIMED_OUT,
    Kind,
    Problem,
    problem_response,
)
from openapi.http.request import Refusal
from openapi.http.response import Headers
from openapi.server.connection_limits import Connections
from openapi.server.exchange import CLOSE, Exchange, rendered, scope_of
from openapi.server.parser import NotHTTP, RequestParser
from openapi.server.request_log import RequestLog
from openapi.server.slow_clients import DrainDeadline

# Bytes of pipelined requests that are kept until the request before them has its response.
MOST_PIPELINED = 64 * 1024
# Connections stay open so long when the server stops: no client that sends more often loses a
# request.
LINGER_SECONDS = 1


class Protocol(asyncio.Protocol):
    """HTTP/1.1 on one connection: one request at a time."""

    transport: asyncio.Transport
    flow: FlowControl

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        request_timeout: float,
        idle_timeout: float,
        drain_timeout: float,
        connections: Connections,
        log: RequestLog,
    ) -> None:
        self.server_state = server_state
        self._app: Any = config.loaded_app
        self._app_state = app_state
        self._loop = _loop or asyncio.get_running_loop()
        self._log = log
        self._connections = connections
        self._request_timeout = request_timeout
        self._idle_timeout = idle_timeout
        self._drain_timeout = drain_timeout
        self._parser = RequestParser()
        self._exchange: Exchange | None = None
        self._next: asyncio.Future[Exchange] | None = None
        self._pipelined = b""
        self._pipelined_start = 0
        self._is_stopping = False
        self._idle_since = 0.0
        self._idle_timer: asyncio.TimerHandle | None = None
        self._request_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request, or refuse the connection if there are too many."""
        self.transport = transport
        self.flow = DrainDeadline(transport, self._drain_timeout)
        self._server = get_local_addr(transport)
        self._client = get_remote_addr(transport)
        self.address = self._client and self._client[0]
        self.server_state.connections.add(self)  # type: ignore[arg-type]
        self._idle_since = self._loop.time()
        refusal = self._connections.add(self)
        if refusal is None:
            self._start_request_timer()
        else:
            self._refuse(CROWDED, refusal, [RETRY_AFTER])

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the request in flight; drop references, so that no garbage collection is needed."""
        self.server_state.connections.discard(self)
        self._connections.discard(self)
        self._stop_request_timer()
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        if self._exchange is not None:
            self._exchange.disconnect()
        if self._next is not None:
            self._next.cancel()
        self.flow.resume_writing()
        self._parser.release()
        self._exchange = self._next = None

    @property
    def idle_since(self) -> float | None:
        """Since when no request is in flight; None if one is."""
        return None if self._is_in_flight() else self._idle_since

    def close_idle(self) -> None:
        """Close the connection; drop a response that the client has not read."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()

    def pause_writing(self) -> None:
        """Pause responses: the client has not read much of what was written."""
        self.flow.pause_writing()

    def resume_writing(self) -> None:
        """Continue: the client has read most of what was written."""
        self.flow.resume_writing()

    def shutdown(self) -> None:
        """Serve requests for one more second, with `Connection: close`; then close it."""
        self._is_stopping = True
        if self._exchange is not None:
            self._exchange.keep_alive = False
        self._loop.call_later(LINGER_SECONDS, self._close_if_idle)

    def data_received(self, data: bytes) -> None:
        """Parse a request, or keep it if another one is in flight (pipelining)."""
        if self._pipelined:
            self._keep_pipelined(self._pipelined[self._pipelined_start :] + data, 0)
        else:
            self._receive(data, 0)

    def on_response_complete(self) -> None:
        """Parse the next request if it is pipelined; else wait for it, but not for ever."""
        if self.transport.is_closing():
            return
        if self._pipelined:
            # Not at once: a thousand pipelined requests must not hold up other connections.
            self._loop.call_soon(self._receive_pipelined)
        else:
            self._wait_for_next()

    def _wait_for_next(self) -> None:
        self.flow.resume_reading()
        self._idle_since = self._loop.time()
        if self._idle_timer is None:
            self._start_idle_timer(self._idle_timeout)

    def _receive(self, data: bytes, start: int) -> None:
        try:
            self._parse(data, start)
        except NotHTTP as error:
            self._refuse(MALFORMED, str(error))
            return
        if not self._parser.is_idle:
            if self._request_timer is None:
                self._start_request_timer()
        elif self._exchange is not None:
            self._stop_request_timer()

    def _receive_pipelined(self) -> None:
        if not self.transport.is_closing():
            data, self._pipelined = self._pipelined, b""
            self._receive(data, self._pipelined_start)
            if self._is_idle():  # no request was pipelined, but a line break
                self._wait_for_next()

    def _parse(self, data: bytes, start: int) -> None:
        parser = self._parser
        while start < len(data):
            exchange = self._exchange
            if exchange is not None and parser.in_body:
                start = parser.feed_body(data, start)
                exchange.add_body(parser.take_body(), is_received=parser.is_complete)
            elif exchange is not None and not exchange.response_complete:
                self._keep_pipelined(data, start)
                return
            else:
                start = parser.feed_head(data, start)
                if parser.has_head:
                    self._begin_exchange()

    def _keep_pipelined(self, data: bytes, start: int) -> None:
        self._pipelined, self._pipelined_start = data, start
        if len(data) - start > MOST_PIPELINED:
            self.flow.pause_reading()
        else:
            self.flow.resume_reading()

    def _begin_exchange(self) -> None:
        """Pass the request to the application; one task serves all requests of a connection."""
        parser = self._parser
        self._exchange = Exchange(
            self,
            scope_of(parser, self._client, self._server, self._app_state),
            keep_alive=parser.keep_alive and not self._is_stopping,
            expects_continue=parser.expects_continue,
            is_received=parser.is_complete,
        )
        if self._next is None:
            self._next = self._loop.create_future()
            task = self._loop.create_task(self._serve(self._next))
            self.server_state.tasks.add(task)
            task.add_done_callback(self.server_state.tasks.discard)
        self._next.set_result(self._exchange)

    async def _serve(self, next_: "asyncio.Future[Exchange]") -> None:
        """Serve one request after the other, until the connection ends."""
        try:
            while True:
                exchange = await next_
                next_ = self._next = self._loop.create_future()
                try:
                    await self._app(exchange.scope, exchange.receive, exchange.send)
                finally:
                    exchange.abort()
                if self.transport.is_closing():
                    return
        finally:
            self.transport.close()

    def _start_idle_timer(self, seconds: float) -> None:
        """Set one timer for many requests: it checks how long the connection has been idle."""
        self._idle_timer = self._loop.call_later(seconds, self._on_idle_timeout)

    def _on_idle_timeout(self) -> None:
        self._idle_timer = None
        since = self._idle_since if self._is_idle() else self._loop.time()
        left = since + self._idle_timeout - self._loop.time()
        if left > 0:
            self._start_idle_timer(left)
        else:
            self.close_idle()

    def _close_if_idle(self) -> None:
        if self._is_idle():
            self.close_idle()

    def _start_request_timer(self) -> None:
        """Set a deadline for a request that has not arrived whole; few need one."""
        self._request_timer = self._loop.call_later(self._request_timeout, self._on_request_timeout)

    def _stop_request_timer(self) -> None:
        if self._request_timer is not None:
            self._request_timer.cancel()
            self._request_timer = None

    def _on_request_timeout(self) -> None:
        exchange = self._exchange
        was_refused = exchange is not None and exchange.response_complete and self._parser.in_body
        if self._parser.is_idle or was_refused:
            self.transport.close()
        else:
            self._refuse(
                TIMED_OUT, f"The request did not arrive within {self._request_timeout:g} s."
            )

    def _is_idle(self) -> bool:
        return self._parser.is_idle and not self._is_in_flight()

    def _is_in_flight(self) -> bool:
        return self._exchange is not None and not self._exchange.response_complete

    def _refuse(self, kind: Kind, detail: str, headers: Headers | None = None) -> None:
        """Close the connection with an error response, unless another response has been started."""
        exchange = self._exchange
        in_flight = exchange is not None and not exchange.response_complete
        if exchange is None or not in_flight or not exchange.response_started:
            problem = Problem(kind, detail, headers=headers or ())
            request_id = str(uuid4())
            response = problem_response(problem, "an unreadable request", request_id)
            self.transport.write(rendered(kind.status, [CLOSE, *response.headers]) + response.body)
            refusal = Refusal(kind, response, request_id)
            if exchange is not None and in_flight:
                # The application logs every request that it gets.
                exchange.refuse(refusal)
            else:
                self._log.add_refusal(refusal, self.address)
        self.transport.close()
