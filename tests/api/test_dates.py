"""Days and moments of tasks; what holds of every field is elsewhere."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from tests.support.cases import for_each
from tests.support.databases import administration
from tests.support.responses import assert_faults
from tests.support.users import Task, User, followed
from tests.support.writes import WRITES, prefix, task_in, written

DAY, MOMENT = "2026-01-31", "2026-01-31T17:00:00.000000Z"
JSON = {"Content-Type": "application/json"}


@for_each("way", WRITES)
def test_a_day_and_a_moment_at_once_are_refused(alice: User, way: str) -> None:
    response = written(alice, way, {"due_on": DAY, "due_at": MOMENT})

    assert_faults(response, f"{prefix(way)}/due_at")
    [fault] = response.json()["errors"]
    assert fault["detail"] == "this field does not go together with due_on"


@for_each("body", [[], "x", None])
def test_a_body_that_is_no_object_has_one_fault(alice: User, body: object) -> None:
    errors = alice.post(alice.tasks, content=orjson.dumps(body), headers=JSON).json()["errors"]

    assert [(each["pointer"], "object" in each["detail"]) for each in errors] == [("", True)]


@for_each("way", ["PUT", "PATCH", "update"])
def test_a_day_replaces_a_moment_and_a_moment_a_day(alice: User, way: str) -> None:
    on = task_in(written(alice, way, {"due_on": DAY}, due_at=MOMENT))
    at = task_in(written(alice, way, {"due_at": MOMENT, "due_on": None}, due_on=DAY))
    kept = task_in(written(alice, way, {"due_at": None}, due_on=DAY))
    none = task_in(written(alice, way, {"due_at": None, "due_on": None}, due_on=DAY))

    assert (on["due_on"], on["due_at"]) == (DAY, None)
    assert (at["due_on"], at["due_at"]) == (None, MOMENT)
    assert (kept["due_on"], kept["due_at"]) == (DAY, None)
    assert (none["due_on"], none["due_at"]) == (None, None)


@pytest.mark.parametrize("way", WRITES)
@pytest.mark.parametrize(
    ("before", "changes", "due"),
    [
        ({}, {"due_on": DAY}, "2026-01-31T00:00:00Z"),
        ({"due_on": "2020-02-29"}, {"due_at": MOMENT, "due_on": None}, MOMENT),
        ({"due_at": MOMENT}, {"due_on": DAY, "due_at": None}, "2026-01-31T00:00:00Z"),
        ({"due_at": MOMENT}, {"due_at": None}, None),
    ],
)
def test_a_due_that_is_written_in_any_way_is_found(
    alice: User, way: str, before: dict[str, Any], changes: dict[str, Any], due: str | None
) -> None:
    task_in(written(alice, way, changes, **before))

    found = [
        alice.get(alice.tasks, params=params).json() != []
        for params in ({"has_due": True}, {"due_after": due or MOMENT, "sort": "due"})
    ]
    assert found == [due is not None] * 2
    assert not due or alice.get(alice.tasks, params={"due_before": due}).json() == []


@for_each("way", WRITES)
@for_each(
    ("sent", "shown"),
    [
        ("2026-01-31T17:00:00Z", MOMENT),
        ("2026-01-31T22:30:00+05:30", MOMENT),
        ("2026-01-31T17:00:00-00:00", MOMENT),
        ("2026-02-01T16:59:00+23:59", MOMENT),
        ("2025-12-31T23:59:59.5-23:59", "2026-01-01T23:58:59.500000Z"),
        ("2026-01-31T17:00:00.123456999Z", "2026-01-31T17:00:00.123456Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
        ("0002-01-01T00:00:00+23:59", "0001-12-31T00:01:00.000000Z"),
        ("9998-12-31T23:59:59.999999999-23:59", "9999-01-01T23:58:59.999999Z"),
        ("9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_a_moment_of_any_offset_is_stored_in_utc(
    alice: User, way: str, sent: str, shown: str
) -> None:
    task = task_in(written(alice, way, {"due_at": sent}))

    assert task["due_at"] == shown
    assert alice.get(f"{alice.tasks}/{task['id']}").json() == task


@for_each("way", WRITES)
@for_each(
    ("name", "value"),
    [
        *(("due_on", day) for day in ["2026-02-29", "0000-01-01", "2026-1-1", "20260101", ""]),
        *(("start_on", day) for day in [MOMENT, "2026-13-01", 20260101]),
        *(
            ("due_at", f"2026-01-31T{time}")
            for time in ["17:00:00", "17:00Z", "24:00:00Z", "17:00:00+24:00", "17:00:00+02"]
        ),
        ("due_at", "2016-12-31T23:59:60Z"),
        ("due_at", "2026-01-31t17:00:00z"),
        ("due_at", "2026-01-31T17:00:00.1234567890Z"),
        ("due_at", "0000-01-01T00:00:00Z"),
        ("due_at", "0001-01-01T00:00:00+00:01"),
        ("due_at", "9999-12-31T23:59:59-00:01"),
        ("due_at", DAY),
    ],
)
def test_what_is_no_date_is_refused_with_its_place(
    alice: User, way: str, name: str, value: object
) -> None:
    assert_faults(written(alice, way, {name: value}), f"{prefix(way)}/{name}")


# Completion


def complete(user: User, task: Task, way: str) -> Any:
    """The response to a request that completes the task."""
    if way == "toggle":
        return user.patch(f"{task.url}/complete")
    if way == "PUT":
        return user.put(task.url, json={"completed": True})
    if way == "PATCH":
        return user.patch(task.url, json={"completed": True})
    about = {"id": task.document["id"]}
    operation = {
        "toggle in a batch": {"op": "toggle", **about},
        "update in a batch": {"op": "update", **about, "completed": True},
    }[way]
    return user.post(f"{user.tasks}/batch", json={"operations": [operation]})


@for_each("way", ["toggle", "PUT", "PATCH", "toggle in a batch", "update in a batch"])
def test_a_task_is_completed_at_the_time_of_the_change(alice: User, way: str) -> None:
    done = task_in(complete(alice, alice.creates(), way))

    assert done["completed"]
    assert done["completed_at"] == done["updated_at"] > done["created_at"]
    assert alice.get(f"{alice.tasks}/{done['id']}").json() == done


@for_each("way", ["POST", "create"])
def test_a_new_task_can_be_completed(alice: User, way: str) -> None:
    done = task_in(written(alice, way, {"completed": True}))
    still_open = task_in(written(alice, way, {"completed": False}))

    assert done["completed_at"] == done["created_at"]
    assert still_open["completed_at"] is None


@for_each("way", ["PUT", "PATCH", "update"])
def test_only_a_change_of_completed_changes_when_it_was_completed(alice: User, way: str) -> None:
    for fields in ({"title": "y"}, {"completed": True}):
        done = task_in(written(alice, way, fields, completed=True))
        assert done["completed_at"] == done["created_at"] < done["updated_at"]
    reopened = task_in(written(alice, way, {"completed": False}, completed=True))
    assert reopened["completed_at"] is None


def test_a_task_keeps_when_it_was_completed_in_the_trash(alice: User) -> None:
    task = alice.creates(completed=True)
    alice.delete(task.url)
    [in_trash] = alice.get(alice.trash).json()
    restored = alice.post(f"{task.url}/restore").json()

    assert in_trash["completed_at"] == restored["completed_at"] == task.document["completed_at"]
    assert datetime.fromisoformat(restored["completed_at"]) < datetime.now(UTC)


@for_each("way", WRITES)
def test_clients_do_not_set_when_it_was_completed(alice: User, way: str) -> None:
    assert_faults(written(alice, way, {"completed_at": MOMENT}), f"{prefix(way)}/completed_at")


# Lists


def titles(user: User, **params: Any) -> list[str]:
    return [task["title"] for task in user.get(user.tasks, params=params).json()]


@pytest.fixture
def dated(alice: User) -> User:
    """Alice, with tasks that are due on days, at moments, and not at all."""
    for title, fields in {
        "noon": {"due_at": "2026-01-31T13:00:00+01:00"},
        "never": {},
        "day": {"due_on": DAY},
        "evening before": {"due_at": "2026-01-31T01:30:00+02:00"},
        "day after": {"due_on": "2026-02-01"},
    }.items():
        alice.creates(title, **fields)
    return alice


def test_a_day_is_due_at_its_beginning_in_utc(dated: User) -> None:
    ascending = ["evening before", "day", "noon", "day after"]

    assert titles(dated, sort="due") == [*ascending, "never"]
    assert titles(dated, sort="-due") == [*ascending[::-1], "never"]


def test_tasks_due_within_a_time_are_those_from_its_beginning_to_before_its_end(
    dated: User,
) -> None:
    window = {"due_after": "2026-01-31T01:00:00+01:00", "due_before": "2026-02-01T00:00:00Z"}

    assert titles(dated, sort="due", **window) == ["day", "noon"]
    assert titles(dated, **window) == ["day", "noon"]
    assert titles(dated, sort="due", due_before="0001-01-01T00:00:00Z") == []
    assert titles(dated, has_due=False) == titles(dated, has_due=False, sort="due") == ["never"]
    assert titles(dated, has_due=False, sort="due", due_after="0001-01-01T00:00:00Z") == []


def test_a_link_keeps_the_offset_of_a_filter(dated: User) -> None:
    moment = "2026-01-01T00:00:00+02:00"
    first = dated.get(dated.tasks, params={"due_after": moment, "limit": 3})

    second = dated.get(first.links["next"]["url"])

    assert [len(first.json()), len(second.json())] == [3, 1]


def test_completed_since_and_updated_since_have_the_tasks_of_that_change_and_later_ones(
    alice: User,
) -> None:
    tasks = [alice.creates(str(number)) for number in range(3)]
    done = [alice.patch(f"{task.url}/complete").json() for task in tasks]
    alice.put(tasks[0].url, json={"description": "y"})
    alice.patch(f"{tasks[2].url}/complete")
    since = done[1]["completed_at"]

    assert titles(alice, completed_since=since) == ["1"]
    assert titles(alice, updated_since=since, sort="updated_at") == ["1", "0", "2"]
    assert titles(alice, completed_since=done[0]["completed_at"]) == ["1", "0"]


@pytest.mark.parametrize("sort", ["due", "-due"])
def test_tasks_without_a_date_are_found_behind_many_with_one(
    alice: User, database_url: str, sort: str
) -> None:
    """A page scans a thousand tasks: of those without a date, it scans the others as well."""
    never = [alice.creates(str(number)).document for number in range(3)]
    with administration(database_url) as execute:
        execute(
            "INSERT INTO tasks (user_id, id, title, revision, due_on)"
            f" SELECT '{alice.id}', gen_random_uuid(), 'x', n, date '2026-01-01' + n % 7"
            " FROM generate_series(1, 2500) n"
        )
    first = alice.get(alice.tasks, params={"sort": sort, "limit": 2, "has_due": False})
    pages = list(followed(alice, first, most=49))
    back = list(followed(alice, pages[-1], "prev", most=49))[1:]

    found = [task["id"] for page in pages for task in page.json()]
    assert found == sorted((task["id"] for task in never), reverse=sort.startswith("-"))
    before = found[: len(found) - len(pages[-1].json())]
    assert [task["id"] for page in reversed(back) for task in page.json()] == before


@pytest.mark.parametrize("sort", ["due", "-due"])
def test_a_list_ends_after_the_tasks_without_a_date_behind_many_with_one(
    alice: User, database_url: str, sort: str
) -> None:
    alice.creates("never")
    with administration(database_url) as execute:
        execute(
            "INSERT INTO tasks (user_id, id, title, revision, due_on)"
            f" SELECT '{alice.id}', gen_random_uuid(), 'x', n, date '2026-01-01' + n % 7"
            " FROM generate_series(1, 1100) n"
        )

    first = alice.get(alice.tasks, params={"sort": sort, "limit": 100})
    pages = list(followed(alice, first, most=49))

    found = [task["title"] for page in pages for task in page.json()]
    assert found == ["x"] * 1100 + ["never"]
    back = list(followed(alice, pages[-1], "prev", most=49))
    assert [task["id"] for page in reversed(back) for task in page.json()] == [
        task["id"] for page in pages for task in page.json()
    ]


@for_each("name", ["due_before", "due_after", "completed_since", "updated_since"])
@for_each("value", [DAY, "2026-01-31T17:00:00", "0001-01-01T00:00:00+00:01", "now"])
def test_what_is_no_moment_is_refused_as_a_filter(alice: User, name: str, value: str) -> None:
    assert_faults(alice.get(alice.tasks, params={name: value}), name)
