"""Responses that are produced while they are sent: JSON Lines and server-sent events."""

import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import psutil
import pytest

from tests.support.forks import Fork
from tests.support.polling import eventually
from tests.support.responses import assert_problem
from tests.support.servers import url_of
from tests.support.streams.handlers import TEXT
from tests.support.streams.server import main
from tests.support.wire import request, wire_to

ENDLESS = 10**9
MEBIBYTE = 2**20


class StreamServer:
    """A server of streams."""

    def __init__(self, process: Fork, errors: Path) -> None:
        self.process = process
        self.url = url_of(process)
        self._errors = errors

    @property
    def produced(self) -> int:
        return int(self.state()["produced"])

    def state(self) -> dict[str, int]:
        state: dict[str, int] = httpx.get(f"{self.url}/state").json()
        return state

    def has_closed_every_producer(self) -> bool:
        return self.state()["open"] == 0

    def memory(self) -> int:
        return psutil.Process(self.process.pid).memory_info().rss

    def errors(self) -> str:
        return self._errors.read_text()

    def log(self) -> list[dict[str, Any]]:
        """Stop the server, and return the lines of its request log."""
        self.process.terminate()
        output, _ = self.process.communicate(timeout=20)
        return [orjson.loads(line) for line in output.splitlines() if line.startswith("{")]


Start = Callable[..., StreamServer]


@contextmanager
def serving_streams(database_url: str, errors: Path, **settings: str) -> Iterator[StreamServer]:
    with errors.open("w") as stderr:
        environment = {"DATABASE_URL": database_url, **settings}
        process = Fork(main, environment=environment, errors=stderr.fileno())
    try:
        yield StreamServer(process, errors)
    finally:
        process.terminate()
        process.communicate(timeout=20)


@pytest.fixture
def start(database_url: str, tmp_path: Path) -> Iterator[Start]:
    """Start servers of streams with these settings; they stop with the test."""
    with ExitStack() as stack:

        def start_one(**settings: str) -> StreamServer:
            server = serving_streams(database_url, tmp_path / "errors", **settings)
            return stack.enter_context(server)

        yield start_one


@pytest.fixture(scope="module")
def server(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StreamServer]:
    errors = tmp_path_factory.mktemp("streams") / "errors"
    with serving_streams(database_url, errors, ERRAND_REQUEST_LOG="off") as server:
        yield server


@contextmanager
def reading_slowly(
    server: StreamServer, path: str, version: bytes = b"1.1"
) -> Iterator[socket.socket]:
    """A client that requests a path, with small buffers, and reads nothing by itself."""
    url = httpx.URL(server.url)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(20)
        connection.connect((url.host, url.port or 80))
        connection.sendall(request("GET", path).replace(b"HTTP/1.1", b"HTTP/" + version))
        yield connection


def stands_still(counter: Callable[[], int], seconds: float = 0.5) -> bool:
    """Whether a counter stops before long."""

    def is_the_same() -> bool:
        before = counter()
        time.sleep(seconds)
        return counter() == before

    return eventually(is_the_same)


def test_each_item_is_a_line(server: StreamServer) -> None:
    response = httpx.get(f"{server.url}/lines?count=3")

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/jsonl"
    assert response.headers["x-count"] == "3"
    assert "content-length" not in response.headers
    assert [orjson.loads(line) for line in response.text.splitlines()] == [
        {"number": number, "text": TEXT} for number in range(3)
    ]


def test_a_stream_of_no_items_is_an_empty_body(server: StreamServer) -> None:
    response = httpx.get(f"{server.url}/lines?count=0")

    assert (response.status_code, response.content) == (200, b"")


def test_each_item_of_an_event_stream_is_an_event(server: StreamServer) -> None:
    accept = {"Accept": "text/event-stream"}
    response = httpx.get(f"{server.url}/events?count=2", headers=accept)

    assert response.headers["content-type"] == "text/event-stream"
    data = f'"text":"{TEXT}"}}'
    assert response.text == (
        f'event: counted\nid: 0\ndata: {{"number":0,{data}\n\n'
        f'event: counted\nid: 1\ndata: {{"number":1,{data}\n\n'
    )


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("text/*", "text/event-stream"),
        ("application/jsonl", "application/jsonl"),
        ("application/json;q=0.5, application/jsonl;q=0.6", "application/jsonl"),
        ("text/event-stream, */*;q=0.1", "text/event-stream"),
    ],
)
def test_the_client_chooses_among_the_media_types(
    server: StreamServer, accept: str | None, media_type: str
) -> None:
    headers = {"Accept": accept} if accept else {"Accept": ""}

    response = httpx.get(f"{server.url}/events?count=1", headers=headers)

    assert response.headers["content-type"] == media_type
    assert "Accept" in response.headers["vary"]


@pytest.mark.parametrize("path", ["/events?count=1", "/lines?count=1"])
def test_a_media_type_that_is_not_offered_returns_406(server: StreamServer, path: str) -> None:
    response = httpx.get(server.url + path, headers={"Accept": "text/html"})

    assert_problem(response, 406, "not-acceptable")


