"""Tasks that recur: what they need; what holds of every field is elsewhere."""

import pytest

from db.zones import VERSION
from tests.support.responses import assert_faults
from tests.support.users import User
from tests.support.writes import WRITES, prefix, task_in, written

WEEKLY = "FREQ=WEEKLY;BYDAY=MO"
BERLIN = "Europe/Berlin"


# What is refused


@pytest.mark.parametrize("way", WRITES)
@pytest.mark.parametrize(
    ("fields", "at_fault"),
    [
        ({"recurrence": WEEKLY}, "recurrence"),
        ({"recurrence": WEEKLY, "start_on": "2026-01-31"}, "recurrence"),
        ({"recurrence": WEEKLY, "due_on": None}, "due_on"),
        ({"recurrence": WEEKLY, "due_at": "2026-01-31T09:00:00Z"}, "time_zone"),
        ({"recurrence": "FREQ=HOURLY", "due_on": "2026-01-31"}, "recurrence"),
        ({"recurrence": "FREQ=YEARLY;BYMONTH=2", "due_on": "2026-01-31"}, "recurrence"),
        ({"recurrence": WEEKLY, "due_on": "9999-12-31"}, "recurrence"),
        ({"recurrence": "FREQ=DAILY;UNTIL=20270101", "due_on": "2026-01-31"}, None),
        ({"recurrence": "FREQ=DAILY;UNTIL=20270101T000000Z", "due_on": "2026-01-31"}, "recurrence"),
        (
            {
                "recurrence": "FREQ=DAILY;UNTIL=20270101",
                "due_at": "2026-01-31T09:00:00Z",
                "time_zone": BERLIN,
            },
            "recurrence",
        ),
    ],
)
def test_a_recurrence_that_does_not_fit_the_due_is_refused_with_its_place(
    alice: User, way: str, fields: dict[str, str], at_fault: str | None
) -> None:
    response = written(alice, way, fields)

    if at_fault is None:
        assert task_in(response)["recurrence"] == fields["recurrence"]
    else:
        assert_faults(response, f"{prefix(way)}/{at_fault}")


@pytest.mark.parametrize("way", ["PUT", "PATCH", "update"])
@pytest.mark.parametrize(
    ("changes", "at_fault"),
    [
        ({"due_at": None}, "due_at"),
        ({"due_at": None, "due_on": None}, "due_on"),
        ({"time_zone": None}, "time_zone"),
        ({"due_on": "2026-01-31"}, "recurrence"),
        ({"due_at": "9999-12-31T00:00:00Z"}, "recurrence"),
        ({"title": "y"}, None),
        ({"due_at": "2026-02-01T09:00:00Z"}, None),
        ({"due_at": None, "recurrence": None}, None),
    ],
)
def test_a_task_that_recurs_keeps_what_that_needs(
    alice: User, way: str, changes: dict[str, str | None], at_fault: str | None
) -> None:
    response = written(
        alice,
        way,
        changes,
        recurrence="FREQ=DAILY;UNTIL=20270101T000000Z",
        due_at="2026-01-31T09:00:00Z",
        time_zone=BERLIN,
    )

    if at_fault is None:
        task = task_in(response)
        assert {name: task[name] for name in changes} | {"due_at": task["due_at"]} == {
            "due_at": "2026-01-31T09:00:00.000000Z",
            **{
                name: value and value.replace("00Z", "00.000000Z")
                for name, value in changes.items()
            },
        }
    else:
        assert_faults(response, f"{prefix(way)}/{at_fault}")


def test_a_refusal_says_what_is_wrong(alice: User) -> None:
    body = {"title": "x", "due_on": "2026-01-31", "recurrence": "FREQ=DAILY;BYHOUR=9"}

    [fault] = alice.post(alice.tasks, json=body).json()["errors"]

    assert fault["detail"] == "This is no recurrence rule: BYHOUR is not supported."


def test_a_time_zone_needs_no_recurrence(alice: User) -> None:
    task = task_in(written(alice, "POST", {"time_zone": BERLIN, "recurs_from": "completion"}))

    assert (task["time_zone"], task["recurs_from"]) == (BERLIN, "completion")
    assert task["series_id"] is None


# Series


@pytest.mark.parametrize("way", WRITES)
def test_a_task_that_recurs_begins_a_series(alice: User, way: str) -> None:
    task = task_in(written(alice, way, {"recurrence": WEEKLY, "due_on": "2026-01-31"}))
    url = f"{alice.tasks}/{task['id']}"

    assert task["series_id"] == task["id"]
    assert alice.put(url, json={"recurrence": None}).json()["series_id"] == task["id"]


def test_clients_cannot_set_the_series(alice: User) -> None:
    for way in WRITES:
        response = written(alice, way, {"series_id": alice.id})
        assert_faults(response, f"{prefix(way)}/series_id")


def test_readiness_tells_the_release_of_the_time_zones(alice: User) -> None:
    assert alice.get("/health/ready").json() == {"status": "ok", "time_zones": VERSION}
