"""Ports of servers that cannot choose one themselves, or keep theirs when they start again."""

import random
import socket
from contextlib import suppress


def free_port() -> int:
    """A port that no outgoing connection takes meanwhile: systems give these ports above 32767."""
    for port in random.sample(range(20_000, 32_768), 100):
        with socket.socket() as free, suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port
    raise OSError("none of 100 ports is free")
