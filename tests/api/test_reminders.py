"""Reminders: what they need, when they fall due, and how they follow a task."""

from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.support.databases import query_as_owner
from tests.support.feed import Copy, tasks_of
from tests.support.races import Servers, race
from tests.support.responses import assert_faults
from tests.support.users import User
from tests.support.writes import WRITES, prefix, task_in, written

BERLIN = "Europe/Berlin"
HALF_AN_HOUR = [{"before": "PT30M"}]
AT_NOON = [{"at": "2026-01-31T12:00:00.000000Z"}]
DUE = "2026-01-31T17:00:00Z"


def listed(user: User, **params: Any) -> list[tuple[str, str]]:
    """The reminders of the user: the time and the title of the task."""
    response = user.get(f"/api/{user.id}/reminders", params=params)
    assert response.status_code == 200, response.text
    return [(each["at"].removesuffix(":00.000000Z"), each["title"]) for each in response.json()]


def times(user: User) -> list[str]:
    return [at for at, _ in listed(user)]


def rows(database_url: str, user: User) -> int:
    statement = "SELECT count(*) FROM task_reminders WHERE user_id = %s"
    [count] = query_as_owner(database_url, statement, user.id)
    return int(count)


# What is refused


@pytest.mark.parametrize("way", WRITES)
def test_what_is_no_reminder_is_refused_with_its_place(alice: User, way: str) -> None:
    for reminders, at_fault in [
        ([{}], "/0"),
        ([{"at": DUE, "before": "PT30M"}], "/0"),
        ([{"before": "PT30M"}, {"before": "PT30M"}], "/1"),
        ([{"at": DUE}, {"at": "2026-01-31T18:00:00+01:00"}], "/1"),
        ([{"before": "PT1H"}, {"before": "PT60M"}], "/1"),
        ([{"before": "P1000D"}], "/0/before"),
        ([{"before": "P1Y"}], "/0/before"),
        ([{"before": "P"}], "/0/before"),
        ([{"before": "PT"}], "/0/before"),
        ([{"before": "-PT30M"}], "/0/before"),
        ([{"at": "2026-01-31"}], "/0/at"),
        ([{"before": f"PT{n}M"} for n in range(11)], ""),
        ([{"before": "PT30M", "x": 1}], "/0"),
        (None, ""),
    ]:
        response = written(alice, way, {"reminders": reminders, "due_at": DUE})
        places = {
            fault["pointer"].removeprefix(f"{prefix(way)}/reminders")
            for fault in response.json()["errors"]
        }
        assert at_fault in places, reminders
    assert listed(alice) == []


@pytest.mark.parametrize("way", WRITES)
def test_a_reminder_before_the_due_needs_a_due(alice: User, way: str) -> None:
    without = written(alice, way, {"reminders": [*AT_NOON, *HALF_AN_HOUR]})
    assert_faults(without, f"{prefix(way)}/reminders/1/before")

    assert task_in(written(alice, way, {"reminders": AT_NOON}))["reminders"] == AT_NOON


@pytest.mark.parametrize("way", ["PUT", "PATCH", "update"])
def test_a_due_that_reminders_need_cannot_be_removed(alice: User, way: str) -> None:
    stored = {"reminders": HALF_AN_HOUR, "due_at": DUE}

    assert_faults(written(alice, way, {"due_at": None}, **stored), f"{prefix(way)}/due_at")
    both = {"due_at": None, "reminders": AT_NOON}
    assert task_in(written(alice, way, both, **stored))["due_at"] is None
    replaced = task_in(written(alice, way, {"due_on": "2026-02-01"}, **stored))
    assert replaced["reminders"] == HALF_AN_HOUR


# When they fall due


