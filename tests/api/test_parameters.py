"""Parameters in the path and the query: their values, and how invalid ones are refused."""

from tests.support.cases import for_each
from tests.support.contract import assert_refused
from tests.support.responses import assert_faults, assert_problem
from tests.support.users import Task, User

NO_INTEGERS = [
    *("", "1_0", "%205", "5%20", "+5", "%2B5", "5.0", "5.", "0x5", "05", "1e1", "1,2", "five"),
    *("nan", "inf", "-Infinity", "null", "true", "-", "--1", "5%00", "5%0A", "%EF%BB%BF5"),
    *("%D9%A5", "%E0%A5%AB", "%EF%BC%95", "%C2%B2", "%E2%91%A4"),  # digits of other scripts
]


@for_each("text", NO_INTEGERS)
@for_each("name", ["limit", "offset"])
def test_invalid_integer_returns_422(alice: User, name: str, text: str) -> None:
    response = alice.get(f"{alice.tasks}?{name}={text}")

    assert_refused(response, 422, "invalid-request")
    assert_faults(response, name)


@for_each(
    "query",
    [
        *("limit=0", "limit=-1", "limit=101", "limit=-0", "offset=-1", "offset=2147483648"),
        *("limit=" + "9" * 31, "limit=" + "9" * 5000, "offset=-" + "9" * 5000),
        *("limit=4294967297", "limit=18446744073709551617", "offset=9223372036854775808"),
    ],
)
def test_integer_beyond_its_bounds_returns_422(alice: User, query: str) -> None:
    response = alice.get(f"{alice.tasks}?{query}")

    assert_refused(response, 422, "invalid-request")
    assert_faults(response, query.partition("=")[0])


@for_each("query", ["limit=1", "limit=100", "offset=0", "offset=2147483647", "?"])
def test_integer_at_its_bounds_is_accepted(alice: User, query: str) -> None:
    assert alice.get(f"{alice.tasks}?{query.strip('?')}").status_code == 200


@for_each(
    "text", ["", "True", "TRUE", "1", "0", "yes", "on", "null", "true%20", "%00", "truefalse"]
)
def test_invalid_boolean_returns_422(alice: User, text: str) -> None:
    assert_faults(alice.get(f"{alice.tasks}?completed={text}"), "completed")


@for_each("query", ["limit=1&limit=2", "limit=1&limit=1", "limit=1&%6Cimit=2", "limit=0&limit=x"])
def test_repeated_parameter_returns_422(alice: User, query: str) -> None:
    response = alice.get(f"{alice.tasks}?{query}")

    assert_refused(response, 422, "invalid-request")
    assert_faults(response, "limit")


@for_each(
    ("query", "name"),
    [
        *[("x=1", "x"), ("x", "x"), ("=1", ""), ("&", ""), ("limit=1&", ""), ("Limit=1", "Limit")],
        *[("limit%00=1", "limit\0"), ("limit[]=1", "limit[]"), ("%C3%A9=1", "é"), ("a+b", "a b")],
        *[("user_id=1", "user_id"), ("limit;offset=1", "limit;offset"), ("body=1", "body")],
        (("n" * 5000) + "=1", "n" * 200),
    ],
)
def test_unknown_parameter_is_named(alice: User, query: str, name: str) -> None:
    response = alice.get(f"{alice.tasks}?{query}")

    assert_refused(response, 422, "invalid-request")
    assert_faults(response, name)


@for_each("method", ["POST", "GET", "PUT", "DELETE", "PATCH", "HEAD"])
def test_operation_without_parameters_refuses_any(alice: User, task: Task, method: str) -> None:
    url = {"POST": alice.tasks, "PATCH": f"{task.url}/complete"}.get(method, task.url)
    body = {"title": "x"} if method in ("POST", "PUT") else None

    response = alice.request(method, f"{url}?completed=true", json=body)

    assert response.status_code == 422
    assert alice.get(alice.tasks).json() == [task.document]


def test_every_invalid_parameter_is_named(alice: User) -> None:
    response = alice.get("/api/me/tasks?limit=x&offset=-1&completed=1&x=1&y=2")

    assert_faults(response, "user_id", "limit", "offset", "completed", "x", "y")


def test_ten_thousand_parameters_make_a_short_document(alice: User) -> None:
    response = alice.get(f"{alice.tasks}?" + "&".join(f"p{number}" for number in range(8000)))

    problem = assert_refused(response, 422, "invalid-request")
    assert len(problem["errors"]) == 100
    assert len(response.content) < 10_000


@for_each(
    "text", ["%", "%2", "%zz", "%u0041", "%%", "%C3", "%ff", "%ED%A0%80", "%C0%AF", "%F5%80%80%80"]
)
@for_each("place", ["limit={}", "{}=1", "x={}", "limit=1&{}"])
def test_undecodable_query_returns_400(alice: User, place: str, text: str) -> None:
    response = alice.get(f"{alice.tasks}?{place.format(text)}")

    assert_refused(response, 400, "malformed-request")


@for_each("text", ["%", "%2", "%zz", "%u0041", "%%", "%C3", "%ff", "%ED%A0%80", "%C0%AF"])
@for_each("place", ["/api/{}/tasks", "/api/me/tasks/{}", "/health/{}", "/{}"])
def test_undecodable_path_returns_400(alice: User, place: str, text: str) -> None:
    assert_problem(alice.get(place.format(text)), 400, "malformed-request")


@for_each(
    "wrong",
    [
        *("me", "0", "9" * 5000, "%00", "%20{}", "{}%20", "{}%00", "{}%0A", "{}x", "%7B{}%7D"),
        *("urn:uuid:{}", "{}{}", "None", "null", "*", "%27--", "%D9%A5", "é", "%2E", "%2E%2E"),
        *("00000000-0000-0000-0000-00000000000g", "0000000-00000-0000-0000-000000000000"),
        "%EF%BC%90" * 8 + "-0000-0000-0000-000000000000",
    ],
)
@for_each("method", ["GET", "DELETE", "PUT"])
def test_malformed_uuid_is_a_fault_or_an_unknown_path(
    alice: User, task: Task, method: str, wrong: str
) -> None:
    body = {"title": "x"} if method == "PUT" else None
    text = wrong.replace("{}", task.document["id"])

    response = alice.request(method, f"{alice.tasks}/{text}", json=body)

    assert response.status_code in (404, 405, 422)
    assert alice.get(task.url).json() == task.document


@for_each("form", ["{hex}", "%7B{id}%7D", "urn:uuid:{id}", "{id}0", "{id}%00", "x"])
def test_uuid_has_36_characters(alice: User, task: Task, form: str) -> None:
    identifier = task.document["id"]
    text = form.format(id=identifier, hex=identifier.replace("-", ""))

    response = alice.get(f"{alice.tasks}/{text}")

    assert_refused(response, 422, "invalid-request")
    assert_faults(response, "task_id")


@for_each("version", ["0000", "1000", "4000", "7000", "f000"])
def test_uuid_of_any_version_is_accepted(alice: User, version: str) -> None:
    response = alice.get(f"{alice.tasks}/00000000-0000-{version}-0000-000000000000")

    assert_refused(response, 404, "task-not-found")


def test_more_than_ten_thousand_parameters_return_400(alice: User) -> None:
    response = alice.get(alice.tasks + "?" + "&" * 10_000)

    assert_refused(response, 400, "malformed-request")
