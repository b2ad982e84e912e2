"""HTTP on the wire: chunks, pipelining, limits, connections."""

import pytest

from tests.support import http
from tests.support.responses import assert_problem
from tests.support.servers import Serve
from tests.support.users import Task, User
from tests.support.wire import ALIVE, BODY, CHUNKED, JSON, LENGTH, Wire, chunked, request, wire_to


@pytest.mark.parametrize("chunks", [[BODY], [BODY[:1], BODY[1:]], [bytes([each]) for each in BODY]])
def test_chunked_body_is_accepted(wire: Wire, alice: User, chunks: list[bytes]) -> None:
    wire.sends(request("POST", alice.tasks, JSON, CHUNKED), chunked(*chunks))

    assert wire.answer().status_code == 201
    assert [task["title"] for task in alice.get(alice.tasks).json()] == ["Buy milk"]


def test_chunk_extensions_and_trailers_are_accepted(wire: Wire, alice: User) -> None:
    wire.sends(request("POST", alice.tasks, JSON, CHUNKED))
    wire.sends(b"14;name=value\r\n", BODY, b"\r\n0\r\nX-Trailer: value\r\n\r\n", ALIVE)

    assert [wire.answer().status_code, wire.answer().status_code] == [201, 200]


def test_chunked_body_without_chunks_is_malformed_json(wire: Wire, alice: User) -> None:
    wire.sends(request("POST", alice.tasks, JSON, CHUNKED), chunked())

    assert_problem(wire.answer(), 400, "malformed-request")


def test_content_length_over_the_limit_is_refused_at_once(wire: Wire, alice: User) -> None:
    wire.sends(request("POST", alice.tasks, JSON, "Content-Length: 1000000000000"))

    assert_too_large_to_go_on(wire)


def test_chunks_over_the_limit_are_refused_before_they_end(serve: Serve) -> None:
    server = serve(ERRAND_BODY_LIMIT="1000")
    with User(server) as alice, wire_to(server) as wire:
        wire.sends(request("POST", alice.tasks, JSON, CHUNKED))
        wire.sends(chunked(b" " * 600, b" " * 401, ended=False))

        assert_too_large_to_go_on(wire)


def assert_too_large_to_go_on(wire: Wire) -> None:
    answer = wire.answer()
    assert_problem(answer, 413, "body-too-large")
    assert answer.headers["connection"] == "close"
    assert wire.is_closed()


def test_body_of_exactly_the_limit_is_accepted(serve: Serve) -> None:
    server = serve(ERRAND_BODY_LIMIT="1000")
    with User(server) as alice, wire_to(server) as wire:
        wire.sends(request("POST", alice.tasks, body=BODY.ljust(1000)))
        wire.sends(request("POST", alice.tasks, JSON, CHUNKED), chunked(BODY, b" " * 980))
        wire.sends(request("POST", alice.tasks, body=BODY.ljust(1001)))

        assert [wire.answer().status_code for _ in range(3)] == [201, 201, 413]
        assert len(alice.get(alice.tasks).json()) == 2


def test_many_and_long_headers_are_accepted(wire: Wire) -> None:
    wire.sends(request("GET", "/health/live", *[f"X-{number}: value" for number in range(200)]))
    wire.sends(request("GET", "/health/live", "X-Long: " + "a" * 60_000))
    wire.sends(request("GET", "/health/live", "X-Odd: \x80\xff\xe9", "X-Empty:"))

    assert [wire.answer().status_code for _ in range(3)] == [200, 200, 200]


def test_pipelined_requests_are_answered_in_order(wire: Wire, task: Task) -> None:
    wire.sends(
        request("PUT", task.url, body=b'{"title":"first"}'),
        request("GET", task.url),
        request("GET", "/nowhere"),
        request("PUT", task.url, body=b'{"title":"second"}'),
        request("GET", task.url),
    )

    answers = [wire.answer() for _ in range(5)]

    assert [answer.status_code for answer in answers] == [200, 200, 404, 200, 200]
    assert answers[1].json() == answers[0].json()
    assert answers[4].json()["title"] == "second"


def test_thousand_pipelined_requests_are_answered(wire: Wire) -> None:
    wire.sends(ALIVE * 1000)

    assert {wire.answer().status_code for _ in range(1000)} == {200}


