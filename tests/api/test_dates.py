"""Days and moments of tasks; what holds of every field is elsewhere."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.responses import assert_faults
from tests.support.users import Task, User

DAY, MOMENT = "2026-01-31", "2026-01-31T17:00:00.000000Z"
WRITES = ["POST", "PUT", "PATCH", "create", "update"]


def written(user: User, way: str, fields: dict[str, Any], **before: Any) -> Any:
    """The response to a write of the fields: of a new task, or of one with other fields before."""
    if way in ("POST", "create"):
        body = {"title": "x", **fields}
        if way == "POST":
            return user.post(user.tasks, json=body)
        return user.post(f"{user.tasks}/batch", json={"operations": [{"op": way, **body}]})
    task = user.creates(**before)
    if way in ("PUT", "PATCH"):
        kind = "application/merge-patch+json" if way == "PATCH" else "application/json"
        return user.request(way, task.url, json=fields, headers={"Content-Type": kind})
    operation = {"op": way, "id": task.document["id"], **fields}
    return user.post(f"{user.tasks}/batch", json={"operations": [operation]})


def task_in(response: Any) -> Any:
    assert response.is_success, response.text
    document = response.json()
    return document["results"][0]["task"] if "results" in document else document


def prefix(way: str) -> str:
    return "/operations/0" if way in ("create", "update") else ""


@pytest.mark.parametrize("way", WRITES)
def test_a_day_and_a_moment_at_once_are_refused(alice: User, way: str) -> None:
    response = written(alice, way, {"due_on": DAY, "due_at": MOMENT})

    assert_faults(response, f"{prefix(way)}/due_at")
    [fault] = response.json()["errors"]
    assert fault["detail"] == "this field does not go together with due_on"


@pytest.mark.parametrize("way", ["PUT", "PATCH", "update"])
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


@pytest.mark.parametrize("way", WRITES)
@pytest.mark.parametrize(
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


@pytest.mark.parametrize(
    "way", ["toggle", "PUT", "PATCH", "toggle in a batch", "update in a batch"]
)
def test_a_task_is_completed_at_the_time_of_the_change(alice: User, way: str) -> None:
    done = task_in(complete(alice, alice.creates(), way))

    assert done["completed"]
    assert done["completed_at"] == done["updated_at"] > done["created_at"]
    assert alice.get(f"{alice.tasks}/{done['id']}").json() == done


@pytest.mark.parametrize("way", ["POST", "create"])
def test_a_new_task_can_be_completed(alice: User, way: str) -> None:
    done = task_in(written(alice, way, {"completed": True}))
    still_open = task_in(written(alice, way, {"completed": False}))

    assert done["completed_at"] == done["created_at"]
    assert still_open["completed_at"] is None


@pytest.mark.parametrize("way", ["PUT", "PATCH", "update"])
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


@pytest.mark.parametrize("way", WRITES)
def test_clients_do_not_set_when_it_was_completed(alice: User, way: str) -> None:
    assert_faults(written(alice, way, {"completed_at": MOMENT}), f"{prefix(way)}/completed_at")