@pytest.mark.parametrize(
    ("fields", "before", "expected"),
    [
        ({"due_at": "2026-01-31T17:00:00Z"}, "PT30M", "2026-01-31T16:30"),
        ({"due_at": "2026-01-31T17:00:00Z"}, "PT0S", "2026-01-31T17:00"),
        ({"due_at": "2026-01-31T17:00:00Z"}, "P1DT1H", "2026-01-30T16:00"),
        ({"due_at": "2026-01-31T17:00:00Z"}, "PT99999M", "2025-11-23T06:21"),
        ({"due_on": "2026-01-31"}, "PT0M", "2026-01-31T09:00"),
        ({"due_on": "2026-01-31", "time_zone": BERLIN}, "PT0M", "2026-01-31T08:00"),
        ({"due_on": "2026-07-31", "time_zone": BERLIN}, "P2W", "2026-07-17T07:00"),
        # Clocks are set forward on the 29th, at two o'clock: a day is not 24 hours.
        ({"due_on": "2026-03-29", "time_zone": BERLIN}, "P1D", "2026-03-28T08:00"),
        ({"due_on": "2026-03-29", "time_zone": BERLIN}, "PT24H", "2026-03-28T07:00"),
        ({"due_at": "2026-03-29T07:00:00Z", "time_zone": BERLIN}, "P1D", "2026-03-28T08:00"),
        # The second of two times of the same name: an exact duration counts from there.
        ({"due_at": "2026-10-25T01:30:00Z", "time_zone": BERLIN}, "PT1H", "2026-10-25T00:30"),
        ({"due_on": "0001-01-01"}, "P99W", "0001-01-01T00:00"),
        ({"due_at": "9999-12-31T23:00:00Z", "time_zone": "Asia/Tokyo"}, "PT1H", "9999-12-31T22:00"),
    ],
)
def test_a_reminder_falls_due_so_long_before_the_due(
    alice: User, fields: dict[str, str], before: str, expected: str
) -> None:
    alice.creates(**fields, reminders=[{"before": before}])

    assert times(alice) == [expected]


def test_reminders_move_with_the_due_and_the_zone_but_a_time_stays(alice: User) -> None:
    task = alice.creates(due_on="2026-01-31", reminders=[{"before": "PT1H"}, *AT_NOON])

    def changed(**fields: Any) -> list[str]:
        assert alice.patch(task.url, json=fields).status_code == 200
        return times(alice)

    assert times(alice) == ["2026-01-31T08:00", "2026-01-31T12:00"]
    assert changed(due_on="2026-02-01") == ["2026-01-31T12:00", "2026-02-01T08:00"]
    assert changed(time_zone=BERLIN) == ["2026-01-31T12:00", "2026-02-01T07:00"]
    assert changed(due_at=DUE) == ["2026-01-31T12:00", "2026-01-31T16:00"]
    assert changed(reminders=AT_NOON) == ["2026-01-31T12:00"]
    assert changed(reminders=[]) == []


def test_two_reminders_at_one_time_are_listed_once(alice: User) -> None:
    task = alice.creates(due_at=DUE, reminders=[{"before": "PT5H"}, *AT_NOON])

    assert times(alice) == ["2026-01-31T12:00"]
    alice.patch(task.url, json={"reminders": AT_NOON})
    assert times(alice) == ["2026-01-31T12:00"]


# What takes a task out of the list, and brings it back


def test_only_open_tasks_outside_the_trash_have_reminders_in_the_list(
    alice: User, bob: User, database_url: str
) -> None:
    of_list = alice.creates_list()
    task = alice.creates(reminders=AT_NOON, list_id=of_list.document["id"])
    bob.creates("of another user", reminders=AT_NOON)

    def after(response: httpx.Response) -> int:
        assert response.is_success, response.text
        assert len(listed(alice)) == rows(database_url, alice)
        return len(listed(alice))

    assert after(alice.patch(f"{task.url}/complete")) == 0
    assert after(alice.patch(f"{task.url}/complete")) == 1
    assert after(alice.patch(task.url, json={"completed": True})) == 0
    assert after(alice.patch(task.url, json={"completed": False})) == 1
    assert after(alice.delete(task.url)) == 0
    assert after(alice.post(f"{task.url}/restore")) == 1
    assert after(alice.delete(of_list.url)) == 0
    assert after(alice.post(f"{of_list.url}/restore")) == 1
    assert after(alice.patch(f"{task.url}/complete")) == 0
    assert after(alice.delete(alice.tasks, params={"completed": True})) == 0
    assert after(alice.post(f"{task.url}/restore")) == 0
    assert after(alice.patch(f"{task.url}/complete")) == 1
    toggled = {"op": "toggle", "id": task.document["id"]}
    batch = {"operations": [toggled, toggled, toggled]}
    assert after(alice.post(f"{alice.tasks}/batch", json=batch)) == 0
    assert after(alice.delete(f"/api/{alice.id}")) == 0


