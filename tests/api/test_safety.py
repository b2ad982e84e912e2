"""Security headers and Cache-Control of every response."""

import httpx
import pytest

from tests.support import http
from tests.support.servers import Serve
from tests.support.users import User
from tests.support.wire import Wire, request, wire_to

EVERYWHERE = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
INERT = {**EVERYWHERE, "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"}
DATA = {**INERT, "Cache-Control": "private, no-cache"}
ERROR = {**INERT, "Cache-Control": "no-store"}


def assert_headers(answer: httpx.Response, headers: dict[str, str]) -> None:
    assert {name: answer.headers.get(name) for name in headers} == headers
    names = [name.lower() for name, _ in answer.headers.raw]
    assert len(names) == len(set(names))


def test_responses_with_user_data_are_not_cached(alice: User) -> None:
    task = alice.creates()

    for answer in (
        alice.post(alice.tasks, json={"title": "Buy milk"}),
        alice.get(alice.tasks),
        alice.get(task.url),
        alice.patch(f"{task.url}/complete"),
        alice.options(task.url),
        alice.delete(task.url),
        alice.get("/health/live"),
        alice.get("/", follow_redirects=False),
    ):
        assert_headers(answer, DATA)


@pytest.mark.parametrize("path", ["/nowhere", "/health/%ff", "/health/live?x=1"])
def test_errors_are_not_cached(server: str, path: str) -> None:
    assert_headers(http.get(server + path), ERROR)


@pytest.mark.parametrize("sent", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nHost: \x00\r\n\r\n"])
def test_malformed_http_gets_the_security_headers(wire: Wire, sent: bytes) -> None:
    wire.sends(sent)

    assert_headers(wire.answer(), ERROR)


def test_incomplete_request_gets_the_security_headers(serve: Serve) -> None:
    with wire_to(serve(ERRAND_REQUEST_TIMEOUT="0.2")) as wire:
        wire.sends(request("GET", "/health/live")[:20])

        assert_headers(wire.answer(), ERROR)


@pytest.mark.parametrize("path", ["/docs", "/problems", "/openapi.json", "/docs/docs.js"])
def test_page_loads_nothing_from_other_origins_and_cannot_be_framed(server: str, path: str) -> None:
    page = http.get(server + path)
    policy = dict(
        each.strip().split(" ", 1) for each in page.headers["Content-Security-Policy"].split(";")
    )

    assert_headers(page, {**EVERYWHERE, "Cache-Control": "no-cache"})
    assert page.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert policy.pop("img-src") == "'self' data:"
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert set(policy.values()) == {"'none'", "'self'"}


def test_not_modified_page_has_the_same_policy(server: str) -> None:
    page = http.get(f"{server}/docs")

    again = http.get(f"{server}/docs", headers={"If-None-Match": page.headers["ETag"]})

    assert again.status_code == 304
    assert again.headers["Content-Security-Policy"] == page.headers["Content-Security-Policy"]
