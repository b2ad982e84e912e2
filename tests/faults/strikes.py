"""Faults that strike while a server runs and is watched; it lives through each."""

import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import closing, suppress
from typing import NamedTuple
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg2

from tests.support.databases import as_owner, lock_users, query_as_owner
from tests.support.network import Network
from tests.support.worlds import MortalWorld

SECONDS = 2.0
"""Of a fault that lasts: longer than a request may wait."""
RUDE_CLIENTS = 20
END_SESSIONS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE datname = current_database() AND application_name LIKE 'errand%%'
"""


class Scene(NamedTuple):
    """The watched server, and what is around it."""

    world: MortalWorld
    """PostgreSQL, and another server."""

    network: Network
    """Between the watched server and PostgreSQL."""

    pid: int
    url: str


def kill_postgresql(scene: Scene) -> None:
    scene.world.strikes(database=True, after=0)


def kill_the_other_server(scene: Scene) -> None:
    scene.world.strikes(database=False, after=0)


def end_all_sessions(scene: Scene) -> None:
    query_as_owner(scene.world.database_url, END_SESSIONS)


def freeze(scene: Scene) -> None:
    os.kill(scene.pid, signal.SIGSTOP)
    try:
        time.sleep(SECONDS)
    finally:
        os.kill(scene.pid, signal.SIGCONT)


def lock_rows(scene: Scene) -> None:
    with closing(psycopg2.connect(as_owner(scene.world.database_url))) as holder:
        lock_users(holder)
        time.sleep(SECONDS)


def break_the_network(scene: Scene) -> None:
    scene.network.go_down()
    time.sleep(SECONDS / 2)
    scene.network.come_back()


def let_the_network_hang(scene: Scene) -> None:
    scene.network.hang()
    time.sleep(SECONDS)
    scene.network.flow()


def vanish_as_clients(scene: Scene) -> None:
    """Clients connect, send half a request or open a stream, and vanish."""
    address = urlsplit(scene.url)
    stream = f"GET /api/{uuid4()}/changes/stream HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n"
    sent = ["", stream[:20], stream]
    clients = []
    for number in range(RUDE_CLIENTS):
        client = socket.create_connection((address.hostname, address.port), timeout=5)
        clients.append(client)
        with suppress(OSError):
            client.sendall(sent[number % len(sent)].encode())
    time.sleep(SECONDS / 4)
    for client in clients:
        client.close()


STRIKES: dict[str, Callable[[Scene], None]] = {
    "PostgreSQL is killed": kill_postgresql,
    "the other server is killed": kill_the_other_server,
    "all sessions are ended": end_all_sessions,
    "the server is frozen": freeze,
    "the rows of all users are locked": lock_rows,
    "the network breaks": break_the_network,
    "the network hangs": let_the_network_hang,
    "clients vanish": vanish_as_clients,
}
