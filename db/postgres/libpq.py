"""libpq's asynchronous side: to connect, and to cancel, without ever blocking the event loop."""

import asyncio
import ctypes
from contextlib import suppress
from typing import Any

import psycopg2
from psycopg2.extensions import POLL_OK, POLL_READ, POLL_WRITE

Text = ctypes.c_char_p
Number = ctypes.c_int
Pointer = ctypes.c_void_p

CANCEL_ACCEPTED = 3

# Every connection is checked at this interval, even if the event loop reports nothing for it.
SWEEP_INTERVAL = 0.1

# These functions never block, so they may keep Python's global interpreter lock.
_library = ctypes.PyDLL(psycopg2._psycopg.__file__)


def _function(name: str, result: Any, *arguments: Any) -> Any:
    function = _library[name]
    function.restype = result
    function.argtypes = arguments
    return function


# Error messages with nothing but the SQLSTATE: it does not depend on the server's language.
SQLSTATE_ONLY = 3
set_error_verbosity = _function("PQsetErrorVerbosity", Number, Pointer, Number)

CAN_CANCEL = hasattr(_library, "PQcancelCreate")
if CAN_CANCEL:
    _new_cancel = _function("PQcancelCreate", Pointer, Pointer)
    _start_cancel = _function("PQcancelStart", Number, Pointer)
    _cancel_socket = _function("PQcancelSocket", Number, Pointer)
    _poll_cancel = _function("PQcancelPoll", Number, Pointer)
    _cancel_error = _function("PQcancelErrorMessage", Text, Pointer)
    _finish_cancel = _function("PQcancelFinish", None, Pointer)


async def connect(url: str) -> Any:
    """A new connection of psycopg2's."""
    raw = psycopg2.connect(url, async_=1)
    try:
        while (state := raw.poll()) != POLL_OK:
            await _ready(raw.fileno(), state)
    except BaseException:
        raw.close()
        raise
    return raw


async def cancel(raw: Any) -> None:
    """Cancel the statement of a connection; libpq opens a second connection for the request.

    psycopg2's `cancel` blocks, and holds the global interpreter lock: if the network drops packets,
    the whole process stops. libpq 17 has a cancellation that does not block.
    """
    if raw.closed or not CAN_CANCEL:
        raise psycopg2.NotSupportedError("a statement of this connection cannot be cancelled")
    request = _new_cancel(raw.pgconn_ptr)
    try:
        state = POLL_WRITE if _start_cancel(request) else POLL_OK
        while state in (POLL_READ, POLL_WRITE):
            await _ready(_cancel_socket(request), state)
            state = _poll_cancel(request)
        if state != CANCEL_ACCEPTED:
            raise psycopg2.OperationalError(_cancel_error(request).decode())
    finally:
        _finish_cancel(request)


async def _ready(descriptor: int, state: int) -> None:
    """Wait until the socket can be read or written; each step may have a new socket.

    Wait for a moment only: libuv stops watching a socket after an error.
    """
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    if state == POLL_READ:
        add, remove = loop.add_reader, loop.remove_reader
    else:
        add, remove = loop.add_writer, loop.remove_writer
    add(descriptor, ready.set)
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(SWEEP_INTERVAL):
                await ready.wait()
    finally:
        remove(descriptor)
