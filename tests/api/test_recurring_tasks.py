"""Tasks that recur: what they need; what holds of every field is elsewhere."""

from typing import Any

from db.zones import VERSION
from tests.support.cases import for_each
from tests.support.contract import assert_refused
from tests.support.feed import Copy, tasks_of
from tests.support.responses import assert_faults
from tests.support.users import Task, User
from tests.support.writes import WRITES, prefix, task_in, written

WEEKLY = "FREQ=WEEKLY;BYDAY=MO"
BERLIN = "Europe/Berlin"


# What is refused


@for_each("way", WRITES)
@for_each(
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


@for_each("way", ["PUT", "PATCH", "update"])
@for_each(
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


@for_each("way", WRITES)
def test_a_task_that_recurs_begins_a_series(alice: User, way: str) -> None:
    task = task_in(written(alice, way, {"recurrence": WEEKLY, "due_on": "2026-01-31"}))
    url = f"{alice.tasks}/{task['id']}"

    assert task["series_id"] == task["id"]
    assert alice.put(url, json={"recurrence": None}).json()["series_id"] == task["id"]


def test_clients_cannot_set_the_series(alice: User) -> None:
    for way in WRITES:
        response = written(alice, way, {"series_id": alice.id})
        assert_faults(response, f"{prefix(way)}/series_id")


def test_readiness_shows_the_release_of_the_time_zones(alice: User) -> None:
    assert alice.get("/health/ready").json() == {"status": "ok", "time_zones": VERSION}


def ids(tasks: list[dict[str, str]]) -> list[str]:
    return [task["id"] for task in tasks]


def test_the_list_of_a_series_is_its_history(alice: User) -> None:
    task = alice.creates(recurrence=WEEKLY, due_on="2026-01-26")
    alice.creates(recurrence=WEEKLY, due_on="2026-01-26")
    alice.patch(f"{task.url}/complete")
    series = {"series_id": task.document["id"]}

    listed = alice.get(alice.tasks, params=series).json()
    done = alice.get(alice.tasks, params={**series, "completed": True}).json()
    alice.delete(f"{alice.tasks}/{listed[0]['id']}")

    assert [each["due_on"] for each in listed] == ["2026-02-02", "2026-01-26"]
    assert ids(done) == ids(alice.get(alice.tasks, params=series).json()) == [task.document["id"]]
    assert ids(alice.get(alice.trash, params=series).json()) == [listed[0]["id"]]


# Skipping


def skip(user: User, task: Task, **headers: str) -> dict[str, Any]:
    response = user.post(f"{task.url}/skip", headers=headers)
    assert response.status_code == 200, response.text
    skipped: dict[str, Any] = response.json()
    return skipped


def test_a_skipped_task_moves_on_and_stays_the_same_task(alice: User) -> None:
    copy = Copy(alice)
    task = alice.creates(
        recurrence="FREQ=WEEKLY;COUNT=3", due_on="2026-01-26", start_on="2026-01-25", tags=["x"]
    )

    skipped = skip(alice, task)

    moved = {"due_on": "2026-02-02", "start_on": "2026-02-01", "recurrence": "FREQ=WEEKLY;COUNT=2"}
    stamps = {name: skipped[name] for name in ("updated_at", "revision")}
    assert skipped == {**task.document, **moved, **stamps}
    assert skipped["revision"] > task.document["revision"]
    assert alice.get(alice.tasks).json() == [skipped]
    copy.catches_up()
    assert copy.tasks == tasks_of(alice)


def test_open_subtasks_move_with_a_task_that_is_skipped(alice: User) -> None:
    task = alice.creates(recurrence="FREQ=WEEKLY", due_on="2026-01-26")
    about = {"parent_id": task.document["id"], "due_on": "2026-01-25"}
    opened, done = alice.creates("open", **about), alice.creates("done", completed=True, **about)
    undated = alice.creates("undated", parent_id=task.document["id"])

    skip(alice, task)

    assert alice.get(opened.url).json()["due_on"] == "2026-02-01"
    assert alice.get(done.url).json() == done.document
    assert alice.get(undated.url).json() == undated.document


def test_a_skipped_local_time_stays_as_it_was(alice: User) -> None:
    # 2:30 in Berlin does not exist on 29 March 2026.
    task = alice.creates(recurrence="FREQ=DAILY", due_at="2026-03-28T01:30:00Z", time_zone=BERLIN)

    dues = [skip(alice, task)["due_at"] for _ in range(2)]

    assert dues == ["2026-03-29T01:30:00.000000Z", "2026-03-30T00:30:00.000000Z"]


@for_each(
    "fields",
    [
        {},
        {"recurrence": "FREQ=DAILY;COUNT=1", "due_on": "2026-01-26"},
        {"recurrence": "FREQ=DAILY;UNTIL=20260126", "due_on": "2026-01-26"},
        {"recurrence": "FREQ=DAILY", "due_on": "2026-01-26", "completed": True},
    ],
)
def test_what_has_no_next_occurrence_is_not_skipped(alice: User, fields: dict[str, Any]) -> None:
    task = alice.creates(**fields)

    assert skip(alice, task) == task.document


def test_a_skip_names_its_version_and_is_done_once(alice: User) -> None:
    task = alice.creates(recurrence="FREQ=DAILY", due_on="2026-01-26")

    stale = alice.post(f"{task.url}/skip", headers={"If-Match": '"1"'})
    answers = [skip(alice, task, **{"Idempotency-Key": "once"}) for _ in range(2)]

    assert_refused(stale, 412, "task-changed")
    assert answers[0] == answers[1] == alice.get(task.url).json()
    assert answers[0]["due_on"] == "2026-01-27"


# Occurrences


def occurrences(user: User, task: Task, **params: int) -> list[str]:
    response = user.get(f"{task.url}/occurrences", params=params)
    assert response.status_code == 200, response.text
    return [each["due_on"] or each["due_at"] for each in response.json()]


def test_occurrences_are_the_dues_of_the_successors(alice: User) -> None:
    task = alice.creates(
        recurrence="FREQ=DAILY;COUNT=4", due_at="2026-03-28T01:30:00Z", time_zone=BERLIN
    )
    expected = occurrences(alice, task)
    dues = []
    while made := alice.get(alice.tasks, params={"completed": False}).json():
        dues.append(made[0]["due_at"])
        alice.patch(f"{alice.tasks}/{made[0]['id']}/complete")

    assert dues == [task.document["due_at"], *expected]
    assert len(expected) == 3


def test_as_many_occurrences_are_listed_as_are_asked_for(alice: User) -> None:
    task = alice.creates(recurrence="FREQ=DAILY", due_on="2026-01-31")

    assert occurrences(alice, task, limit=1) == ["2026-02-01"]
    assert len(occurrences(alice, task)) == 10
    assert occurrences(alice, task, limit=100)[-1] == "2026-05-11"
    assert occurrences(alice, alice.creates(due_on="2026-01-31")) == []


def test_a_task_in_the_trash_has_no_occurrences(alice: User) -> None:
    task = alice.creates(recurrence="FREQ=DAILY", due_on="2026-01-31")
    alice.delete(task.url)

    assert_refused(alice.get(f"{task.url}/occurrences"), 404, "task-not-found")
    assert_refused(alice.post(f"{task.url}/skip"), 404, "task-not-found")
