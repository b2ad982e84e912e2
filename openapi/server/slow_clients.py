"""Slow clients: the server disconnects a client that does not read its response in time.

A client that does not send its request in time gets a 408: `Protocol` has that deadline.
"""

import asyncio

from uvicorn.protocols.http.flow_control import FlowControl


class DrainDeadline(FlowControl):
    """Flow control of one connection, with a deadline for the client to read (back-pressure)."""

    def __init__(self, transport: asyncio.Transport, timeout: float) -> None:
        super().__init__(transport)
        self._timeout = timeout
        self._timer: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        """Let responses wait, and set the deadline: the transport's buffer is full."""
        super().pause_writing()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._timeout, self._transport.abort)

    def resume_writing(self) -> None:
        """Let responses continue: the client has read, or the connection has ended."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        super().resume_writing()
