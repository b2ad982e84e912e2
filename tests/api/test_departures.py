"""Clients that disconnect before their response, and clients that send slowly."""

import asyncio
import gc
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import connection
from uvicorn import Config
from uvicorn.server import ServerState

from openapi.server.connection_limits import Connections
from openapi.server.exchange import Exchange
from openapi.server.protocol import Protocol
from openapi.server.request_log import RequestLog
from tests.support.databases import as_owner, statements_that_wait
from tests.support.issuer import running_issuer
from tests.support.polling import eventually
from tests.support.responses import assert_problem
from tests.support.servers import Serve, started, trusting, url_of
from tests.support.users import Task, User
from tests.support.wire import chunked, request, wire_to

BODY = b'{"title":"Buy milk"}'
LENGTH = f"Content-Length: {len(BODY)}"
JSON = "Content-Type: application/json"


@pytest.fixture
def locked(database_url: str, alice: User, task: Task) -> Iterator[connection]:
    """A connection that locks Alice's row, so that her writes wait."""
    assert task
    with closing(psycopg2.connect(as_owner(database_url))) as holder:
        with holder.cursor() as cursor:
            cursor.execute("SELECT FROM users WHERE id = %s FOR UPDATE", [alice.id])
        yield holder


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_statement_of_a_disconnected_client_is_cancelled(
    server: str, alice: User, task: Task, locked: connection, method: str
) -> None:
    with wire_to(server) as wire:
        wire.sends(request(method, task.url, body=BODY if method == "PUT" else None))
        assert eventually(lambda: statements_that_wait(locked) == 1)

    assert eventually(lambda: statements_that_wait(locked) == 0, seconds=2)
    locked.rollback()
    assert alice.get(task.url).json() == task.document


def test_statement_of_a_client_that_disconnects_with_pipelined_requests_is_cancelled(
    server: str, task: Task, locked: connection
) -> None:
    with wire_to(server) as wire:
        wire.sends(request("PUT", task.url, body=BODY), request("GET", task.url))
        assert eventually(lambda: statements_that_wait(locked) == 1)

    assert eventually(lambda: statements_that_wait(locked) == 0, seconds=2)


def test_disconnecting_clients_cause_no_error(database_url: str, tmp_path: Path) -> None:
    errors = tmp_path / "errors"
    process = started(DATABASE_URL=database_url, log=errors)
    server = url_of(process)
    with User(server) as alice:
        alice.post(alice.tasks, json={"title": "Buy milk"})
        for _ in range(20):
            with wire_to(server) as wire:
                wire.sends(3 * request("GET", alice.tasks))
        alice.get(alice.tasks)

    process.terminate()
    process.communicate(timeout=20)
    assert not errors.read_text()


def test_nothing_is_stored_for_a_disconnected_client() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def visit() -> list[Exchange]:
        options: dict[str, Any] = {
            "request_timeout": 1,
            "idle_timeout": 1,
            "connections": Connections(9, 9),
            "drain_timeout": 1,
            "log": RequestLog(wanted=False),
        }
        config = Config(app, lifespan="off")
        config.load()
        state = ServerState()
        listening = await asyncio.get_running_loop().create_server(
            lambda: Protocol(config=config, server_state=state, app_state={}, **options),
            "127.0.0.1",
        )
        reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
        writer.write(2 * request("GET", "/"))
        await reader.readuntil(b"204 No Content\r\n\r\n")
        writer.close()
        await asyncio.wait(state.tasks, timeout=5)
        listening.close()
        return [each for each in gc.get_objects() if isinstance(each, Exchange)]

    gc.disable()
    try:
        assert asyncio.run(visit()) == []
    finally:
        gc.enable()


def test_statement_of_a_waiting_client_is_not_cancelled(
    server: str, task: Task, locked: connection
) -> None:
    with wire_to(server) as wire:
        wire.sends(request("PUT", task.url, body=BODY))
        assert eventually(lambda: statements_that_wait(locked) == 1)
        time.sleep(0.5)
        locked.rollback()

        assert wire.answer().status_code == 200