@pytest.mark.parametrize("count", [100_000, pytest.param(1_000_000, marks=pytest.mark.long)])
def test_very_many_lines_take_no_memory(server: StreamServer, count: int) -> None:
    httpx.get(f"{server.url}/lines?count=10000")
    before = server.memory()
    peak = size = lines = 0

    with httpx.stream("GET", f"{server.url}/lines?count={count}", timeout=60) as response:
        for chunk in response.iter_raw():
            lines += chunk.count(b"\n")
            if (size := size + len(chunk)) > MEBIBYTE:
                size, peak = 0, max(peak, server.memory())

    assert lines == count
    assert peak - before < 4 * MEBIBYTE


def test_the_producer_waits_for_a_client_that_reads_slowly(server: StreamServer) -> None:
    before = server.produced
    with reading_slowly(server, f"/lines?count={ENDLESS}") as connection:
        assert eventually(lambda: server.produced > before)
        assert stands_still(lambda: server.produced)
        paused_at = server.produced
        assert (paused_at - before) * len(TEXT) < 16 * MEBIBYTE

        def read_more() -> bool:
            left = MEBIBYTE
            while left > 0:
                left -= len(connection.recv(left))
            return server.produced > paused_at

        assert eventually(read_more)
    assert eventually(server.has_closed_every_producer, seconds=3)


def test_a_client_that_reads_nothing_is_disconnected_at_the_drain_deadline(start: Start) -> None:
    server = start(ERRAND_DRAIN_TIMEOUT="0.5")

    with reading_slowly(server, f"/lines?count={ENDLESS}"):
        assert eventually(lambda: server.produced > 0)
        assert eventually(server.has_closed_every_producer, seconds=5)

    assert not server.errors()
    [line] = [line for line in server.log() if line["operation"] == "list_lines"]
    assert line["status"] is None
    assert line["bytes"] > 0


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize("pause", ["0", "60"])
def test_the_producer_stops_when_the_client_goes(
    server: StreamServer, pause: str, version: bytes
) -> None:
    with reading_slowly(server, f"/lines?count={ENDLESS}&pause={pause}", version):
        assert eventually(lambda: server.state()["open"] == 1)

    assert eventually(server.has_closed_every_producer, seconds=3)
    assert not server.errors()


def test_the_producer_of_events_stops_when_the_client_goes(server: StreamServer) -> None:
    with wire_to(server.url) as wire:
        wire.sends(request("GET", "/events?count=9&pause=60", "Accept: text/event-stream"))
        assert eventually(lambda: server.state()["open"] == 1)

    assert eventually(server.has_closed_every_producer, seconds=3)


def test_an_item_that_breaks_its_schema_breaks_the_stream(start: Start) -> None:
    server = start()

    with (
        httpx.stream("GET", f"{server.url}/lines?count=9&broken_at=3") as response,
        pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"),
    ):
        received = b"".join(response.iter_raw())
        pytest.fail(f"it was whole: {received!r}")

    assert eventually(server.has_closed_every_producer)
    errors = server.errors()
    assert "GET /lines failed during its response: request_id=" in errors
    assert "an item of list_lines's 200" in errors


def test_an_item_that_breaks_its_schema_resets_a_connection_without_chunks(
    server: StreamServer,
) -> None:
    with wire_to(server.url) as wire:
        wire.sends(b"GET /lines?count=90000&broken_at=80000 HTTP/1.0\r\nHost: localhost\r\n\r\n")

        with pytest.raises(ConnectionResetError):
            wire.rest()


def test_a_first_item_that_breaks_its_schema_is_an_internal_error(server: StreamServer) -> None:
    response = httpx.get(f"{server.url}/lines?count=9&broken_at=0")

    assert_problem(response, 500, "internal-error")


def test_a_failure_before_the_first_item_has_its_own_status(server: StreamServer) -> None:
    assert_problem(httpx.get(f"{server.url}/unavailable"), 503, "database-away")


def test_an_event_that_would_forge_another_is_not_sent(server: StreamServer) -> None:
    name = {"name": "a\ndata: forged", "count": "1"}
    accept = {"Accept": "text/event-stream"}

    response = httpx.get(f"{server.url}/events", params=name, headers=accept)

    assert_problem(response, 500, "internal-error")


def test_an_item_that_is_none_is_a_comment_of_an_event_stream(server: StreamServer) -> None:
    late = {"Accept": "text/event-stream"}
    with httpx.stream("GET", f"{server.url}/events?count=0&comments=2", headers=late) as response:
        assert response.read() == b":\n\n:\n\n"


def test_head_gets_the_headers_and_produces_nothing_more(server: StreamServer) -> None:
    before = server.produced
    with wire_to(server.url) as wire:
        wire.sends(request("HEAD", f"/lines?count={ENDLESS}"), request("GET", "/state"))

        head = wire.answer(to_head=True)
        assert (head.status_code, head.headers["x-count"]) == (200, str(ENDLESS))
        assert "transfer-encoding" not in head.headers
        assert wire.answer().json() == {"produced": before + 1, "open": 0}


