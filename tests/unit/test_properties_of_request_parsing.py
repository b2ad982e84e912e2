"""Requests are parsed the same wherever the network cuts them."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openapi.server.parser import NotHTTP, RequestParser


class Parsed(NamedTuple):
    method: str
    path: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes


SIZES = st.integers(1, 40)
BODIES = st.binary(max_size=60) | st.sampled_from(
    [b"\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"0\r\n"]
)
TRAILERS = st.sampled_from([b"", b"X-Trailer: value\r\n", b"Authorization: Bearer x\r\nA: b\r\n"])


def chunks_of(body: bytes, size: int) -> bytes:
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x;name=value\r\n%b\r\n" % (len(part), part) for part in parts)


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, Parsed]:
    """A request as it is sent, and as it should be parsed."""
    method, path = draw(st.sampled_from(["GET", "POST", "DELETE"])), b"/" + b"a" * draw(SIZES)
    headers = [(b"x-filler", b"b" * draw(SIZES))]
    body, framed = draw(BODIES), b""
    if draw(st.booleans()):
        headers.append((b"transfer-encoding", b"chunked"))
        framed = chunks_of(body, draw(SIZES)) + b"0\r\n" + draw(TRAILERS) + b"\r\n"
    elif body:
        headers.append((b"content-length", b"%d" % len(body)))
        framed = body
    head = [b"%b %b HTTP/1.1" % (method.encode(), path), *map(b": ".join, headers), b"", b""]
    blank_lines = b"\r\n" * draw(st.integers(0, 2))
    sent = blank_lines + b"\r\n".join(head) + framed
    return sent, Parsed(method, path, headers, body)


def parsed(pieces: list[bytes]) -> list[Parsed]:
    parser = RequestParser()
    found: list[Parsed] = []
    for data in pieces:
        position = 0
        while position < len(data):
            if parser.in_body:
                position = parser.feed_body(data, position)
                found[-1] = found[-1]._replace(body=found[-1].body + b"".join(parser.take_body()))
            else:
                position = parser.feed_head(data, position)
                if parser.has_head:
                    found.append(Parsed(parser.method, parser.path, parser.headers, b""))
    assert parser.is_idle
    return found


@given(st.lists(requests(), min_size=1, max_size=4), SIZES)
def test_requests_are_parsed_the_same_in_pieces_of_any_size(
    given_requests: list[tuple[bytes, Parsed]], size: int
) -> None:
    sent = b"".join(each for each, _ in given_requests)
    expected = [each for _, each in given_requests]

    assert parsed([sent]) == expected
    assert parsed([sent[start : start + size] for start in range(0, len(sent), size)]) == expected


@given(st.lists(requests(), min_size=1, max_size=3), st.data())
def test_requests_with_the_headers_of_earlier_ones_are_parsed_the_same(
    given_requests: list[tuple[bytes, Parsed]], data: st.DataObject
) -> None:
    several = data.draw(st.lists(st.sampled_from(given_requests), min_size=2, max_size=8))

    assert parsed([each for each, _ in several]) == [each for _, each in several]


@pytest.mark.parametrize("connection", [b"close", b"keep-alive"])
def test_each_request_says_whether_the_connection_stays_open(connection: bytes) -> None:
    parser = RequestParser()
    usual, other = [
        b"GET / HTTP/1.1\r\nConnection: %b\r\n\r\n" % each for each in (b"keep-alive", connection)
    ]

    for each in (usual, usual, other):
        parser.feed_head(each, 0)

    assert parser.keep_alive == (connection != b"close")


@pytest.mark.parametrize(
    "request_",
    [
        b"PRI /x HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: x\r\nTransfer-Encoding: gzip\r\n\r\n",
    ],
    ids=["the preface of HTTP/2", "an upgrade with an unknown coding"],
)
def test_what_is_not_a_request_is_refused_between_requests_with_equal_headers(
    request_: bytes,
) -> None:
    parser = RequestParser()
    parser.feed_head(b"GET / HTTP/1.1\r\n\r\n", 0)

    with pytest.raises(NotHTTP):
        parser.feed_head(request_, 0)


@pytest.mark.parametrize("trailer", [b"Connection: close", b"Upgrade: x", b"A: b"])
def test_trailers_do_not_change_how_the_next_request_is_parsed(trailer: bytes) -> None:
    chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n%b\r\n\r\n" % trailer
    following = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"

    requests = parsed([chunked + following, chunked, following])

    assert [each.path for each in requests] == [b"/", b"/next"] * 2


@given(requests(), SIZES, SIZES)
def test_what_is_not_a_request_is_refused_wherever_it_begins(
    request: tuple[bytes, Parsed], size: int, spaces: int
) -> None:
    sent = request[0] + b"GET" + b" " * (spaces + 1) + b"/ HTTP/1.1\r\n\r\n"

    with pytest.raises(NotHTTP):
        parsed([sent[start : start + size] for start in range(0, len(sent), size)])


@pytest.mark.parametrize("extension", [b"", b";" + b"a" * 20])
def test_a_body_of_tiny_chunks_is_given_up(extension: bytes) -> None:
    parser = RequestParser()
    parser.feed_head(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 0)

    with pytest.raises(NotHTTP, match="chunks are too small"):
        for _ in range(50_000):
            data = b"1%b\r\na\r\n" % extension
            position = 0
            while position < len(data):
                position = parser.feed_body(data, position)


def test_a_long_body_may_come_in_chunks_of_a_hundred_bytes() -> None:
    parser = RequestParser()
    parser.feed_head(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 0)
    data = (b"64\r\n" + b"a" * 100 + b"\r\n") * 50_000
    position = 0
    while position < len(data):
        position = parser.feed_body(data, position)

    assert len(b"".join(parser.take_body())) == 5_000_000
