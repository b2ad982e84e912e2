"""The calendar: a secret path, and what an independent library reads there."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import icalendar
import psycopg2
import pytest

from db.zones import zone_of
from handlers.icalendar_zones import YEARS, zone_lines
from tests.support import http
from tests.support.databases import administration, as_owner
from tests.support.issuer import Issuer
from tests.support.responses import assert_problem
from tests.support.users import User

TITLE = "Ünï; \\, \n" + "wörd 🎉 " * 20
MOST_TASKS = 1000


def read(user: User, path: str, **query: str) -> list[Any]:
    """The components of the calendar."""
    response = http.get(f"{user.base_url}{path}", params=query)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/calendar; charset=utf-8"
    assert all(len(line) <= 75 for line in response.content.split(b"\r\n"))
    calendar = icalendar.Calendar.from_ical(response.content)
    assert calendar["version"] == "2.0"
    assert not calendar.errors
    return list(calendar.subcomponents)


def test_dated_tasks_are_todos(alice: User) -> None:
    path = alice.creates_calendar()
    parent = alice.creates("No date").document
    fields = {"due_on": "2026-11-26", "start_on": "2026-11-20", "priority": "urgent"}
    more = {"description": "a\r\nb\u0001", "tags": ["a,b", "ç"], "parent_id": parent["id"]}
    task = alice.creates(TITLE, **fields, **more).document

    [todo] = read(alice, path)

    assert todo.name == "VTODO"
    assert (todo["uid"], todo["summary"], todo["description"]) == (task["id"], TITLE, "a\nb")
    assert (todo["due"].dt, todo["dtstart"].dt) == (date(2026, 11, 26), date(2026, 11, 20))
    assert (todo["priority"], todo["status"]) == (1, "NEEDS-ACTION")
    assert [str(each) for each in todo["categories"].cats] == ["a,b", "ç"]
    assert todo["related-to"] == parent["id"]
    written = datetime.fromisoformat(task["updated_at"]).replace(microsecond=0)
    assert todo["dtstamp"].dt == written


def test_completed_todo_has_its_time(alice: User) -> None:
    path = alice.creates_calendar()
    alice.creates(due_at="2026-11-26T10:30:00+02:00", start_on="2026-11-20", completed=True)

    [todo] = read(alice, path)

    assert todo["due"].dt == datetime(2026, 11, 26, 8, 30, tzinfo=UTC)
    assert "dtstart" not in todo
    assert (todo["status"], todo["percent-complete"]) == ("COMPLETED", 100)
    assert abs((datetime.now(UTC) - todo["completed"].dt).total_seconds()) < 60


def test_tasks_are_events_where_that_is_asked_for(alice: User) -> None:
    path = alice.creates_calendar()
    alice.creates("A day", due_on="2026-11-26")
    alice.creates("A moment", due_at="2026-11-27T08:30:00Z", completed=True)

    moment, day = read(alice, path, **{"as": "events"})

    assert (day.name, day["dtstart"].dt, day["summary"]) == ("VEVENT", date(2026, 11, 26), "A day")
    assert moment["dtstart"].dt == datetime(2026, 11, 27, 8, 30, tzinfo=UTC)
    assert moment["summary"] == "✓ A moment"


def test_event_of_a_task_that_recurs_has_its_rule_in_its_time_zone(alice: User) -> None:
    path = alice.creates_calendar()
    rule = {"recurrence": "FREQ=WEEKLY;BYDAY=TH", "time_zone": "Europe/Berlin"}
    alice.creates("Day", due_on="2026-11-19", **rule)
    alice.creates("Moment", due_at="2026-11-26T08:00:00Z", **rule)
    alice.creates("After", due_on="2026-11-18", recurs_from="completion", **rule)

    zone, moment, day, after = read(alice, path, **{"as": "events"})

    assert (zone.name, zone["tzid"]) == ("VTIMEZONE", "Europe/Berlin")
    assert moment["dtstart"].params["tzid"] == "Europe/Berlin"
    assert moment["dtstart"].dt.replace(tzinfo=None) == datetime(2026, 11, 26, 9)
    assert day["dtstart"].dt == date(2026, 11, 19)
    assert [each["rrule"].to_ical().decode() for each in (moment, day)] == [rule["recurrence"]] * 2
    assert "rrule" not in after
    assert all("rrule" not in todo for todo in read(alice, path))


@pytest.mark.parametrize(
    "name",
    ["Europe/Berlin", "America/St_Johns", "Africa/Casablanca", "Australia/Lord_Howe", "UTC"],
)
@pytest.mark.parametrize("year", [2026, 1900])
def test_time_zone_of_a_calendar_is_that_of_the_iana_database(name: str, year: int) -> None:
    parsed: Any = icalendar.Timezone.from_ical("\r\n".join(zone_lines(name, year)))
    written = parsed.to_tz(lookup_tzid=False)
    begin, step = datetime(year, 1, 2, tzinfo=UTC), timedelta(hours=67)

    for number in range(YEARS * 365 * 24 // 67):
        expected = (begin + number * step).astimezone(zone_of(name))
        if not expected.fold:  # of a time that comes twice, a calendar means the first
            assert written.utcoffset(expected.replace(tzinfo=None)) == expected.utcoffset()


def test_every_zone_can_be_written_in_the_first_and_the_last_year() -> None:
    for name in ("Asia/Tokyo", "America/Adak"):
        for year in (1, 9999):
            icalendar.Timezone.from_ical("\r\n".join(zone_lines(name, year)))


def test_calendar_has_no_tasks_of_others_in_the_trash_or_without_a_date(
    alice: User, bob: User
) -> None:
    path = alice.creates_calendar()
    bob.creates(due_on="2026-11-26")
    alice.creates("No date")
    alice.delete(alice.creates(due_on="2026-11-26").url)

    assert read(alice, path) == []


def test_calendar_has_the_thousand_tasks_that_are_due_last(alice: User, database_url: str) -> None:
    path = alice.creates_calendar()
    with administration(database_url) as execute:
        execute(
            "INSERT INTO tasks (user_id, id, title, revision, due_on)"
            f" SELECT '{alice.id}', gen_random_uuid(), number, number, date '2026-01-01' + number"
            f" FROM generate_series(0, {MOST_TASKS}) AS number"
        )

    todos = read(alice, path)

    assert len(todos) == MOST_TASKS
    assert min(todo["due"].dt for todo in todos) == date(2026, 1, 2)


def test_unchanged_calendar_is_304_until_a_task_changes(alice: User) -> None:
    path = alice.creates_calendar()
    task = alice.creates(due_on="2026-11-26")
    first = alice.get(path)
    known = {"If-None-Match": first.headers["etag"]}

    assert first.headers["cache-control"] == "private, no-cache"
    assert alice.get(path, headers=known).status_code == 304
    alice.patch(task.url, json={"title": "Other"})
    assert alice.get(path, headers=known).status_code == 200


def test_new_secret_path_revokes_the_one_before_and_deletion_the_last(alice: User) -> None:
    calendar = f"/api/{alice.id}/calendar"
    assert_problem(alice.get(calendar), 404, "calendar-not-found")

    first, second = alice.creates_calendar(), alice.creates_calendar()

    assert first != second
    assert_problem(alice.get(first), 404, "calendar-not-found")
    assert alice.get(second).status_code == 200
    assert alice.get(calendar).json().keys() == {"created_at"}
    assert [alice.delete(calendar).status_code for _ in range(2)] == [204, 204]
    assert_problem(alice.get(second), 404, "calendar-not-found")
    assert_problem(alice.get(calendar), 404, "calendar-not-found")


@pytest.mark.parametrize("spoiled", ["/calendar/x.ics", "{}s", "{}/"])
def test_malformed_secret_path_is_refused(alice: User, spoiled: str) -> None:
    response = alice.get(spoiled.format(alice.creates_calendar()))

    assert response.status_code in (404, 422)


def test_database_has_only_a_hash_of_the_secret(alice: User, database_url: str) -> None:
    secret = alice.creates_calendar().rpartition("/")[2].removesuffix(".ics")

    with psycopg2.connect(as_owner(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT encode(secret_hash, 'escape') || calendars::text FROM calendars")
        rows = cursor.fetchall()
    connection.close()

    assert rows
    assert secret not in str(rows)


def test_secret_is_worth_nothing_elsewhere(guarded_server: str, issuer: Issuer) -> None:
    with User(guarded_server, issuer) as alice, httpx.Client(base_url=guarded_server) as program:
        path = alice.creates_calendar()
        secret = path.rpartition("/")[2].removesuffix(".ics")
        credentials = {"Authorization": f"Bearer {secret}"}

        assert program.get(path).status_code == 200
        assert program.put(path).status_code == 405
        for url in (alice.tasks, f"/api/{alice.id}/calendar"):
            assert_problem(program.get(url, headers=credentials), 401, "unauthenticated")


def test_requests_for_calendars_are_counted_by_address(guarded_server: str) -> None:
    with httpx.Client(base_url=guarded_server) as program:
        response = program.get(f"/calendar/{'x' * 43}.ics")

    assert_problem(response, 404, "calendar-not-found")
    assert "ratelimit" in response.headers
