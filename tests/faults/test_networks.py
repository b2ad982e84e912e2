"""A network between server and PostgreSQL that swallows packets, under load."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from psycopg2.extensions import make_dsn, parse_dsn

from tests.faults.impatient import impatient
from tests.faults.load import under_load
from tests.support.network import network_to

pytestmark = pytest.mark.long

NAME = f"errand{os.getpid() % 10**6}"
HERE, THERE, PORT = "198.18.77.1", "198.18.77.2", "5432"
UNUSED_ADDRESS = "02:00:00:00:00:01"
SECONDS = 8
"""More than `tcp_user_timeout`."""


def ip(*arguments: str) -> None:
    """Run a command of iproute2."""
    subprocess.run(["ip", *arguments], check=True, stderr=subprocess.DEVNULL)


@contextmanager
def namespace() -> Iterator[None]:
    """A network namespace that can be reached from here."""
    try:
        ip("netns", "add", NAME)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("only root can make network namespaces, where that is allowed")
    try:
        ip("link", "add", NAME, "type", "veth", "peer", "name", "there", "netns", NAME)
        ip("addr", "add", f"{HERE}/30", "dev", NAME)
        ip("link", "set", NAME, "up")
        ip("-n", NAME, "addr", "add", f"{THERE}/30", "dev", "there")
        ip("-n", NAME, "link", "set", "there", "up")
        yield
    finally:
        ip("netns", "delete", NAME)


@contextmanager
def far_away(url: str) -> Iterator[str]:
    """The database's URL on the other side of the network."""
    parts = parse_dsn(url)
    socket = f"{parts['host']}/.s.PGSQL.{parts['port']}"
    program = [sys.executable, "-m", "tests.faults.forward", THERE, PORT, socket]
    command = ["ip", "netns", "exec", NAME, *program]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as forwarding:
        try:
            assert forwarding.stdout
            assert forwarding.stdout.readline() == b"ready\n"
            yield make_dsn(url, host=THERE, port=PORT)
        finally:
            forwarding.kill()


def test_swallowed_packets(own_database: str) -> None:
    with (
        namespace(),
        far_away(own_database) as far,
        impatient(DATABASE_URL=far) as (_, url),
        under_load(lambda: [url]) as load,
    ):
        # Packets go to an address that nothing has.
        ip("neigh", "replace", THERE, "lladdr", UNUSED_ADDRESS, "nud", "permanent", "dev", NAME)
        time.sleep(SECONDS)
        ip("neigh", "delete", THERE, "dev", NAME)
        load.flows()
        assert load.responses()["/problems#database-too-slow"]


def test_broken_connections_and_a_network_that_hangs(own_database: str) -> None:
    with (
        network_to(own_database) as network,
        impatient(DATABASE_URL=network.url) as (_, url),
        under_load(lambda: [url]) as load,
    ):
        for _ in range(3):
            network.go_down()
            network.come_back()
            load.flows()
        network.hang()
        time.sleep(2)
        network.flow()
        load.flows()
