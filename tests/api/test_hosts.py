"""Which hosts requests may be addressed to, and what pages of other sites may not do."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.support.cases import for_each
from tests.support.issuer import Issuer
from tests.support.responses import assert_problem
from tests.support.servers import Serve
from tests.support.users import User
from tests.support.wire import Wire, wire_to

PORT = ":8000"
PATHS = ["/api/me", "/health/live", "/docs", "/openapi.json", "/nowhere"]


@pytest.fixture(scope="module")
def guarded(guarded_server: str) -> Iterator[Wire]:
    with wire_to(guarded_server) as wire:
        yield wire


def status_of(wire: Wire, *headers: str, path: str = "/health/live", version: str = "1.1") -> int:
    lines = [f"GET {path} HTTP/{version}", "Connection: keep-alive", *headers, "", ""]
    wire.sends("\r\n".join(lines).encode())
    return wire.answer().status_code


@for_each("path", PATHS)
@for_each(
    "headers",
    [
        [],
        ["Host:"],
        ["Host: localhost", "Host: localhost"],
        ["Host: localhost", "Host: evil.example"],
        ["Host: local host"],
        ["Host: localhost/api"],
        ["Host: alice@localhost"],
        ["Host: localhost:http"],
        ["Host: localhost:8000:8000"],
        ["Host: [::1"],
        ["Host: [localhost]"],
        ["Host: ::1"],
        ["Host: " + "a" * 256],
    ],
)
def test_a_host_that_is_missing_doubled_or_malformed_is_a_bad_request(
    wire: Wire, guarded: Wire, headers: list[str], path: str
) -> None:
    assert status_of(wire, *headers, path=path) == 400
    assert status_of(guarded, *headers, path=path) == 400


def test_http_1_0_has_no_host(server: str) -> None:
    with wire_to(server) as wire:
        assert status_of(wire, version="1.0") == 200


@for_each("host", ["errand.example", "errand.example:443", "a_b.example", "[::1]:1"])
def test_with_tokens_any_well_formed_host_is_accepted(guarded: Wire, host: str) -> None:
    assert status_of(guarded, f"Host: {host}") == 200


@pytest.fixture(scope="module")
def local(server: str) -> Iterator[Wire]:
    with wire_to(server) as wire:
        yield wire


@for_each(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]", "192.0.2.1:80", "[2001:db8::1]:80"]
)
def test_open_mode_is_addressed_by_ip_or_as_localhost(local: Wire, host: str) -> None:
    assert status_of(local, f"Host: {host}") == 200


@for_each("path", PATHS)
@for_each(
    "host", ["evil.example", "127.0.0.1.evil.example:8000", "localhost.evil.example", "127.1"]
)
def test_open_mode_refuses_a_name_that_a_web_page_could_have(
    local: Wire, host: str, path: str
) -> None:
    assert status_of(local, f"Host: {host}", path=path) == 400
    assert status_of(local, f"Host: {host}", path=path) == 400


@pytest.fixture
def opened(serve: Serve) -> str:
    """Open mode on every address, with a name and a CORS origin."""
    return serve(
        ERRAND_OPEN="on",
        ERRAND_HOST="0.0.0.0",
        ERRAND_HOSTS="errand, Errand.example",
        ERRAND_CORS_ORIGINS="https://app.example",
    )


def test_open_mode_accepts_the_names_that_are_set(opened: str) -> None:
    with wire_to(opened) as wire:
        hosts = ["errand:8000", "errand.EXAMPLE", "192.0.2.1", "localhost", "evil.example"]
        statuses = [status_of(wire, f"Host: {host}") for host in hosts]

    assert statuses == [200, 200, 200, 200, 400]


def test_the_refusal_says_what_to_set(opened: str) -> None:
    with User(opened) as alice:
        problem = assert_problem(
            alice.get(alice.tasks, headers={"Host": "evil.example"}), 400, "wrong-host"
        )

    assert "ERRAND_HOSTS" in problem["detail"]


@for_each("server_name", ["server", "opened"])
def test_in_open_mode_a_page_of_another_site_cannot_write(
    server_name: str, request: pytest.FixtureRequest
) -> None:
    other_site = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    with User(request.getfixturevalue(server_name)) as alice:
        task = alice.creates()
        alice.delete(task.url)

        refused = alice.post(f"{task.url}/restore", headers=other_site)
        read = alice.get(alice.tasks, headers=other_site)
        same_site = alice.post(f"{task.url}/restore", headers={"Sec-Fetch-Site": "same-site"})

    assert_problem(refused, 400, "cross-site-write")
    assert read.status_code == same_site.status_code == 200


@for_each(
    ("origin", "status"),
    [
        ("http://evil.example", 400),
        ("null", 400),
        ("http://127.0.0.1.evil.example", 400),
        ("http://127.0.0.1:3000", 200),
    ],
)
def test_in_open_mode_the_origin_shows_the_site_of_a_page_where_nothing_else_does(
    server: str, origin: str, status: int
) -> None:
    with User(server) as alice:
        task = alice.creates()

        response = alice.patch(f"{task.url}/complete", headers={"Origin": origin})

    assert response.status_code == status


def test_in_open_mode_a_page_of_an_allowed_origin_can_write(opened: str) -> None:
    allowed = {"Sec-Fetch-Site": "cross-site", "Origin": "https://app.example"}
    with User(opened) as alice:
        created = alice.post(alice.tasks, json={"title": "Buy milk"}, headers=allowed)

    assert created.status_code == 201


def test_with_tokens_a_page_of_another_site_needs_one(guarded_server: str, issuer: Issuer) -> None:
    other_site = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    with User(guarded_server, issuer) as alice:
        created = alice.post(alice.tasks, json={"title": "Buy milk"}, headers=other_site)
        del alice.headers["Authorization"]
        refused = alice.get(f"{alice.tasks}/{uuid4()}", headers=other_site)

    assert (created.status_code, refused.status_code) == (201, 401)