@pytest.mark.parametrize(
    ("refused", "status"),
    [
        (request("GET", "/nowhere"), 404),
        (request("DELETE", "/health/live"), 405),
        (request("GET", "/health/live", "Accept: text/html"), 406),
        (request("GET", "/health/live?x=1"), 422),
        (request("GET", "/health/%ff"), 400),
        (request("POST", "/nowhere", body=BODY), 404),
        (request("POST", "/nowhere", body=b"x" * 2_000_000), 404),
        (request("POST", "/nowhere", CHUNKED) + chunked(BODY), 404),
        (request("POST", "/api/me/tasks", "Content-Type: text/plain", LENGTH) + BODY, 415),
        (request("POST", "/api/me/tasks", body=b"{"), 400),
        (request("POST", "/api/me/tasks", body=BODY), 422),
    ],
)
def test_connection_stays_open_after_an_error(wire: Wire, refused: bytes, status: int) -> None:
    wire.sends(refused, ALIVE)

    assert wire.answer().status_code == status
    assert wire.answer().json() == {"status": "ok"}


def test_unread_body_closes_the_connection(wire: Wire, task: Task) -> None:
    wire.sends(request("DELETE", task.url, body=request("GET", task.url)))

    assert_problem(wire.answer(), 422, "invalid-request")
    assert wire.is_closed()


def test_expect_100_continue_is_answered(wire: Wire, alice: User) -> None:
    wire.sends(request("POST", alice.tasks, JSON, LENGTH, "Expect: 100-continue"))
    leave = wire.answer()
    wire.sends(BODY)

    assert leave.status_code == 100
    assert wire.answer().status_code == 201


@pytest.mark.parametrize(
    ("headers", "status"),
    [([JSON, "Content-Length: 20000000"], 413), (["Content-Type: text/plain", LENGTH], 415)],
)
def test_refused_request_gets_no_100_continue(
    wire: Wire, alice: User, headers: list[str], status: int
) -> None:
    wire.sends(request("POST", alice.tasks, *headers, "Expect: 100-continue"))

    assert wire.answer().status_code == status


def test_http_1_0_is_served_and_the_connection_closed(wire: Wire) -> None:
    wire.sends(b"GET /health/live HTTP/1.0\r\n\r\n")

    assert wire.answer().json() == {"status": "ok"}
    assert wire.is_closed()


@pytest.mark.parametrize(
    "path", ["{tasks}/../tasks", "{tasks}/.", "/./health/live", "/docs/../openapi.yaml", "*", "//"]
)
def test_dot_segments_are_not_resolved(wire: Wire, alice: User, path: str) -> None:
    wire.sends(request("GET", path.format(tasks=alice.tasks)))

    assert wire.answer().status_code in (404, 422)


@pytest.mark.parametrize("path", ["/health/live/", "{tasks}/", "/docs/", "/api/"])
def test_trailing_slash_is_another_path(wire: Wire, alice: User, path: str) -> None:
    wire.sends(request("GET", path.format(tasks=alice.tasks)))

    assert_problem(wire.answer(), 404, "unknown-path")


def test_absolute_url_in_the_request_line_means_its_path(wire: Wire, task: Task) -> None:
    wire.sends(request("GET", f"http://elsewhere.example{task.url}?"))

    assert wire.answer().json() == task.document


def test_repeated_accept_headers_are_one_list(wire: Wire) -> None:
    wire.sends(request("GET", "/health/live", "Accept: application/json", "Accept: text/html"))
    wire.sends(request("GET", "/health/live", "Accept: text/html", "Accept: application/json"))

    assert [wire.answer().status_code, wire.answer().status_code] == [200, 200]


@pytest.mark.parametrize("types", [["text/plain", "application/json"], ["application/json"] * 2])
def test_two_content_types_return_415(wire: Wire, alice: User, types: list[str]) -> None:
    wire.sends(request("POST", alice.tasks, *[f"Content-Type: {each}" for each in types], LENGTH))
    wire.sends(BODY)

    assert_problem(wire.answer(), 415, "unsupported-media-type")
    assert alice.get(alice.tasks).json() == []


@pytest.mark.parametrize("path", ["/health/live", "/nowhere", "/docs", "/health/live?x=1"])
def test_no_response_names_the_software(server: str, path: str) -> None:
    headers = http.get(server + path).headers

    assert {"server", "x-powered-by", "via"}.isdisjoint(headers)
    assert "uvicorn" not in str(headers).lower()


def test_http_1_0_ignores_keep_alive(wire: Wire) -> None:
    wire.sends(b"GET /health/live HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")

    assert wire.answer().headers["connection"] == "close"
    assert wire.is_closed()
