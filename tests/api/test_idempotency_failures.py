"""Writes with an Idempotency-Key, while connections break and servers are killed."""

import random
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import httpx
import pytest
from psycopg2.extensions import connection

from tests.support.databases import (
    query_as_owner,
    terminate_waiting,
)
from tests.support.idempotency import (
    AFTER_THE_WRITE,
    BEFORE_THE_WRITE,
    MILK,
    blocked_write,
    key,
    retried,
    titles,
    toggle,
)
from tests.support.network import Network, network_to
from tests.support.polling import eventually
from tests.support.responses import assert_problem
from tests.support.servers import Serve, serving, started, url_of
from tests.support.users import Task, User
from tests.support.wire import request, wire_to

WRITES = 100


@pytest.fixture
def network(own_database: str) -> Iterator[Network]:
    """The network between the server and that database."""
    with network_to(own_database) as network:
        yield network


def test_invalid_response_rolls_the_write_back(alice: User, task: Task, database_url: str) -> None:
    query_as_owner(database_url, "UPDATE tasks SET title = '' WHERE user_id = %s", alice.id)
    assert_problem(toggle(alice, task), 500, "internal-error")
    query_as_owner(database_url, "UPDATE tasks SET title = 'mended' WHERE user_id = %s", alice.id)

    again = toggle(alice, task)

    assert "idempotency-replayed" not in again.headers
    assert again.json()["completed"]


@pytest.mark.parametrize("lock", [BEFORE_THE_WRITE, AFTER_THE_WRITE])
def test_write_can_be_retried_after_its_connection_breaks(
    serve: Serve, own_database: str, blocker: connection, postgres_url: str, lock: str
) -> None:
    with User(serve(DATABASE_URL=own_database)) as alice, ThreadPoolExecutor(1) as pool:
        with blocked_write(alice, blocker, lock):
            first = pool.submit(alice.post, alice.tasks, json=MILK, headers=key())
            terminate_waiting(own_database, postgres_url)
            assert_problem(first.result(), 503, "outcome-unknown")

        again = retried(lambda: alice.post(alice.tasks, json=MILK, headers=key()))

        assert "idempotency-replayed" not in again.headers
        assert titles(alice) == ["Buy milk", "first"]


def test_write_can_be_retried_after_an_unconfirmed_commit(
    serve: Serve, own_database: str, blocker: connection, network: Network
) -> None:
    server = serve(DATABASE_URL=network.url, ERRAND_POOL_SIZE="2")
    with User(server) as alice, ThreadPoolExecutor(1) as pool:
        with blocked_write(alice, blocker, AFTER_THE_WRITE) as wait_until_blocked:
            first = pool.submit(alice.post, alice.tasks, json=MILK, headers=key())
            wait_until_blocked()
            network.hang()
        assert eventually(lambda: query_as_owner(own_database, "SELECT count(*) FROM tasks") == [2])
        network.go_down()
        assert_problem(first.result(), 503, "outcome-unknown")
        network.flow()
        network.come_back()

        again = retried(lambda: alice.post(alice.tasks, json=MILK, headers=key()))

        assert again.headers["idempotency-replayed"] == "true"
        assert titles(alice) == ["Buy milk", "first"]


@pytest.mark.parametrize(
    ("lock", "replayed"), [(BEFORE_THE_WRITE, None), (AFTER_THE_WRITE, "true")]
)
def test_killed_server_leaves_a_write_with_its_response_or_neither(
    own_database: str, blocker: connection, lock: str, replayed: str | None
) -> None:
    process = started(DATABASE_URL=own_database)
    alice = User(url_of(process))
    with (
        alice,
        ThreadPoolExecutor(1) as pool,
        blocked_write(alice, blocker, lock) as wait_until_blocked,
    ):
        first = pool.submit(alice.post, alice.tasks, json=MILK, headers=key())
        wait_until_blocked()
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert isinstance(first.exception(), httpx.TransportError)
    with serving(DATABASE_URL=own_database) as server, User(server) as alice_again:
        alice_again.id, alice_again.tasks = alice.id, alice.tasks

        again = retried(lambda: alice_again.post(alice.tasks, json=MILK, headers=key()))

        assert again.headers.get("idempotency-replayed") == replayed
        assert titles(alice_again) == ["Buy milk", "first"]


def test_write_retried_until_it_succeeds_happens_once(serve: Serve, own_database: str) -> None:
    """Connections break at random, on both sides of the server."""
    server = serve(DATABASE_URL=own_database, ERRAND_POOL_SIZE="4")
    with User(server) as alice:
        task = alice.creates("toggled")
        first = revision_of(alice, own_database)
        create = ("POST", alice.tasks, "created")
        toggle = ("PATCH", f"{task.url}/complete", None)
        writes = [random.choice([create, toggle]) for _ in range(WRITES)]
        toggled = writes.count(toggle)

        with breaking_connections(own_database), ThreadPoolExecutor(8) as pool:
            sent = sum(
                pool.map(
                    lambda number: send_until_done(server, *writes[number], number), range(WRITES)
                )
            )

        assert sent > WRITES
        created = {f"created {number}" for number in range(WRITES) if writes[number] is create}
        assert stored_titles(own_database) == sorted({"toggled", *created})
        assert alice.get(task.url).json()["completed"] is (toggled % 2 == 1)
        assert revision_of(alice, own_database) - first == WRITES


def send_until_done(server: str, method: str, path: str, title: str | None, number: int) -> int:
    """Send a write until it succeeds, and sometimes again; returns how often it was sent."""
    body = f'{{"title": "{title} {number}"}}'.encode() if title else None
    sent = request(method, path, f"Idempotency-Key: {number}", body=body)
    for times in range(1, 1000):
        with wire_to(server) as wire, suppress(AssertionError, ConnectionError):
            wire.sends(sent)
            if random.random() < 0.4:
                time.sleep(random.choice([0, 0.001, 0.005, 0.25]))
                continue
            response = wire.answer()
            assert response.status_code in (200, 201)
            if random.random() < 0.7:
                return times
    raise AssertionError("it never succeeded")


@contextmanager
def breaking_connections(url: str) -> Iterator[None]:
    """Break connections of the server to its database at random times."""
    over = threading.Event()

    def breaks() -> None:
        while not over.wait(random.uniform(0, 0.1)):
            query_as_owner(
                url,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE"
                " 'errand%%' AND datname = current_database() ORDER BY random() LIMIT 1",
            )

    thread = threading.Thread(target=breaks)
    thread.start()
    yield
    over.set()
    thread.join()


def revision_of(user: User, url: str) -> int:
    """The user's counter of writes; it does not begin at 0."""
    [revision] = query_as_owner(url, "SELECT revision FROM users WHERE id = %s", user.id)
    return int(revision)


def stored_titles(url: str) -> list[str]:
    return sorted(query_as_owner(url, "SELECT title FROM tasks"))
