"""The sockets that the server listens on."""

import errno
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from openapi.settings import Settings, WrongSettings

BACKLOG = 2048
TCP_NOTSENT_LOWAT = 25  # which Python's socket module does not name
MOST_UNSENT = 128 * 1024
REASONS = {
    errno.EADDRINUSE: "another program uses it: stop that, or choose another port with --port",
    errno.EACCES: "the system reserves ports up to 1023: choose another one with --port",
    errno.EADDRNOTAVAIL: "this machine does not have the address: choose another one with --host",
}


def bind(settings: Settings) -> socket.socket:
    """A socket with the address of the settings, which does not listen yet."""
    bound = _bound(settings, settings.port)
    if not _is_one_each(settings):
        return bound
    # The first socket has shown that no other program uses the port: a shared one would not.
    port = bound.getsockname()[1]
    bound.close()
    return _bound(settings, port, is_one_of_several=True)


def opener_for_workers(bound: socket.socket, settings: Settings) -> Callable[[], socket.socket]:
    """A function that opens the socket of a worker, in its process.

    On Linux each worker has its own socket, and the kernel distributes connections among them. With
    one shared socket, the worker that wakes up first would accept all connections.
    """
    if not _is_one_each(settings):
        listen(bound, settings)
        return partial(_same, bound)
    return partial(_bound, settings, bound.getsockname()[1], is_one_of_several=True)


def _is_one_each(settings: Settings) -> bool:
    return settings.workers > 1 and sys.platform == "linux"


def _same(bound: socket.socket) -> socket.socket:
    return bound


def _bound(settings: Settings, port: int, *, is_one_of_several: bool = False) -> socket.socket:
    with _faults_explained(settings):
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        bound = socket.socket(family)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if is_one_of_several:
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            _bound_unread_data(bound, settings.drain_timeout)
            bound.bind((settings.host, port))
        except BaseException:
            bound.close()
            raise
        return bound


def _bound_unread_data(bound: socket.socket, seconds: float) -> None:
    """Limit the bytes of unread responses that the kernel keeps, and the time.

    The sockets of connections inherit these options. Without them the kernel buffers megabytes for
    each connection, and keeps them for a quarter of an hour after it was closed.
    """
    if sys.platform == "linux":
        bound.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, MOST_UNSENT)
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))


def listen(bound: socket.socket, settings: Settings) -> None:
    """Let clients connect."""
    with _faults_explained(settings):
        bound.listen(BACKLOG)


@contextmanager
def _faults_explained(settings: Settings) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = REASONS.get(error.errno or 0, error.strerror or str(error))
        raise WrongSettings(
            f"Errand cannot listen on {settings.host}, port {settings.port}: {reason}."
        ) from error
