"""Malformed HTTP, by mistake or by malice, smuggles no second request."""

import time

import pytest

from tests.support.contract import problem_validator
from tests.support.issuer import Issuer
from tests.support.responses import assert_problem
from tests.support.servers import Serve
from tests.support.users import Task, User
from tests.support.wire import ALIVE, BODY, CHUNKED, JSON, LENGTH, Wire, chunked, request, wire_to


def assert_unreadable(wire: Wire) -> None:
    """The server responds 400 and closes the connection."""
    answer = wire.answer()
    problem_validator().validate(assert_problem(answer, 400, "malformed-request"))
    assert answer.headers["connection"] == "close"
    assert "server" not in answer.headers
    assert wire.is_closed()


@pytest.mark.parametrize(
    "framing",
    [
        ["Content-Length: abc"],
        ["Content-Length: -1"],
        ["Content-Length: +20"],
        ["Content-Length: 0x14"],
        ["Content-Length: 2_0"],
        ["Content-Length:"],
        ["Content-Length: 99999999999999999999999"],
        ["Content-Length: 20, 20"],
        [LENGTH, LENGTH],
        [LENGTH, "Content-Length: 5"],
        [LENGTH, CHUNKED],
        [CHUNKED, LENGTH],
        [CHUNKED, CHUNKED],
        ["Transfer-Encoding: chunked, identity"],
        ["Transfer-Encoding: xchunked"],
        ["Transfer-Encoding: identity"],
        ["Transfer-Encoding: gzip, chunked"],
        ["Transfer-Encoding: gzip", CHUNKED],
        ["Transfer-Encoding: ,chunked"],
        ["Transfer-Encoding : chunked"],
        ["Transfer-Encoding:\r\n chunked"],
    ],
)
def test_body_with_an_ambiguous_end_smuggles_no_second_request(
    wire: Wire, alice: User, task: Task, framing: list[str]
) -> None:
    wire.sends(request("PUT", task.url, JSON, *framing), BODY, request("DELETE", task.url))

    assert_unreadable(wire)
    assert alice.get(task.url).json() == task.document


@pytest.mark.parametrize("size", [b"zz", b"-1", b"+14", b"0x14", b"", b"F" * 17])
def test_chunk_without_a_size_ends_the_request(wire: Wire, alice: User, size: bytes) -> None:
    wire.sends(request("POST", alice.tasks, JSON, CHUNKED), size, b"\r\n", BODY, b"\r\n0\r\n\r\n")

    assert_unreadable(wire)
    assert alice.get(alice.tasks).json() == []


@pytest.mark.parametrize("protocol", ["websocket", "h2c", "foo"])
def test_upgrade_is_declined_and_smuggles_no_second_request(
    wire: Wire, alice: User, task: Task, protocol: str
) -> None:
    upgrade = ["Connection: Upgrade, HTTP2-Settings", f"Upgrade: {protocol}", JSON]
    hidden = request("DELETE", task.url)

    wire.sends(request("PUT", task.url, *upgrade, f"Content-Length: {len(hidden)}"))
    wire.sends(hidden, ALIVE)

    assert_problem(wire.answer(), 400, "malformed-request")
    assert wire.answer().json() == {"status": "ok"}
    assert alice.get(task.url).json() == task.document


def test_body_of_an_upgrade_request_is_read(wire: Wire, alice: User) -> None:
    # Java's HttpClient asks for h2c with every first request.
    upgrade = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAAA"]

    wire.sends(request("POST", alice.tasks, *upgrade, body=BODY), ALIVE)

    assert [wire.answer().status_code, wire.answer().status_code] == [201, 200]


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET\r\n\r\n",
        b"FOO / HTTP/1.1\r\n\r\n",
        b"get /health/live HTTP/1.1\r\n\r\n",
        b"GET /health/live HTTP/11\r\n\r\n",
        b"GET /health/live HTTP/2.0\r\n\r\n",
        b"GET /health/live HTTP/0.9\r\n\r\n",
        b"GET /health/live\r\n\r\n",
        b"GET /health/live RTSP/1.0\r\n\r\n",
        b"GET  /health/live HTTP/1.1\r\n\r\n",
        b"GET /health/live  HTTP/1.1\r\n\r\n",
        b"GET /health/live HTTP/1.1 \r\n\r\n",
        b"GET\t/health/live HTTP/1.1\r\n\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\n\r\n",
        b"GET ?limit=1 HTTP/1.1\r\n\r\n",
        b"GET /health/\xc3\xa9 HTTP/1.1\r\n\r\n",
        b"GET /health/\xff HTTP/1.1\r\n\r\n",
        b"GET /health/live?\0 HTTP/1.1\r\n\r\n",
        b"GET /health/live HTTP/1.1\nHost: localhost\n\n",
        b"GET /health/live HTTP/1.1\r\nX-A : b\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nX-A: b\r\n c\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nX-A: b\0c\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\n: b\r\n\r\n",
    ],
)
def test_malformed_http_returns_400(wire: Wire, garbage: bytes) -> None:
    wire.sends(garbage)

    assert_unreadable(wire)


