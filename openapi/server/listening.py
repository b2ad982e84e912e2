"""The socket that the server listens on."""

import errno
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

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
    with _faults_explained(settings):
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        bound = socket.socket(family)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            _bound_unread_data(bound, settings.drain_timeout)
            bound.bind((settings.host, settings.port))
        except BaseException:
            bound.close()
            raise
        bound.set_inheritable(True)  # by workers
        return bound


def _bound_unread_data(bound: socket.socket, seconds: float) -> None:
    """Bound what the kernel keeps of responses that clients do not read, and for how long.

    The sockets of connections inherit it. Without, the kernel takes megabytes for each of them, and
    keeps them for a quarter of an hour after the connection was closed.
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
