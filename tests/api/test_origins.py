"""CORS: pages of allowed origins can call the API, others cannot."""

from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest

from openapi.settings import WrongSettings, load_settings
from tests.support.cases import for_each
from tests.support.responses import assert_problem
from tests.support.servers import serving
from tests.support.users import User

APP = "https://app.example.com"
LOCAL = "http://localhost:3000"
OTHER = "https://evil.example"
METHOD = {"Access-Control-Request-Method": "PATCH"}


@pytest.fixture(scope="module")
def open_server(database_url: str) -> Iterator[str]:
    """A server with two allowed origins."""
    settings = {"ERRAND_CORS_ORIGINS": f"{APP}, {LOCAL}", "ERRAND_RATE_LIMIT": "1000"}
    with serving(DATABASE_URL=database_url, **settings) as url:
        yield url


@pytest.fixture
def carol(open_server: str) -> Iterator[User]:
    """A user of a page of an allowed origin."""
    with User(open_server) as user:
        user.headers["Origin"] = APP
        yield user


def listed(response: httpx.Response, name: str) -> set[str]:
    return set(response.headers[name].split(", "))


def answers(user: User) -> dict[str, httpx.Response]:
    """Some of each kind."""
    return {
        "created": user.post(user.tasks, json={"title": "Buy milk"}),
        "listed": user.get(user.tasks),
        "health": user.get("/health/live"),
        "page": user.get("/openapi.json"),
        "malformed": user.get("/health/%ff"),
        "unknown task": user.get(f"{user.tasks}/{uuid4()}"),
        "unknown path": user.get("/nowhere"),
        "method": user.delete("/health/live"),
        "invalid": user.post(user.tasks, json={}),
        "options": user.options(user.tasks),
    }


@for_each("origin", [APP, LOCAL])
def test_allowed_origin_can_read_every_response(carol: User, origin: str) -> None:
    carol.headers["Origin"] = origin

    for what, answer in answers(carol).items():
        assert answer.headers["Access-Control-Allow-Origin"] == origin, what
        assert answer.headers["Vary"] == "Origin", what


@for_each("origin", [OTHER, "null", f"{APP}.evil.example", f"{APP}:8443", "*", ""])
def test_other_origins_can_read_no_response(carol: User, origin: str) -> None:
    carol.headers["Origin"] = origin

    for what, answer in answers(carol).items():
        assert "Access-Control-Allow-Origin" not in answer.headers, what
        assert answer.headers["Vary"] == "Origin", what


def test_contract_headers_are_exposed(carol: User) -> None:
    exposed = listed(carol.get(carol.tasks), "Access-Control-Expose-Headers")

    assert {"Link", "Location", "Retry-After", "RateLimit", "RateLimit-Policy", "Allow"} <= exposed


def test_credentials_are_never_allowed(carol: User) -> None:
    for answer in answers(carol).values():
        assert "Access-Control-Allow-Credentials" not in answer.headers


def test_preflight_lists_methods_and_headers(carol: User) -> None:
    task = carol.creates()

    leave = carol.options(f"{task.url}/complete", headers=METHOD)

    assert (leave.status_code, leave.content) == (204, b"")
    assert leave.headers["Access-Control-Allow-Origin"] == APP
    assert listed(leave, "Access-Control-Allow-Methods") == {"OPTIONS", "PATCH"}
    assert {"Authorization", "Content-Type"} <= listed(leave, "Access-Control-Allow-Headers")
    assert leave.headers["Access-Control-Max-Age"] == "7200"
    assert leave.headers["Vary"] == "Origin"


@for_each("path", ["/nowhere", "/docs", "/health/live"])
def test_preflight_of_an_unknown_path_succeeds_so_that_the_page_sees_the_404(
    carol: User, path: str
) -> None:
    leave = carol.options(path, headers={"Access-Control-Request-Method": "GET"})

    assert leave.status_code == 204
    assert "GET" in listed(leave, "Access-Control-Allow-Methods")


def test_preflight_uses_no_quota(carol: User) -> None:
    leave = carol.options(carol.tasks, headers=METHOD)

    assert "RateLimit" not in leave.headers


def test_preflight_of_another_origin_allows_nothing(carol: User) -> None:
    refused = carol.options(carol.tasks, headers={**METHOD, "Origin": OTHER})

    assert not [name for name in refused.headers if name.startswith("access-control-")]


def test_allowed_origin_can_read_a_429(database_url: str) -> None:
    settings = {"ERRAND_CORS_ORIGINS": APP, "ERRAND_RATE_LIMIT": "1"}
    with serving(DATABASE_URL=database_url, **settings) as server, User(server) as user:
        user.headers["Origin"] = APP
        user.get(user.tasks)

        refused = user.get(user.tasks)

    assert_problem(refused, 429, "too-many-requests")
    assert refused.headers["Access-Control-Allow-Origin"] == APP


def test_without_allowed_origins_there_are_no_cors_headers(alice: User) -> None:
    alice.headers["Origin"] = APP

    for what, answer in answers(alice).items():
        names = {name for name in answer.headers if name.startswith("access-control-")}
        assert not names | ({"vary"} & answer.headers.keys()), what


@for_each(
    "wrong",
    [
        "*",
        "null",
        "app.example.com",
        "https://*.example.com",
        "https://app.example.com/",
        "https://app.example.com:443",
        "http://localhost:80",
        "http://localhost:99999",
        "https://App.example.com",
        "https://user@app.example.com",
        "ftp://app.example.com",
        "https://",
        f"{APP},",
    ],
)
def test_malformed_origin_is_refused_at_start(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("ERRAND_CORS_ORIGINS", wrong)

    with pytest.raises(WrongSettings, match="ERRAND_CORS_ORIGINS"):
        load_settings()


def test_origins_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERRAND_CORS_ORIGINS", f"{APP} , {LOCAL},https://[2001:db8::1]:8443")

    assert load_settings().cors_origins == (APP, LOCAL, "https://[2001:db8::1]:8443")


@for_each("wrong", ["*", "localhost", "10.0.0.0/99", "10.0.0.1/8"])
def test_trusted_proxy_is_an_address_or_a_network(
    monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.setenv("ERRAND_TRUSTED_PROXIES", wrong)

    with pytest.raises(WrongSettings, match="ERRAND_TRUSTED_PROXIES"):
        load_settings()
