"""What is overdue depends on the time, and for days on the time zone."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from tests.support.databases import COMPUTE_COLUMNS, administration
from tests.support.responses import assert_faults
from tests.support.users import User

# When a day ends in the one, the next day has begun in the other two hours ago.
LAST, FIRST = "Etc/GMT+12", "Pacific/Kiritimati"


def titles(user: User, **params: Any) -> set[str]:
    return {task["title"] for task in user.get(user.tasks, params=params).json()}


def in_seconds(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def today_in(zone: str) -> str:
    return datetime.now(ZoneInfo(zone)).date().isoformat()


@pytest.fixture
def busy(alice: User) -> User:
    """Alice, with tasks of which two are overdue everywhere."""
    tasks: dict[str, dict[str, Any]] = {
        "moment ago": {"due_at": in_seconds(-1)},
        "day ago": {"due_on": "2026-01-31"},
        "soon": {"due_at": in_seconds(3600)},
        "far": {"due_on": "9999-12-31"},
        "done": {"due_on": "2026-01-31", "completed": True},
        "never": {},
    }
    for title, fields in tasks.items():
        alice.creates(title, **fields)
    return alice


@pytest.mark.parametrize(
    "order", [{}, {"sort": "due"}, {"sort": "-due"}, {"sort": "title"}], ids=str
)
@pytest.mark.parametrize("page", [{}, {"offset": 0}], ids=str)
def test_an_open_task_is_overdue_when_its_time_has_passed(
    busy: User, order: dict[str, str], page: dict[str, int]
) -> None:
    assert titles(busy, overdue=True, **order, **page) == {"moment ago", "day ago"}
    rest = {"soon", "far", "done", "never"}
    assert titles(busy, overdue=False, **order, **page) == rest
    assert titles(busy, overdue=False, completed=False, **order) == rest - {"done"}
    assert busy.get(f"/api/{busy.id}/summary").json()["overdue"] == 2


@pytest.mark.parametrize("sort", ["due", "created_at"])
def test_a_day_ends_when_it_ends_in_the_time_zone(alice: User, sort: str) -> None:
    alice.creates("today in the last zone", due_on=today_in(LAST))

    assert titles(alice, overdue=True, sort=sort, zone=FIRST) == {"today in the last zone"}
    assert titles(alice, overdue=True, sort=sort, zone=LAST) == set()
    assert titles(alice, overdue=False, sort=sort, zone=LAST) == {"today in the last zone"}


@pytest.mark.parametrize("zone", ["Mars/Olympus", "europe/berlin", "UTC+1", ""])
def test_an_unknown_time_zone_is_refused(alice: User, zone: str) -> None:
    assert_faults(alice.get(alice.tasks, params={"overdue": True, "zone": zone}), "zone")


def test_a_link_keeps_the_time_zone_and_its_cursor_is_refused_in_another(busy: User) -> None:
    params: dict[str, Any] = {"overdue": True, "limit": 1, "sort": "due"}
    first = busy.get(busy.tasks, params={**params, "zone": LAST})
    url = first.links["next"]["url"]

    assert [task["title"] for task in busy.get(url).json()] == ["moment ago"]
    assert httpx.URL(url).params["zone"] == LAST
    moved = str(httpx.URL(url).copy_set_param("zone", FIRST))
    assert_faults(busy.get(moved), "cursor")


def test_the_etag_of_what_is_overdue_changes_with_the_time(alice: User, database_url: str) -> None:
    alice.creates("soon", due_at=in_seconds(3600))
    params = {"overdue": True}
    before = alice.get(alice.tasks, params=params)
    with administration(database_url) as execute:  # as if an hour had passed
        execute(
            "UPDATE tasks SET due_at = (due_at AT TIME ZONE 'UTC' - interval '1 hour')"
            f" AT TIME ZONE 'UTC' WHERE user_id = '{alice.id}'"
        )
        execute(COMPUTE_COLUMNS)

    condition = {"If-None-Match": before.headers["etag"]}
    changed = alice.get(alice.tasks, params=params, headers=condition)

    assert [task["title"] for task in changed.json()] == ["soon"]
    condition = {"If-None-Match": changed.headers["etag"]}
    assert alice.get(alice.tasks, params=params, headers=condition).status_code == 304
    alice.creates("later")
    assert alice.get(alice.tasks, params=params, headers=condition).status_code == 200
