"""Servers that wait briefly, so that a fault of seconds outlasts their patience."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.servers import MANY_CONNECTIONS, Server, started, url_of

BRIEFLY = {
    **MANY_CONNECTIONS,
    "ERRAND_WAIT_TIMEOUT": "1",
    "ERRAND_OVERLOAD_TIMEOUT": "0.5",
    "ERRAND_STATEMENT_TIMEOUT": "1",
    "ERRAND_CONNECT_TIMEOUT": "1",
}


@contextmanager
def impatient(**settings: str) -> Iterator[tuple[Server, str]]:
    """A server, and its URL."""
    process = started(log=None, **{**BRIEFLY, **settings})
    try:
        yield process, url_of(process)
    finally:
        process.terminate()
        process.communicate(timeout=30)
