"""Paths, methods and the Accept header, for every operation of the contract."""

import re
from collections.abc import Callable
from functools import cache
from uuid import uuid4

import httpx
import pytest

from tests.support import http
from tests.support.cases import for_each
from tests.support.contract import DOCUMENT, METHODS, assert_refused, methods_of
from tests.support.operations import OPERATIONS
from tests.support.responses import assert_problem
from tests.support.users import Task, User

TEMPLATES = list(DOCUMENT["paths"])
READ = [
    operation.path
    for operation in OPERATIONS.values()
    if operation.method == "GET" and "application/json" in operation.responses["200"]["content"]
]
PAGES = ["/docs", "/problems", "/openapi.yaml", "/openapi.json", "/docs/docs.js"]
OTHER_METHODS = ["TRACE", "PROPFIND", "PURGE", "LINK", "QUERY", "MKCOL"]

At = Callable[[str], str]


@pytest.fixture
def at(alice: User, task: Task) -> At:
    """Fill a path of the contract with Alice's ids."""

    @cache
    def fill(template: str) -> str:
        return template.format(
            user_id=alice.id,
            task_id=task.document["id"],
            list_id=alice.creates_list().document["id"] if "{list_id}" in template else None,
            file=alice.creates_calendar().rpartition("/")[2] if "calendar" in template else None,
        )

    return fill


@for_each("template", TEMPLATES)
def test_options_lists_the_methods_of_a_path(alice: User, at: At, template: str) -> None:
    response = alice.options(at(template))

    assert (response.status_code, response.content) == (204, b"")
    assert set(response.headers["allow"].split(", ")) == methods_of(template)
    assert "content-type" not in response.headers


@for_each("template", TEMPLATES)
def test_unsupported_method_returns_405_with_allow(
    alice: User, task: Task, at: At, template: str
) -> None:
    methods = {each.upper() for each in METHODS} | {*OTHER_METHODS}
    for method in sorted(methods - methods_of(template)):
        for body in (None, b'{"title":"x"}', b"\xff"):
            response = alice.request(method, at(template), content=body)

            assert_refused(response, 405, "method-not-allowed")
            assert set(response.headers["allow"].split(", ")) == methods_of(template)
    assert alice.get(task.url).json() == task.document


@for_each("method", ["FOO", "GETS", "G", "GET-POST", "X" * 5000])
def test_unknown_method_returns_400(alice: User, task: Task, method: str) -> None:
    response = alice.request(method, task.url)

    assert_problem(response, 400, "malformed-request")


@for_each("template", [*READ, *PAGES])
def test_head_returns_the_headers_of_get(alice: User, at: At, template: str) -> None:
    got = alice.get(at(template))
    head = alice.head(at(template))

    assert (head.status_code, head.content) == (200, b"")
    without_date = [{**each.headers, "date": None} for each in (got, head)]
    assert without_date[0] == without_date[1]


def test_head_of_an_error_has_no_body(alice: User) -> None:
    for path in ("/nowhere", alice.tasks + "?x=1", f"{alice.tasks}/{uuid4()}", "/%ff"):
        head = alice.head(path)

        assert head.status_code == alice.get(path).status_code
        assert head.content == b""


WITH_JSON = [
    *("*/*", "application/*", "application/json", "APPLICATION/JSON", ""),
    *("text/html, application/json", "text/html, */*;q=0.1", "application/json;q=0.001"),
    *("application/json; charset=utf-8", "application/json;q=1.0, */*;q=0"),
    *("text/html;q=0.9,*/*;q=0.8", ",,application/json,,", "application/json;q=high"),
]
WITHOUT_JSON = [
    *("text/html", "text/*", "application/xml", "application/problem+json", "image/*, text/*"),
    *("application/json;q=0", "application/json;q=0, */*", "*/*;q=0", "application/*;q=0.000"),
    *("application/json;q=nan", "application/json;q=-1", "garbage", ";;;", "json", "*"),
    *("application", "/", "\xff", "a" * 10_000, "," * 10_000),
]


@for_each("template", READ)
def test_accept_with_json_returns_json(alice: User, at: At, template: str) -> None:
    for accept in WITH_JSON:
        response = alice.get(at(template), headers={"accept": accept})

        assert response.status_code == 200, accept
        assert response.headers["content-type"] == "application/json", accept


@for_each("template", READ)
def test_accept_without_json_returns_406(alice: User, at: At, template: str) -> None:
    for accept in WITHOUT_JSON:
        response = alice.get(at(template), headers={b"accept": accept.encode("latin-1")})

        assert_refused(response, 406, "not-acceptable")


def test_request_with_an_unacceptable_response_does_nothing(alice: User, task: Task) -> None:
    choosy = {"accept": "text/html"}

    responses = [
        alice.post(alice.tasks, json={"title": "x"}, headers=choosy),
        alice.put(task.url, json={"title": "x"}, headers=choosy),
        alice.patch(f"{task.url}/complete", headers=choosy),
    ]

    for response in responses:
        assert_refused(response, 406, "not-acceptable")
    assert alice.get(alice.tasks).json() == [task.document]


def test_delete_ignores_accept(alice: User, task: Task) -> None:
    response = alice.delete(task.url, headers={"accept": "text/html"})

    assert response.status_code == 204
    assert {"content-type", "content-length", "transfer-encoding"}.isdisjoint(response.headers)


@for_each("template", TEMPLATES)
def test_unknown_path_returns_404(alice: User, task: Task, at: At, template: str) -> None:
    for change in ("{}/", "/{}", "{}//", "{}/x", "{}%2F", "{}%00", "{};a=b", "{}%20"):
        path = change.format(at(template))

        for method in ("GET", "DELETE"):
            assert alice.request(method, path).status_code in (404, 405, 422), path

    assert alice.get(task.url).json() == task.document


@for_each(
    "path",
    [
        *("/", "//", "/api", "/api/", "/API/{user}/tasks", "/api//tasks", "/api/{user}//tasks"),
        *("/api/{user}/tasks%2F{task}", "/api%2F{user}/tasks", "/docs/"),
        *("/api/{user}/tasks/%2E%2E/tasks", "/api/{user}/tasks/{task}/COMPLETE", "/health"),
        *("/api/{user}\\tasks", "/api/{user}/tasks/", "/docs/docs.js/"),
        *("/docs/..%2F..%2Fetc/passwd", "/docs/%2E%2E/%2E%2E/etc/passwd", "/openapi.json/"),
        "/" + "a/" * 20_000,
    ],
)
def test_only_the_paths_of_the_contract_are_served(alice: User, task: Task, path: str) -> None:
    filled = path.replace("{user}", alice.id).replace("{task}", task.document["id"])
    url = httpx.URL(alice.base_url, raw_path=filled.encode())

    response = http.request("GET", url, follow_redirects=False)

    allowed = {"/": [307], "/api/{user}\\tasks": [405]}
    assert response.status_code in allowed.get(path, [404, 422])


def test_percent_encoded_letter_means_the_letter(alice: User, task: Task) -> None:
    encoded = re.sub("t", "%74", task.url)

    assert alice.get(encoded).json() == task.document


def test_unknown_path_has_its_own_problem_type(alice: User) -> None:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
        assert_refused(alice.request(method, "/nowhere"), 404, "unknown-path")


def test_every_problem_has_a_request_id_of_its_own(alice: User) -> None:
    ids = {alice.get("/nowhere").json()["request_id"] for _ in range(10)}

    assert len(ids) == 10
