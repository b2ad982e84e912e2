"""Bodies of requests: which are accepted, and how the others are refused."""

import gzip
from typing import Any

import httpx

from tests.support.cases import for_each
from tests.support.contract import assert_refused
from tests.support.responses import assert_faults
from tests.support.users import Task, User

BODY = b'{"title":"Buy milk"}'
JSON = "application/json"


def creation(user: User, content: bytes, **headers: str) -> httpx.Response:
    """Send this as the body of a new task, as JSON unless the headers say otherwise."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return user.post(user.tasks, content=content, headers={"content-type": JSON, **named})


@for_each(
    "content_type",
    [
        "application/json",
        "APPLICATION/JSON",
        "Application/Json ; Charset=UTF-8",
        "application/json;charset=utf-8",
        'application/json; charset="utf-8"',
        "application/json; charset=utf8",
        "application/json; version=1",
    ],
)
def test_json_media_type_is_accepted_in_any_spelling(alice: User, content_type: str) -> None:
    response = creation(alice, BODY, content_type=content_type)

    assert response.status_code == 201
    assert response.json()["title"] == "Buy milk"


@for_each(
    "content_type",
    [
        "",
        "json",
        "text/plain",
        "text/json",
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json-patch+json",
        "application/problem+json",
        "application/json, text/plain",
        "*/*",
        "application/json; charset=latin-1",
        "application/json; charset=utf-16",
        "application/json; charset=klingon",
        "application/json; charset=",
        "application/json; charset=utf-7",
    ],
)
@for_each("body", [BODY, b'{"title":""}', b"\xff"])
def test_other_media_type_returns_415(alice: User, content_type: str, body: bytes) -> None:
    response = creation(alice, body, content_type=content_type)

    assert_refused(response, 415, "unsupported-media-type")
    assert alice.get(alice.tasks).json() == []


def test_body_without_media_type_returns_415(alice: User, task: Task) -> None:
    assert_refused(alice.post(alice.tasks, content=BODY), 415, "unsupported-media-type")
    assert_refused(alice.put(task.url, content=BODY), 415, "unsupported-media-type")


@for_each("encoding", ["gzip", "br", "identity", "x", ""])
def test_encoded_body_returns_415(alice: User, encoding: str) -> None:
    response = creation(alice, gzip.compress(BODY), content_encoding=encoding)

    assert_refused(response, 415, "unsupported-media-type")


@for_each(
    "body",
    [
        b" \r\n\t ",
        b"\xef\xbb\xbf" + BODY,
        BODY.decode().encode("utf-16"),
        BODY + b"x",
        BODY + BODY,
        BODY + b"\0",
        b"{",
        b'{"title":"a"',
        b'{"title":"a",}',
        b"{'title':'a'}",
        b'{title:"a"}',
        b'{"title":"a"/* comment */}',
        b'{"title":"\xff"}',
        b'{"title":"\xc0\xaf"}',
        b'{"title":"\xed\xa0\x80"}',
        b'{"title":"a\0"}',
        b'{"title":"a\nb"}',
        b'{"title":"\\x"}',
        b'{"title":"\\ud800"}',
        b'{"title":"\\udc00\\ud800"}',
        b'{"\\ud800":"a"}',
        b'{"title":NaN}',
        b'{"title":Infinity}',
        b'{"title":-Infinity}',
        b'{"title":01}',
        b'{"title":+1}',
        b'{"title":1.}',
        b'{"title":' + b"9" * 5000 + b"}",
        b'{"title":-' + b"9" * 5000 + b"}",
        b"[" * 60_000,
        b"[" * 30_000 + b"]" * 30_000,
        b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
        b'{"title":"a","title":"b"}',
        b'{"title":"a","t\\u0069tle":"b"}',
        b'{"title":{"a":1,"b":2,"a":3}}',
        b'{"title":[{"a":1,"a":1}]}',
        b'{"' + b"k" * 400_000 + b'":1,"' + b"k" * 400_000 + b'":2}',
        b"x" * 60_000,
        b'"' * 60_000,
        b"\xff" * 60_000,
    ],
    ids=lambda body: repr(body[:30]),
)
def test_malformed_json_returns_400(alice: User, body: bytes) -> None:
    problem = assert_refused(creation(alice, body), 400, "malformed-request")

    assert problem["detail"].startswith("The body is not valid JSON")
    assert alice.get(alice.tasks).json() == []


@for_each(
    "value",
    [
        *(b"null", b"true", b"[]", b"{}", b'["a"]', b"1", b"1.0", b"-0", b"1e999", b"-1e999"),
        *(b"1e-999999999", b"9" * 20, b"9" * 4000, b"1." + b"1" * 60_000),
        *(b"[" * 150 + b"]" * 150, b'"' + b"a" * 256 + b'"', b'"' + b"a" * 900_000 + b'"'),
        *(b'""', b'"a\\u0000b"', b"[" + b"1," * 30_000 + b"1]"),
    ],
    ids=lambda value: repr(value[:30]),
)
def test_invalid_title_is_a_fault_of_the_title(alice: User, value: bytes) -> None:
    response = creation(alice, b'{"title":' + value + b"}")

    assert_refused(response, 422, "invalid-request")
    assert_faults(response, "/title")


@for_each(
    "body",
    [
        b"[" + b"0," * 33_000 + b"0]",
        b'{"title":[' + b'"a\\"",' * 66_000 + b"0]}",
        b"[" * 66_000,
        b"x" * 66_000,
        b'"' * 1_000_000,
        b"9" * 66_000,
    ],
    ids=lambda body: repr(body[:30]),
)
def test_body_with_over_64_kib_of_syntax_returns_413(alice: User, body: bytes) -> None:
    problem = assert_refused(creation(alice, body), 413, "body-too-large")

    assert problem["detail"] == "Outside strings and spaces, a body may have at most 65,536 bytes."


@for_each("title", ["," * 255, '"' * 255, "\\" * 255, '\\",{[' * 51, "{}[]:," * 40])
def test_syntax_within_strings_is_not_counted(alice: User, title: str) -> None:
    operations = [{"op": "create", "title": title, "description": '{"a\\":1},' * 200}] * 100

    response = alice.post(f"{alice.tasks}/batch", json={"operations": operations})

    assert response.status_code == 200
    assert response.json()["results"][99]["task"]["title"] == title


def test_white_space_between_values_is_not_counted(alice: User) -> None:
    body = b'{"title":' + b" \r\n\t" * 100_000 + b'"Buy milk"}'

    assert creation(alice, body).status_code == 201


@for_each("value", [b"1", b"0", b"1.0", b'"true"', b"null", b"[]", b"9" * 4000])
def test_boolean_is_true_or_false_and_nothing_else(alice: User, value: bytes) -> None:
    assert_faults(creation(alice, b'{"title":"a","completed":' + value + b"}"), "/completed")


@for_each("body", [b"null", b"[]", b'"title"', b"1", b"true", b"9" * 4000, b"1e999"])
def test_body_that_is_no_object_is_a_fault_of_the_body(
    alice: User, task: Task, body: bytes
) -> None:
    updated = alice.put(task.url, content=body, headers={"content-type": JSON})

    assert_faults(creation(alice, body), "")
    assert_faults(updated, "")


@for_each("method", ["POST", "PUT"])
def test_missing_body_returns_422(alice: User, task: Task, method: str) -> None:
    url = alice.tasks if method == "POST" else task.url

    bare = alice.request(method, url)
    typed = alice.request(method, url, headers={"content-type": JSON})

    assert_refused(bare, 422, "invalid-request")
    assert_faults(bare, "")
    assert_faults(typed, "")


@for_each(("method", "path"), [("GET", ""), ("HEAD", ""), ("DELETE", ""), ("PATCH", "/complete")])
@for_each("body", [BODY, b"x", b"{}"])
def test_body_of_an_operation_without_body_is_refused(
    alice: User, task: Task, method: str, path: str, body: bytes
) -> None:
    response = alice.request(method, task.url + path, content=body)

    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert alice.get(task.url).json() == task.document


def test_empty_body_is_no_body(alice: User, task: Task) -> None:
    response = alice.request("DELETE", task.url, headers={"content-length": "0"})

    assert response.status_code == 204


@for_each("name", ["", "/", "~", "a/b~c", "\0", "é", "__proto__", "Title", "title "])
def test_unknown_field_is_named_by_a_pointer(alice: User, name: str) -> None:
    response = alice.post(alice.tasks, json={"title": "a", name: 1})

    assert_refused(response, 422, "invalid-request")
    assert_faults(response, "/" + name.replace("~", "~0").replace("/", "~1"))


@for_each("length", [1, 20, 300, 3000])
@for_each("filler", ["n", "~", "é", "😀", "\x01"])
def test_ten_thousand_faults_make_a_short_document(alice: User, filler: str, length: int) -> None:
    count = min(10_000, 900_000 // (length * len(str([filler]))))
    body: dict[str, Any] = {f"{filler * length}{number}": 1 for number in range(count)}

    response = alice.post(alice.tasks, json=body)

    problem = assert_refused(response, 422, "invalid-request")
    assert len(problem["errors"]) == min(count + 1, 100)
    assert len(response.content) < 50_000