def test_http_1_0_gets_a_body_that_ends_with_the_connection(server: StreamServer) -> None:
    with wire_to(server.url) as wire:
        wire.sends(b"GET /lines?count=2 HTTP/1.0\r\nHost: localhost\r\n\r\n")
        head, _, body = wire.rest().partition(b"\r\n\r\n")

    assert b"transfer-encoding" not in head
    assert b"connection: close" in head
    assert [orjson.loads(line)["number"] for line in body.splitlines()] == [0, 1]


def test_requests_behind_a_stream_are_served_after_it(server: StreamServer) -> None:
    with wire_to(server.url) as wire:
        wire.sends(
            request("GET", "/lines?count=2000"),
            request("GET", "/lines?count=2"),
            request("GET", "/state"),
        )

        assert len(wire.answer().text.splitlines()) == 2000
        assert len(wire.answer().text.splitlines()) == 2
        assert wire.answer().json()["open"] == 0


def test_a_connection_is_kept_after_a_stream(server: StreamServer) -> None:
    with wire_to(server.url) as wire:
        for _ in range(3):
            wire.sends(request("GET", "/lines?count=10"))
            assert len(wire.answer().text.splitlines()) == 10


def test_an_item_is_sent_as_soon_as_it_is_there(server: StreamServer) -> None:
    with httpx.stream("GET", f"{server.url}/lines?count=2&pause=60") as response:
        assert orjson.loads(next(response.iter_raw()))["number"] == 0


def test_other_requests_are_served_beside_a_stream_that_never_waits(server: StreamServer) -> None:
    assert eventually(server.has_closed_every_producer), "those of the tests before"

    with httpx.stream("GET", f"{server.url}/lines?count={ENDLESS}") as response:
        chunks = response.iter_raw()
        for _ in range(20):
            next(chunks)
            assert server.state()["open"] == 1

    assert eventually(server.has_closed_every_producer, seconds=3)


def test_a_response_that_does_not_start_within_its_operations_deadline_returns_503(
    server: StreamServer,
) -> None:
    assert_problem(httpx.get(f"{server.url}/slow"), 503, "answer-too-late")
    assert eventually(server.has_closed_every_producer)


def test_a_stream_may_last_longer_than_the_deadline_of_its_start(start: Start) -> None:
    server = start(ERRAND_ANSWER_TIMEOUT="0.5")

    response = httpx.get(f"{server.url}/lines?count=10&pause=0.2")

    assert len(response.text.splitlines()) == 10


def test_an_event_stream_ends_when_the_server_stops(start: Start) -> None:
    server = start()
    with wire_to(server.url) as wire:
        wire.sends(request("GET", "/events?count=9&pause=60", "Accept: text/event-stream"))
        assert eventually(lambda: server.state()["open"] == 1)
        server.process.send_signal(signal.SIGTERM)

        assert wire.answer().text.count("data:") == 1
        assert wire.is_closed()

    assert server.process.wait(timeout=5) == 0
    assert not server.errors()


def test_lines_are_sent_to_the_end_when_the_server_stops(start: Start) -> None:
    server = start()
    with wire_to(server.url) as wire:
        wire.sends(request("GET", "/lines?count=10&pause=0.2"))
        assert eventually(lambda: server.state()["open"] == 1)
        server.process.send_signal(signal.SIGTERM)

        assert len(wire.answer().text.splitlines()) == 10
        assert wire.is_closed()

    assert server.process.wait(timeout=5) == 0
    assert not server.errors()


def test_lines_without_an_end_are_broken_off_some_time_after_the_server_stops(start: Start) -> None:
    server = start(GRACE_SECONDS="1")
    with wire_to(server.url) as wire:
        wire.sends(request("GET", f"/lines?count={ENDLESS}&pause=0.01"))
        assert eventually(lambda: server.state()["open"] == 1)
        server.process.send_signal(signal.SIGTERM)
        received = wire.rest()

    assert received.endswith(b"\r\n")
    assert not received.endswith(b"0\r\n\r\n")
    assert server.process.wait(timeout=5) == 0
    assert "Traceback" not in server.errors()


def test_a_stream_with_a_line_break_in_a_header_is_not_sent(start: Start) -> None:
    server = start()
    with wire_to(server.url) as wire:
        wire.sends(request("GET", "/lines?count=3&note=a%0Ab"))

        assert wire.rest() == b""

    assert "a line break in a header" in server.errors()
    assert server.has_closed_every_producer()


def test_a_stream_is_logged_with_what_was_sent_of_it(start: Start) -> None:
    server = start()
    size = len(httpx.get(f"{server.url}/lines?count=1000").content)

    [line] = server.log()

    assert (line["operation"], line["status"], line["bytes"]) == ("list_lines", 200, size)