def test_more_disconnects_than_connections_leave_the_server_healthy(
    server: str, alice: User, task: Task, locked: connection
) -> None:
    for _ in range(20):
        with wire_to(server) as wire:
            wire.sends(request("PATCH", f"{task.url}/complete"))
            time.sleep(0.01)

    assert eventually(lambda: statements_that_wait(locked) == 0)
    assert alice.get(task.url).json() == task.document
    locked.rollback()
    assert alice.put(task.url, json={"title": "x"}).status_code == 200


@pytest.mark.parametrize(
    "half",
    [
        b"POS",
        b"POST {tasks} HTTP/1.1\r\nHost: err",
        b"POST {tasks} HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n",
        b"POST {tasks} HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 21\r\n\r\n"
        + BODY,
        b"POST {tasks} HTTP/1.1\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n" + chunked(BODY, ended=False),
    ],
)
@pytest.mark.parametrize("seconds", [0, 0.3])
def test_client_that_disconnects_within_its_request_changes_nothing(
    server: str, alice: User, half: bytes, seconds: float
) -> None:
    with wire_to(server) as wire:
        wire.sends(half.replace(b"{tasks}", alice.tasks.encode()))
        time.sleep(seconds)

    time.sleep(0.1)
    assert alice.get(alice.tasks).json() == []


def test_slow_body_is_read_whole(server: str, alice: User) -> None:
    digits = "".join(str(number % 10) for number in range(2000))
    body = f'{{"title":"x","description":"{digits}"}}'.encode()

    def send_slowly(_: int) -> int:
        with wire_to(server) as wire:
            wire.sends(request("POST", alice.tasks, JSON, f"Content-Length: {len(body)}"))
            for start in range(0, len(body), 20):
                time.sleep(0.005)
                wire.sends(body[start : start + 20])
            return wire.answer().status_code

    with ThreadPoolExecutor(50) as pool:
        statuses = list(pool.map(send_slowly, range(200)))

    assert set(statuses) == {201}
    listed = alice.get(alice.tasks, params={"limit": 100}).json()
    assert {task["description"] for task in listed} == {digits}


def test_body_is_read_whole_while_its_token_is_verified_slowly(
    serve: Serve,
) -> None:
    with running_issuer() as issuer:
        server = serve(**trusting(issuer))
        issuer.rotate()
        issuer.is_slow(0.5)

        with User(server, issuer) as alice:
            created = alice.creates("Buy milk")

    assert created.document["title"] == "Buy milk"


def test_slow_clients_delay_no_other(server: str, alice: User) -> None:
    waiting = [wire_to(server) for _ in range(100)]
    for each in waiting:
        each.__enter__().sends(request("POST", alice.tasks, JSON, LENGTH), BODY[:5])

    created = alice.creates()

    assert alice.get(created.url).status_code == 200
    for each in waiting:
        each.__exit__(None, None, None)


def test_response_over_the_answer_timeout_returns_503(
    serve: Serve, database_url: str, task: Task, locked: connection
) -> None:
    server = serve(DATABASE_URL=database_url, ERRAND_ANSWER_TIMEOUT="0.5")
    with wire_to(server) as wire:
        wire.sends(request("PUT", task.url, body=BODY), request("GET", task.url))

        answer = wire.answer()
        assert_problem(answer, 503, "answer-too-late")
        assert answer.headers["Retry-After"] == "1"
        assert wire.answer().json() == task.document
        assert eventually(lambda: statements_that_wait(locked) == 0, seconds=2)


def test_time_to_receive_a_body_does_not_count_as_answer_time(serve: Serve) -> None:
    server = serve(ERRAND_ANSWER_TIMEOUT="0.3")
    with User(server) as alice, wire_to(server) as wire:
        wire.sends(request("POST", alice.tasks, JSON, LENGTH), BODY[:5])
        time.sleep(0.8)
        wire.sends(BODY[5:])

        assert wire.answer().status_code == 201