def test_a_toggle_of_a_task_with_reminders_keeps_all_else(alice: User) -> None:
    copy = Copy(alice)
    task = alice.creates(due_at=DUE, reminders=HALF_AN_HOUR)
    stale = {"If-Match": '"1"'}

    assert alice.patch(f"{task.url}/complete", headers=stale).status_code == 412
    done = alice.patch(f"{task.url}/complete", headers={"If-Match": task.etag}).json()
    again = alice.patch(f"{task.url}/complete").json()

    names = ("completed", "completed_at", "updated_at", "revision")
    assert done["completed_at"] == done["updated_at"] > task.document["updated_at"]
    assert again == {**task.document, **{name: again[name] for name in names}}
    copy.catches_up()
    assert copy.tasks == tasks_of(alice)


@pytest.mark.parametrize("before", [[], HALF_AN_HOUR])
def test_a_write_that_waits_sees_that_the_task_has_reminders_now(
    alice: User, servers: Servers, before: list[dict[str, str]]
) -> None:
    """Whichever comes first: the list has the reminder at the due of the task, if it is open."""
    task = alice.creates(due_at=DUE, reminders=before)
    copy = Copy(alice)

    race(
        alice,
        servers,
        [
            lambda: alice.put(task.url, json={"reminders": [{"before": "PT0S"}]}),
            lambda: alice.put(task.url, json={"due_at": "2026-02-28T17:00:00Z"}),
            *[lambda: alice.patch(f"{task.url}/complete")] * 3,
        ],
    )

    stored = alice.get(task.url).json()
    assert (stored["completed"], stored["reminders"]) == (True, [{"before": "PT0S"}])
    assert listed(alice) == []
    alice.patch(f"{task.url}/complete")
    assert times(alice) == ["2026-02-28T17:00"]
    copy.catches_up()
    assert copy.tasks == tasks_of(alice)


# Tasks that recur


WEEKLY: dict[str, Any] = {"recurrence": "FREQ=WEEKLY", "time_zone": BERLIN}
LATE_IN_MARCH = {"due_at": "2026-03-24T08:00:00Z", **WEEKLY}
ONE_OF_EACH = [{"before": "PT30M"}, {"at": "2026-03-23T19:00:00.000000Z"}]
MOVED = [{"before": "PT30M"}, {"at": "2026-03-30T18:00:00.000000Z"}]


def test_a_successor_has_the_reminders_moved_with_its_due(alice: User) -> None:
    """Clocks are set forward in between: eight in the evening stays eight in the evening."""
    task = alice.creates(**LATE_IN_MARCH, reminders=ONE_OF_EACH)
    alice.creates(
        parent_id=task.document["id"], reminders=[{"at": "2026-03-22T19:00:00Z"}], time_zone=BERLIN
    )

    alice.patch(f"{task.url}/complete")

    assert times(alice) == [
        "2026-03-22T19:00",
        "2026-03-29T18:00",
        "2026-03-30T18:00",
        "2026-03-31T06:30",
    ]
    [made, *_] = alice.get(alice.tasks, params={"completed": False, "top_level": True}).json()
    assert made["reminders"] == MOVED
    alice.patch(f"{task.url}/complete")
    assert times(alice) == ["2026-03-22T19:00", "2026-03-23T19:00", "2026-03-24T07:30"]


def test_a_skip_moves_the_reminders_with_the_due(alice: User) -> None:
    task = alice.creates(**LATE_IN_MARCH, reminders=ONE_OF_EACH)

    skipped = alice.post(f"{task.url}/skip").json()

    assert skipped["reminders"] == MOVED
    assert times(alice) == ["2026-03-30T18:00", "2026-03-31T06:30"]


def test_a_due_that_clocks_skip_still_counts_days_from_its_local_time(alice: User) -> None:
    daily = {"recurrence": "FREQ=DAILY", "time_zone": BERLIN}
    task = alice.creates(**daily, due_at="2026-03-28T01:30:00Z", reminders=[{"before": "P1D"}])

    alice.post(f"{task.url}/skip")

    assert times(alice) == ["2026-03-28T01:30"]


