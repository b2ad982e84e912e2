"""Several processes that serve on one port, and how they stop."""

import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import psutil
import pytest

from tests.support import http
from tests.support.polling import eventually
from tests.support.servers import Server, started, url_of, workers_of
from tests.support.wire import ALIVE, BODY, JSON, LENGTH, request, wire_to

TASKS = "/api/0190a1b2-0000-7000-8000-00000000a11c/tasks"

Start = Callable[..., Server]


@pytest.fixture
def start(new_database: Callable[[], str]) -> Iterator[Start]:
    """Start servers; they stop with the test, if they have not yet."""
    with ExitStack() as stack:

        def begin(workers: int) -> Server:
            process = started(DATABASE_URL=new_database(), ERRAND_WORKERS=str(workers))
            stack.callback(process.communicate, timeout=30)
            stack.callback(process.terminate)
            return process

        yield begin


@pytest.fixture(scope="module")
def pair(new_database: Callable[[], str]) -> Iterator[tuple[Server, str]]:
    """A server of two workers, and its URL."""
    process = started(DATABASE_URL=new_database(), ERRAND_WORKERS="2")
    yield process, url_of(process)
    process.terminate()
    process.communicate(timeout=30)


def clients_of(worker: psutil.Process, port: int | None) -> int:
    """How many connections of clients a process has."""
    return sum(
        each.status == psutil.CONN_ESTABLISHED and each.laddr.port == port
        for each in worker.net_connections("tcp")
    )


def test_connections_are_divided_among_workers(pair: tuple[Server, str]) -> None:
    parent, url = pair
    with ExitStack() as stack:
        for _ in range(60):
            wire = stack.enter_context(wire_to(url))
            wire.sends(ALIVE)
            assert wire.answer().status_code == 200
        counts = [clients_of(each, httpx.URL(url).port) for each in workers_of(parent)]

    assert len(counts) == 2
    assert sum(counts) == 60
    assert min(counts) >= 10


def test_worker_that_dies_is_replaced(pair: tuple[Server, str]) -> None:
    parent, url = pair
    first, second = workers_of(parent)

    first.kill()

    assert eventually(lambda: len(workers_of(parent)) == 2 and first not in workers_of(parent), 30)
    assert second in workers_of(parent)
    assert http.get(f"{url}/health/live").status_code == 200


def test_second_server_on_the_port_of_workers_is_refused(pair: tuple[Server, str]) -> None:
    port = httpx.URL(pair[1]).port
    second = started("--port", str(port), ERRAND_WORKERS="2", DATABASE_URL="postgresql://nowhere")

    second.communicate(timeout=30)

    assert second.returncode == 1


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.long)])
def test_stop_cuts_no_request_of_clients_that_keep_their_connections(
    start: Start, workers: int
) -> None:
    parent = start(workers=workers)
    url = url_of(parent)

    def requests_until_the_end(_: int) -> int:
        with wire_to(url) as wire:
            for served in range(10_000):
                time.sleep(0.02)
                wire.sends(ALIVE)
                response = wire.answer()
                assert response.status_code == 200
                if response.headers.get("connection") == "close":
                    assert wire.is_closed()
                    return served
        raise AssertionError

    with ThreadPoolExecutor(30) as pool:
        ends = [pool.submit(requests_until_the_end, number) for number in range(30)]
        time.sleep(1)
        parent.send_signal(signal.SIGTERM)
        assert all(each.result(timeout=20) > 0 for each in ends)

    assert parent.wait(timeout=20) == 0


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.long)])
def test_request_that_is_arriving_when_the_server_stops_is_served(
    start: Start, workers: int
) -> None:
    parent = start(workers=workers)
    url = url_of(parent)
    head = request("POST", TASKS, JSON, LENGTH)
    with wire_to(url) as half_a_head, wire_to(url) as half_a_body, wire_to(url) as silent:
        for wire in (half_a_head, half_a_body):
            wire.sends(ALIVE)
            assert wire.answer().status_code == 200
        half_a_head.sends(head[:40])
        half_a_body.sends(head, BODY[:5])
        time.sleep(0.2)
        parent.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        silent.sends(head, BODY)
        time.sleep(1)
        half_a_head.sends(head[40:], BODY)
        half_a_body.sends(BODY[5:])

        for wire in (half_a_head, half_a_body, silent):
            response = wire.answer()
            assert (response.status_code, response.headers["connection"]) == (201, "close")
            assert wire.is_closed()

    assert parent.wait(timeout=20) == 0
    with pytest.raises(ConnectionRefusedError), wire_to(url):
        pass
