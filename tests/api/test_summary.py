"""The summary of a user's tasks: how many are open, done and due, in the user's time zone."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from db.tasks.summaries import Calendar
from tests.support.cases import for_each
from tests.support.databases import administration
from tests.support.responses import assert_faults
from tests.support.users import User

ZONES = ["UTC", "Europe/Berlin", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Asia/Kathmandu"]


def summary_of(user: User, **params: Any) -> dict[str, Any]:
    response = user.get(f"/api/{user.id}/summary", params=params)
    assert response.status_code == 200, response.text
    summary: dict[str, Any] = response.json()
    return summary


def written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def test_a_user_without_data_has_zeros(alice: User) -> None:
    summary = summary_of(alice)

    numbers = [summary[name] for name in ("open", "done", "overdue", "due_today", "due_this_week")]
    assert numbers == [0] * 5
    assert [each["priority"] for each in summary["by_priority"]] == [
        *("none", "low", "medium", "high", "urgent")
    ]
    assert not any(each["open"] or each["done"] for each in summary["by_priority"])
    assert summary["by_list"] == [{"list_id": None, "open": 0, "done": 0}]
    days = [each["day"] for each in summary["done_by_day"]]
    assert (len(days), days) == (30, sorted(set(days)))
    assert days[-1] == summary["today"]
    assert not any(each["done"] for each in summary["done_by_day"])


def test_tasks_are_counted_by_priority_but_those_in_the_trash_are_not(
    alice: User, bob: User
) -> None:
    for priority, completed in [("none", False), ("high", False), ("high", True), ("high", True)]:
        alice.creates(priority=priority, completed=completed)
    alice.delete(alice.creates(priority="urgent").url)
    bob.creates(priority="low")

    summary = summary_of(alice)

    assert (summary["open"], summary["done"]) == (2, 2)
    counted = {each.pop("priority"): each for each in summary["by_priority"]}
    assert counted == {
        "none": {"open": 1, "done": 0},
        "high": {"open": 1, "done": 2},
        **{key: {"open": 0, "done": 0} for key in ("low", "medium", "urgent")},
    }
    assert summary["done_by_day"][-1]["done"] == 2


@pytest.mark.parametrize("zone", ZONES)
def test_what_is_due_is_counted_by_the_days_of_the_zone(alice: User, zone: str) -> None:
    now = datetime.now(ZoneInfo(zone))
    today = now.date()
    days = [today + timedelta(number) for number in range(-8, 9)]
    # Noon is no moment at which a clock is put forward or back.
    moments = [
        datetime(day.year, day.month, day.day, 12, tzinfo=ZoneInfo(zone))
        for day in days
        if day != today
    ]
    edges = [
        datetime(today.year, today.month, today.day, tzinfo=ZoneInfo(zone)),
        datetime(today.year, today.month, today.day, 23, 59, 59, tzinfo=ZoneInfo(zone)),
    ]
    batch: list[dict[str, Any]] = [
        *({"due_on": day.isoformat()} for day in days),
        *({"due_at": written(moment)} for moment in [*moments, *edges]),
        {"due_on": today.isoformat(), "completed": True},
        {},
    ]
    operations = [{"op": "create", "title": "x", **each} for each in batch]
    assert alice.post(f"{alice.tasks}/batch", json={"operations": operations}).is_success

    summary = summary_of(alice, zone=zone)

    monday = today - timedelta(today.weekday())
    of_this_week = [day for day in days if monday <= day < monday + timedelta(7)]
    assert summary["today"] == today.isoformat()
    assert summary["overdue"] == 8 + 8 + 1
    assert summary["due_today"] == 1 + 2
    assert summary["due_this_week"] == 2 * len(of_this_week) + 1


@pytest.mark.parametrize("zone", ZONES)
def test_done_tasks_are_counted_by_the_day_of_the_zone_on_which_they_were_completed(
    alice: User, database_url: str, zone: str
) -> None:
    alice.creates()
    now = datetime.now(UTC)
    hours = range(0, 33 * 24, 5)
    with administration(database_url) as execute:
        for back in hours:
            execute(
                "INSERT INTO tasks (user_id, id, title, revision, completed, completed_at) VALUES"
                f" ('{alice.id}', gen_random_uuid(), 'x', 1, true,"
                f" '{now - timedelta(hours=back)}')"
            )

    summary = summary_of(alice, zone=zone)

    local = [(now - timedelta(hours=back)).astimezone(ZoneInfo(zone)).date() for back in hours]
    expected = Counter(day.isoformat() for day in local)
    counted = {each["day"]: each["done"] for each in summary["done_by_day"]}
    assert counted == {day: expected[day] for day in counted}
    assert summary["done"] == len(hours)


def test_the_summary_is_not_sent_again_while_it_is_the_same(alice: User) -> None:
    task = alice.creates()
    url = f"/api/{alice.id}/summary"
    etag = alice.get(url).headers["etag"]

    same = alice.get(url, headers={"If-None-Match": etag})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", etag)
    alice.patch(f"{task.url}/complete")
    changed = alice.get(url, headers={"If-None-Match": etag})
    assert (changed.status_code, changed.json()["done"]) == (200, 1)


def test_the_summary_of_another_day_has_another_etag(alice: User) -> None:
    """In these two zones it is never the same day."""
    url = f"/api/{alice.id}/summary"
    east, west = (
        alice.get(url, params={"zone": zone})
        for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago")
    )

    assert east.json()["today"] > west.json()["today"]
    assert east.headers["etag"] != west.headers["etag"]


@for_each(
    "zone",
    [
        "",
        "x",
        "Europe",
        "europe/berlin",
        "Europe/Atlantis",
        "../UTC",
        "posixrules",
        "a b",
        "x" * 65,
    ],
)
def test_an_unknown_zone_is_refused(alice: User, zone: str) -> None:
    assert_faults(alice.get(f"/api/{alice.id}/summary", params={"zone": zone}), "zone")


def test_tasks_are_counted_by_list_with_the_inbox_first(alice: User) -> None:
    lists = [
        alice.post(f"/api/{alice.id}/lists", json={"title": title}).json()["id"]
        for title in ("home", "work", "empty")
    ]
    for list_id, completed in [
        (None, False),
        (lists[0], False),
        (lists[0], True),
        (lists[1], True),
    ]:
        alice.creates(list_id=list_id, completed=completed)

    assert summary_of(alice)["by_list"] == [
        {"list_id": None, "open": 1, "done": 0},
        {"list_id": lists[0], "open": 1, "done": 1},
        {"list_id": lists[1], "open": 0, "done": 1},
    ]
    alice.delete(f"/api/{alice.id}/lists/{lists[0]}")
    assert [each["list_id"] for each in summary_of(alice)["by_list"]] == [None, lists[1]]


# The calendar

MOMENT = datetime(2026, 3, 29, 21, 30, tzinfo=UTC)


@for_each(
    ("zone", "today", "monday"),
    [
        ("UTC", date(2026, 3, 29), date(2026, 3, 23)),
        ("Europe/Berlin", date(2026, 3, 29), date(2026, 3, 23)),
        ("Asia/Kathmandu", date(2026, 3, 30), date(2026, 3, 30)),
        ("America/Los_Angeles", date(2026, 3, 29), date(2026, 3, 23)),
    ],
)
def test_a_week_begins_on_monday_in_the_zone(zone: str, today: date, monday: date) -> None:
    calendar = Calendar.of(zone, MOMENT)

    assert (calendar.today, calendar.monday) == (today, monday)
    assert calendar.next_monday - calendar.monday == timedelta(7)


@for_each(
    ("zone", "now"),
    [
        ("Europe/Berlin", MOMENT),  # a day of 23 hours
        ("America/New_York", datetime(2026, 11, 1, 12, tzinfo=UTC)),  # and one of 25
        ("America/Santiago", datetime(2026, 9, 6, 12, tzinfo=UTC)),  # midnight is left out
        ("Pacific/Apia", datetime(2012, 1, 5, tzinfo=UTC)),  # 30 December 2011 is left out
        *((zone, MOMENT) for zone in ZONES),
    ],
)
def test_the_days_follow_each_other_without_a_gap(zone: str, now: datetime) -> None:
    calendar = Calendar.of(zone, now)

    assert len(calendar.days) == 31
    assert calendar.days[-2] == calendar.today_begins <= now < calendar.tomorrow_begins
    assert calendar.days[-1] == calendar.tomorrow_begins
    assert calendar.days == sorted(calendar.days)
    for begin, end in pairwise(calendar.days):
        assert end - begin in [timedelta(hours=hours) for hours in (0, 23, 24, 25)]