# The list


def test_the_list_has_what_falls_due_in_the_period_in_order_of_time(alice: User) -> None:
    for hour in (12, 9, 17):
        alice.creates(str(hour), reminders=[{"at": f"2026-01-31T{hour:02}:00:00Z"}])

    def between(**params: str) -> list[str]:
        return [title for _, title in listed(alice, **params)]

    nine, noon = "2026-01-31T09:00:00Z", "2026-01-31T13:00:00+01:00"
    assert between() == ["9", "12", "17"]
    assert between(**{"from": noon}) == ["12", "17"]
    assert between(until=noon) == ["9"]
    assert between(**{"from": nine}, until=noon) == ["9"]
    assert between(**{"from": noon}, until=nine) == []
    assert between(**{"from": "2026-01-31T12:00:00.000000999Z"}) == ["12", "17"]


def test_a_reminder_in_the_list_says_what_it_is_about(alice: User) -> None:
    task = alice.creates("Buy milk", due_at=DUE, reminders=HALF_AN_HOUR)

    [found] = alice.get(f"/api/{alice.id}/reminders").json()

    assert found == {
        "at": "2026-01-31T16:30:00.000000Z",
        "task_id": task.document["id"],
        **{name: task.document[name] for name in ("title", "due_on", "due_at")},
    }


def test_pages_follow_each_other_by_time_and_then_task(alice: User) -> None:
    ids = [str(UUID(int=number)) for number in (0, 2, 1)]
    for each in ids:
        alice.creates(each, id=each, reminders=[*AT_NOON, {"at": "2026-02-01T12:00:00Z"}])
    whole = listed(alice)
    assert [title for _, title in whole] == [*sorted(ids), *sorted(ids)]

    url = f"/api/{alice.id}/reminders"
    params: dict[str, Any] = {
        "limit": 2,
        "from": "2026-01-01T00:00:00Z",
        "until": "2027-01-01T00:00:00+01:00",
    }
    pages = [alice.get(url, params=params)]
    while "next" in pages[-1].links:
        pages.append(alice.get(pages[-1].links["next"]["url"]))

    assert [each for page in pages for each in page.json()] == alice.get(url).json()
    assert [len(page.json()) for page in pages] == [2, 2, 2]
    assert alice.get(pages[1].links["first"]["url"]).json() == pages[0].json()
    cursor = httpx.URL(pages[0].links["next"]["url"]).params["cursor"]
    for wrong in ({"cursor": cursor}, {**params, "cursor": f"{cursor}x"}):
        assert_faults(alice.get(url, params=wrong), "cursor")


def test_a_cursor_goes_on_where_its_task_is_gone(alice: User) -> None:
    first, second, third = (
        alice.creates(str(day), reminders=[{"at": f"2026-02-0{day}T12:00:00Z"}])
        for day in (1, 2, 3)
    )
    page = alice.get(f"/api/{alice.id}/reminders", params={"limit": 1})

    for task in (first, second):
        alice.delete(task.url)
    [following] = alice.get(page.links["next"]["url"]).json()

    assert following["task_id"] == third.document["id"]


def test_the_list_is_not_sent_again_while_nothing_has_changed(alice: User) -> None:
    task = alice.creates(reminders=AT_NOON)
    url = f"/api/{alice.id}/reminders"
    etag = alice.get(url).headers["etag"]

    again = alice.get(url, headers={"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")
    assert etag == alice.get(alice.tasks).headers["etag"]
    alice.patch(f"{task.url}/complete")
    assert alice.get(url, headers={"If-None-Match": etag}).json() == []


def test_tasks_without_reminders_write_none(alice: User, database_url: str) -> None:
    """What has no reminders is stored as null: the conditions of the triggers are then false."""
    statement = "SELECT count(reminders) + count(reminder_times) FROM tasks WHERE user_id = %s"
    task = alice.creates(reminders=[])
    alice.creates()
    before = query_as_owner(database_url, statement, alice.id)

    patched = alice.patch(task.url, json={"reminders": []}).json()

    assert task.document["reminders"] == patched["reminders"] == []
    assert [*before, *query_as_owner(database_url, statement, alice.id)] == [0, 0]