@pytest.mark.parametrize("before", [ALIVE, request("POST", "/nowhere", body=BODY)])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_request_line_is_checked_wherever_it_begins(wire: Wire, before: bytes, size: int) -> None:
    pipelined = before + b"GET  /health/live HTTP/1.1\r\n\r\n"
    for start in range(0, len(pipelined), size):
        wire.sends(pipelined[start : start + size])

    assert wire.answer().status_code in (200, 404)
    assert_unreadable(wire)


@pytest.mark.parametrize("path", ["/" + "a" * 100_000, "/health/live?" + "a" * 100_000])
def test_endless_url_is_refused(wire: Wire, path: str) -> None:
    wire.sends(request("GET", path))

    assert_unreadable(wire)


def test_endless_headers_are_refused_before_they_end(wire: Wire) -> None:
    wire.sends(b"GET /health/live HTTP/1.1\r\nX-Long: ")
    for _ in range(80):
        wire.sends(b"a" * 10_000)

    assert_unreadable(wire)


def test_garbage_behind_a_request_gets_a_response_of_its_own(wire: Wire, task: Task) -> None:
    wire.sends(request("PUT", task.url, body=BODY), b"garbage\r\n\r\n")

    assert wire.answer().status_code == 200
    assert_unreadable(wire)


def test_upgrade_on_a_closing_connection_is_declined(wire: Wire) -> None:
    wire.sends(request("GET", "/health/live", "Connection: close, Upgrade", "Upgrade: websocket"))

    assert wire.answer().status_code == 200
    assert wire.is_closed()


@pytest.mark.parametrize("seconds", [0, 0.1])
def test_token_in_a_trailer_is_ignored(guarded_server: str, issuer: Issuer, seconds: float) -> None:
    with User(guarded_server, issuer) as alice, wire_to(guarded_server) as wire:
        trailer = f"Authorization: {alice.headers['authorization']}\r\n".encode()
        wire.sends(request("POST", alice.tasks, JSON, CHUNKED), chunked(BODY, ended=False))
        time.sleep(seconds)
        wire.sends(b"0\r\n", trailer, b"\r\n", ALIVE)

        assert_problem(wire.answer(), 401, "unauthenticated")
        assert wire.answer().status_code == 200
        assert alice.get(alice.tasks).json() == []


def test_address_in_a_trailer_is_ignored(serve: Serve) -> None:
    server = serve(ERRAND_OPEN="on", ERRAND_TRUSTED_PROXIES="127.0.0.1", ERRAND_RATE_LIMIT="2")
    with User(server) as alice, wire_to(server) as wire:
        for number in range(3):
            wire.sends(request("POST", alice.tasks, JSON, CHUNKED), chunked(BODY, ended=False))
            wire.sends(b"0\r\nX-Forwarded-For: 203.0.113.%d\r\n\r\n" % number)

        assert [wire.answer().status_code for _ in range(3)] == [201, 201, 429]


def test_condition_in_a_trailer_is_ignored(wire: Wire, alice: User, task: Task) -> None:
    wire.sends(request("PUT", task.url, JSON, CHUNKED), chunked(BODY, ended=False))
    wire.sends(b'0\r\nIf-Match: "1"\r\nIdempotency-Key: k\r\nX-Unknown: a\r\n\r\n')

    assert wire.answer().status_code == 200


@pytest.mark.parametrize(
    "codings",
    [
        ["Transfer-Encoding: gzip, chunked"],
        ["Transfer-Encoding: gzip", CHUNKED],
        ["Transfer-Encoding: ,chunked"],
    ],
)
def test_chunked_body_with_another_coding_is_refused(
    wire: Wire, alice: User, codings: list[str]
) -> None:
    wire.sends(request("POST", alice.tasks, JSON, *codings), chunked(BODY))

    assert_unreadable(wire)
    assert alice.get(alice.tasks).json() == []


def test_chunks_in_http_1_0_are_refused(wire: Wire, alice: User) -> None:
    head = request("POST", alice.tasks, JSON, CHUNKED).replace(b"HTTP/1.1", b"HTTP/1.0")
    wire.sends(head, chunked(BODY))

    assert_unreadable(wire)


def test_transfer_encoding_is_case_insensitive(wire: Wire, alice: User) -> None:
    wire.sends(request("POST", alice.tasks, JSON, "Transfer-Encoding: Chunked"), chunked(BODY))

    assert wire.answer().status_code == 201
