"""Bounds of connections: no client can lock the others out."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from openapi.server.connection_limits import Connections
from tests.support import http
from tests.support.responses import assert_problem
from tests.support.servers import Serve
from tests.support.wire import ALIVE, BODY, JSON, LENGTH, Wire, request, wire_to

TASKS = "/api/0190a1b2-0000-7000-8000-00000000a11c/tasks"
HALF = request("POST", TASKS, JSON, LENGTH)
ELSEWHERE = "127.0.0.2"

# The clock of the server's event loop counts milliseconds: so long apart, two are not idle equally.
A_MOMENT = 0.005

Connect = Callable[..., Wire]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Connect to a server; the connections last as long as the test."""
    with ExitStack() as stack:
        yield lambda *where: stack.enter_context(wire_to(*where))


def in_flight(wire: Wire) -> Wire:
    """The connection, with a request in flight: its body is still to come."""
    wire.sends(HALF)
    time.sleep(0.1)
    return wire


def assert_serves(wire: Wire) -> None:
    wire.sends(ALIVE)
    assert wire.answer().status_code == 200
    time.sleep(A_MOMENT)


def assert_crowded(wire: Wire, detail: str) -> None:
    response = wire.answer()
    assert assert_problem(response, 503, "too-many-connections")["detail"] == detail
    assert response.headers["Retry-After"] == "1"
    assert wire.is_closed()


def test_silent_connections_lock_out_no_other_client(serve: Serve, connect: Connect) -> None:
    server = serve(ERRAND_CONNECTION_LIMIT="3")
    assert http.get(f"{server}/health/live").status_code == 200
    silent = []
    for _ in range(3):
        silent.append(connect(server, ELSEWHERE))
        time.sleep(0.1)

    assert_serves(connect(server))
    assert silent[0].is_closed()


def test_longest_idle_connection_is_closed_for_a_new_one(serve: Serve, connect: Connect) -> None:
    server = serve(ERRAND_CONNECTION_LIMIT="3")
    first, second, third = (connect(server) for _ in range(3))
    for wire in (first, second, third, first):
        assert_serves(wire)

    assert_serves(connect(server))
    assert second.is_closed()
    assert_serves(first)
    assert_serves(third)


def test_closed_connections_do_not_count(serve: Serve, connect: Connect) -> None:
    server = serve(ERRAND_CONNECTION_LIMIT="3")
    oldest = connect(server)
    assert_serves(oldest)
    for _ in range(5):
        wire = connect(server)
        assert_serves(wire)
        wire.leaves()

    assert_serves(oldest)


def test_request_in_flight_is_not_closed_for_a_new_connection(
    serve: Serve, connect: Connect
) -> None:
    server = serve(ERRAND_CONNECTION_LIMIT="3")
    busy = [in_flight(connect(server)) for _ in range(3)]

    assert_crowded(connect(server), "The server accepts 3 connections.")

    busy[0].sends(BODY)
    assert busy[0].answer().status_code == 201
    assert_serves(connect(server))


def test_one_address_gets_only_part_of_the_connections(serve: Serve, connect: Connect) -> None:
    server = serve(ERRAND_ADDRESS_CONNECTION_LIMIT="2")
    busy = [in_flight(connect(server, ELSEWHERE)) for _ in range(2)]

    assert_crowded(connect(server, ELSEWHERE), "The server accepts 2 connections from one address.")
    assert_serves(connect(server))

    busy[0].leaves()
    time.sleep(0.2)
    assert_serves(connect(server, ELSEWHERE))


def test_only_connections_of_the_same_address_make_room_for_one_of_many(
    serve: Serve, connect: Connect
) -> None:
    server = serve(ERRAND_ADDRESS_CONNECTION_LIMIT="2")
    other = connect(server)
    first, second = (connect(server, ELSEWHERE) for _ in range(2))
    for wire in (other, first, second):
        assert_serves(wire)

    assert_serves(connect(server, ELSEWHERE))
    assert first.is_closed()
    assert_serves(other)
    assert_serves(second)


def test_trusted_proxy_may_use_all_connections(serve: Serve, connect: Connect) -> None:
    server = serve(
        ERRAND_OPEN="on", ERRAND_ADDRESS_CONNECTION_LIMIT="2", ERRAND_TRUSTED_PROXIES="127.0.0.0/24"
    )
    for _ in range(3):
        in_flight(connect(server, ELSEWHERE))

    assert_serves(connect(server, ELSEWHERE))


class Idle:
    """A connection that is idle since a moment, until it is closed."""

    def __init__(self, address: str, idle_since: float = 1.0) -> None:
        self.address: str | None = address
        self.idle_since: float | None = idle_since
        self.is_closed = False

    def close_idle(self) -> None:
        self.is_closed = True


def test_ipv6_network_of_64_bits_counts_as_one_address() -> None:
    connections = Connections(limit=1000, limit_per_address=2)
    of_one_network = [Idle(f"2001:db8:1:2::{number}") for number in range(3)]
    of_another = Idle("2001:db8:1:3::1")
    for each in (*of_one_network, of_another):
        assert connections.add(each) is None

    assert [each.is_closed for each in of_one_network].count(True) == 1
    assert not of_another.is_closed


def test_a_64th_of_the_connections_is_closed_at_once() -> None:
    connections = Connections(limit=640, limit_per_address=640)
    idle = [Idle("192.0.2.1", idle_since=1 + number) for number in range(641)]
    for each in reversed(idle[:640]):
        assert connections.add(each) is None
    assert connections.add(idle[640]) is None

    assert [each.is_closed for each in idle] == [True] * 10 + [False] * 631
