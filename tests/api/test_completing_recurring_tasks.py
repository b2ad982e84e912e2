"""A task that recurs has a successor when it is completed: one, however often."""

from datetime import date, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid5

import httpx
import pytest

from db.quotas import MAX_DEPTH
from tests.support.contract import assert_refused
from tests.support.databases import query_as_owner
from tests.support.feed import Copy, lists_of, tasks_of
from tests.support.races import RACERS, Servers, race
from tests.support.servers import serving
from tests.support.users import Task, User, in_trash

BERLIN = "Europe/Berlin"
MONDAYS: dict[str, Any] = {"recurrence": "FREQ=WEEKLY;BYDAY=MO", "due_on": "2026-01-26"}
FIELDS: dict[str, Any] = {
    "description": "Two litres",
    "priority": "high",
    "start_on": "2026-01-24",
    "tags": ["Home"],
    "position": "a0V",
}
STAMPS = ("id", "created_at", "updated_at", "revision")


def batched(user: User, *operations: dict[str, Any]) -> httpx.Response:
    return user.post(f"{user.tasks}/batch", json={"operations": operations})


def switched(user: User, way: str, task: Task, *, completed: bool = True) -> dict[str, Any]:
    """The task after it was completed, or reopened, in one of the ways."""
    about = {"id": task.document["id"]}
    update = {"completed": completed}
    response = {
        "toggle": lambda: user.patch(f"{task.url}/complete"),
        "PUT": lambda: user.put(task.url, json=update),
        "PATCH": lambda: user.patch(task.url, json=update),
        "toggle in a batch": lambda: batched(user, {"op": "toggle", **about}),
        "update in a batch": lambda: batched(user, {"op": "update", **about, **update}),
    }[way]()
    assert response.status_code == 200, response.text
    document = response.json()
    switched: dict[str, Any] = document["results"][0]["task"] if "results" in document else document
    assert switched["completed"] is completed
    return switched


WAYS = ["toggle", "PUT", "PATCH", "toggle in a batch", "update in a batch"]
complete = partial(switched, completed=True)
reopen = partial(switched, completed=False)


def successor_of(task: dict[str, Any]) -> str:
    return str(uuid5(UUID(task["id"]), "successor"))


def copy_of(task: dict[str, Any], subtask: dict[str, Any]) -> str:
    """The id of the subtask's copy below the task's successor."""
    return str(uuid5(UUID(successor_of(task)), subtask["id"]))


def next_after(user: User, task: Task, way: str = "toggle") -> dict[str, Any]:
    """The successor that a task gets when it is completed."""
    complete(user, way, task)
    found: dict[str, Any] = user.get(f"{user.tasks}/{successor_of(task.document)}").json()
    return found


def open_tasks(user: User) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = user.get(user.tasks, params={"completed": False}).json()
    return found


def uncounted_tasks(database_url: str, user: User) -> int:
    """How many tasks more the user has than `users.task_count` says."""
    statement = (
        "SELECT (SELECT count(*) FROM tasks WHERE user_id = users.id) - task_count FROM users"
        " WHERE id = %s"
    )
    [uncounted] = query_as_owner(database_url, statement, user.id)
    return int(uncounted)


# The successor


@pytest.mark.parametrize("way", WAYS)
def test_a_completed_task_has_a_successor_with_its_fields(alice: User, way: str) -> None:
    place = {"list_id": alice.creates_list().document["id"]}
    task = alice.creates(**MONDAYS, **FIELDS, **place)

    done = complete(alice, way, task)
    [made] = open_tasks(alice)

    moved = {"due_on": "2026-02-02", "start_on": "2026-01-31"}
    stamps = {name: made[name] for name in STAMPS}
    assert made == {**task.document, **moved, **stamps}
    assert made["id"] == successor_of(done)
    assert made["series_id"] == done["series_id"] == done["id"]
    assert done["revision"] < made["revision"]
    assert done["due_on"] == "2026-01-26"


@pytest.mark.parametrize("way", ["POST", "batch"])
def test_a_new_task_that_is_completed_has_one_too(alice: User, way: str) -> None:
    new = {"title": "x", **MONDAYS, "completed": True}
    if way == "POST":
        alice.post(alice.tasks, json=new)
    else:
        batched(alice, {"op": "create", **new})

    [made] = open_tasks(alice)
    assert made["due_on"] == "2026-02-02"


@pytest.mark.parametrize("way", WAYS)
def test_a_task_that_does_not_recur_has_none(alice: User, way: str) -> None:
    complete(alice, way, alice.creates(due_on="2026-01-26", time_zone=BERLIN))

    assert open_tasks(alice) == []


def test_a_series_goes_on_and_keeps_its_local_time_through_the_change_of_clocks(
    alice: User,
) -> None:
    # 2:30 in Berlin does not exist on 29 March 2026; a change of the title does not matter.
    task = alice.creates(
        due_at="2026-03-28T01:30:00Z",
        time_zone=BERLIN,
        recurrence="FREQ=DAILY",
        start_on="2026-03-01",
    )
    dues = []
    for number in range(3):
        made = next_after(alice, task, WAYS[number])
        dues.append(made["due_at"])
        task = Task(f"{alice.tasks}/{made['id']}", made)
        alice.put(task.url, json={"title": "y"})
        batched(alice, {"op": "update", "id": made["id"], "description": "z"})

    assert dues == [
        "2026-03-29T01:30:00.000000Z",
        "2026-03-30T00:30:00.000000Z",
        "2026-03-31T00:30:00.000000Z",
    ]
    assert made["start_on"] == "2026-03-04"


def test_a_count_says_how_many_are_left(alice: User) -> None:
    task = alice.creates(**MONDAYS | {"recurrence": "FREQ=WEEKLY;COUNT=3"})
    counts = []
    for _ in range(2):
        made = next_after(alice, task)
        counts.append(made["recurrence"])
        task = Task(f"{alice.tasks}/{made['id']}", made)
    complete(alice, "toggle", task)

    assert counts == ["FREQ=WEEKLY;COUNT=2", "FREQ=WEEKLY;COUNT=1"]
    assert open_tasks(alice) == []


def test_until_ends_a_series(alice: User) -> None:
    task = alice.creates(**MONDAYS | {"recurrence": "FREQ=WEEKLY;UNTIL=20260202"})
    made = next_after(alice, task)
    complete(alice, "toggle", Task(f"{alice.tasks}/{made['id']}", made))

    assert made["due_on"] == "2026-02-02"
    assert open_tasks(alice) == []


def test_a_rule_may_start_at_the_completion(alice: User) -> None:
    task = alice.creates(
        due_on="2026-01-26",
        start_on="2026-01-25",
        recurrence="FREQ=DAILY;INTERVAL=3",
        recurs_from="completion",
    )

    done = complete(alice, "toggle", task)
    [made] = open_tasks(alice)

    completed = date.fromisoformat(done["completed_at"][:10])
    assert made["due_on"] == (completed + timedelta(days=3)).isoformat()
    assert made["start_on"] == (completed + timedelta(days=2)).isoformat()


# One successor


def test_however_often_a_task_is_toggled_it_has_one_successor(alice: User) -> None:
    copy = Copy(alice)
    task = alice.creates(**MONDAYS)
    for way in WAYS:
        complete(alice, way, task)
        assert [each["id"] for each in open_tasks(alice)] == [successor_of(task.document)]
        copy.catches_up()
        reopen(alice, way, task)
        assert [each["id"] for each in open_tasks(alice)] == [task.document["id"]]
        copy.catches_up()

    assert len(in_trash(alice)) == 1
    assert copy.tasks == tasks_of(alice)
    assert copy.lists == lists_of(alice)


def test_a_repeated_request_makes_no_other_successor(alice: User) -> None:
    task = alice.creates(**MONDAYS)
    key = {"Idempotency-Key": "once"}

    answers = [alice.patch(f"{task.url}/complete", headers=key) for _ in range(3)]
    alice.put(task.url, json={"completed": True})

    assert {each.json()["revision"] for each in answers} == {answers[0].json()["revision"]}
    assert len(open_tasks(alice)) == 1


@pytest.mark.parametrize("racers", [RACERS - 1, RACERS])
def test_racing_toggles_leave_one_open_task(alice: User, servers: Servers, racers: int) -> None:
    copy = Copy(alice)
    task = alice.creates(**MONDAYS)
    alice.creates("subtask", parent_id=task.document["id"], tags=["x"])

    race(alice, servers, [lambda: alice.patch(f"{task.url}/complete")] * racers)

    live = [each for each in open_tasks(alice) if each["parent_id"] is None]
    done = racers % 2 == 1
    assert [each["id"] for each in live] == [
        successor_of(task.document) if done else task.document["id"]
    ]
    copy.catches_up()
    assert copy.tasks == tasks_of(alice)


def test_racing_completions_in_all_ways_make_one_successor(alice: User, servers: Servers) -> None:
    task = alice.creates(**MONDAYS)
    update = {"op": "update", "id": task.document["id"], "completed": True}

    race(
        alice,
        servers,
        [
            lambda: alice.put(task.url, json={"completed": True}),
            lambda: alice.patch(task.url, json={"completed": True}),
            lambda: batched(alice, update),
        ]
        * 2,
    )

    assert [each["id"] for each in open_tasks(alice)] == [successor_of(task.document)]


def test_a_toggle_that_waits_sees_that_the_task_recurs_now(alice: User, servers: Servers) -> None:
    """Whichever comes first: completed before it recurs, or with a successor."""
    task = alice.creates(due_on="2026-01-26")
    copy = Copy(alice)

    race(
        alice,
        servers,
        [
            lambda: alice.put(task.url, json=MONDAYS),
            lambda: alice.patch(f"{task.url}/complete"),
            lambda: alice.put(task.url, json={"title": "y"}),
        ],
    )

    stored = alice.get(task.url).json()
    assert stored["completed"]
    assert {each["id"] for each in open_tasks(alice)} <= {successor_of(stored)}
    copy.catches_up()
    assert copy.tasks == tasks_of(alice)


# Reopening


@pytest.mark.parametrize("change", [{"title": "y"}, {"completed": True}])
def test_a_successor_that_was_touched_stays(alice: User, change: dict[str, Any]) -> None:
    task = alice.creates(**MONDAYS)
    made = next_after(alice, task)
    alice.put(f"{alice.tasks}/{made['id']}", json=change)

    reopen(alice, "toggle", task)
    kept = alice.get(f"{alice.tasks}/{made['id']}").json()
    complete(alice, "toggle", task)

    assert kept | change == kept
    assert alice.get(f"{alice.tasks}/{made['id']}").json() == kept


@pytest.mark.parametrize("new", [{}, {"id": str(uuid5(UUID(int=0), "new"))}])
def test_a_successor_with_a_new_subtask_stays(alice: User, new: dict[str, Any]) -> None:
    task = alice.creates(**MONDAYS)
    made = next_after(alice, task)
    alice.creates("new", parent_id=made["id"], **new)

    reopen(alice, "toggle", task)

    assert alice.get(f"{alice.tasks}/{made['id']}").json() == made


@pytest.mark.parametrize("recurs", [{}, MONDAYS])
def test_a_task_of_the_client_with_the_id_of_a_successor_stays(
    alice: User, recurs: dict[str, Any]
) -> None:
    new = {"id": "0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"}
    own = alice.creates("own", id=successor_of(new), **recurs)
    task = alice.creates(**new, **MONDAYS)

    complete(alice, "toggle", task)
    reopen(alice, "toggle", task)

    assert alice.get(own.url).json() == own.document
    assert in_trash(alice) == []


def test_a_task_that_was_changed_is_succeeded_as_it_is_then(alice: User) -> None:
    task = alice.creates(**MONDAYS, tags=["a"])
    complete(alice, "toggle", task)
    reopen(alice, "toggle", task)
    alice.put(task.url, json={"title": "Buy bread", "tags": ["b"], "due_on": "2026-03-02"})

    made = next_after(alice, task)

    assert (made["title"], made["tags"], made["due_on"]) == ("Buy bread", ["b"], "2026-03-09")
    listed = alice.get(alice.tasks, params={"tag": "b"}).json()
    assert [each["completed"] for each in listed] == [False, True]


def test_a_task_in_the_trash_with_the_id_of_a_successor_is_not_overwritten(alice: User) -> None:
    new = {"id": "0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"}
    own = alice.creates("own", id=successor_of(new))
    alice.delete(own.url)
    trash = in_trash(alice)

    complete(alice, "toggle", alice.creates(**new, **MONDAYS))

    assert in_trash(alice) == trash


# Subtasks


def test_open_subtasks_are_copied_and_their_dates_move(alice: User) -> None:
    copy = Copy(alice)
    task = alice.creates(due_at="2026-03-26T08:00:00Z", time_zone=BERLIN, recurrence="FREQ=WEEKLY")
    about = {"parent_id": task.document["id"]}
    opened = alice.creates("open", due_at="2026-03-25T08:00:00Z", time_zone=BERLIN, **about)
    done = alice.creates("done", completed=True, **about)
    alice.creates("below open", parent_id=opened.document["id"], start_on="2026-03-01")
    alice.creates("below done", parent_id=done.document["id"])

    made = next_after(alice, task)
    copies = {
        each["title"]: each
        for each in alice.get(alice.tasks, params={"parent_id": made["id"]}).json()
    }
    assert copies.keys() == {"open", "below done"}
    [deeper] = alice.get(alice.tasks, params={"parent_id": copies["open"]["id"]}).json()
    assert (deeper["title"], deeper["start_on"]) == ("below open", "2026-03-08")
    # Clocks are set forward in between.
    assert copies["open"]["due_at"] == "2026-04-01T07:00:00.000000Z"
    copy.catches_up()
    assert copy.tasks == tasks_of(alice)


def test_copies_are_taken_back_and_made_again_with_their_parent(alice: User) -> None:
    task = alice.creates(**MONDAYS)
    alice.creates("subtask", parent_id=task.document["id"])
    made = next_after(alice, task)
    [subtask] = alice.get(alice.tasks, params={"parent_id": made["id"]}).json()

    reopen(alice, "toggle", task)
    assert {each["id"] for each in in_trash(alice)} == {made["id"], subtask["id"]}
    complete(alice, "toggle", task)

    [again] = alice.get(alice.tasks, params={"parent_id": made["id"]}).json()
    assert again["id"] == subtask["id"]
    assert in_trash(alice) == []


def test_a_copy_that_was_moved_away_stays_where_it_is(alice: User, database_url: str) -> None:
    task = alice.creates(**MONDAYS)
    alice.creates("subtask", parent_id=task.document["id"])
    made = next_after(alice, task)
    [subtask] = alice.get(alice.tasks, params={"parent_id": made["id"]}).json()
    alice.put(f"{alice.tasks}/{subtask['id']}", json={"parent_id": None})
    reopen(alice, "toggle", task)
    complete(alice, "toggle", task)

    kept = alice.get(f"{alice.tasks}/{subtask['id']}").json()
    assert kept["parent_id"] is None
    assert alice.get(alice.tasks, params={"parent_id": made["id"]}).json() == []
    assert uncounted_tasks(database_url, alice) == 0


@pytest.mark.parametrize("way", ["moved", "moved with its parent", "restored"])
def test_a_batch_that_completes_a_task_never_overwrites_an_earlier_copy(
    alice: User, database_url: str, way: str
) -> None:
    task = alice.creates(**MONDAYS)
    about = {"parent_id": task.document["id"]}
    upper = alice.creates("upper", **about)
    subtask = alice.creates("subtask", **about)
    complete(alice, "toggle", task)
    url = f"{alice.tasks}/{copy_of(task.document, subtask.document)}"
    alice.patch(url, json={"parent_id": None, "title": "precious"})
    reopen(alice, "toggle", task)
    kept = alice.get(url).json()
    named = upper if way == "moved with its parent" else subtask
    if named is upper:
        alice.patch(subtask.url, json={"parent_id": upper.document["id"]})
    if way == "restored":
        alice.delete(subtask.url)
        back = {"op": "restore", "id": subtask.document["id"]}
    else:
        alice.patch(named.url, json={"parent_id": None})
        back = {"op": "update", "id": named.document["id"], **about}

    assert batched(alice, back, {"op": "toggle", "id": task.document["id"]}).status_code == 200

    assert alice.get(url).json() == kept
    assert uncounted_tasks(database_url, alice) == 0
    reopen(alice, "toggle", task)
    assert alice.get(f"{alice.tasks}/{successor_of(task.document)}").status_code == 404


def test_what_is_below_a_copy_that_was_moved_away_moves_up(alice: User) -> None:
    task = alice.creates(**MONDAYS)
    upper = alice.creates("upper", parent_id=task.document["id"])
    lower = alice.creates("lower", parent_id=upper.document["id"])
    made = next_after(alice, task)
    moved, deleted = (copy_of(task.document, each.document) for each in (upper, lower))
    list_id = alice.creates_list().document["id"]
    alice.patch(f"{alice.tasks}/{moved}", json={"list_id": list_id, "parent_id": None})
    alice.delete(f"{alice.tasks}/{deleted}")

    reopen(alice, "toggle", task)
    complete(alice, "toggle", task)

    again = alice.get(f"{alice.tasks}/{deleted}").json()
    assert (again["list_id"], again["parent_id"]) == (None, made["id"])
    assert alice.get(f"{alice.tasks}/{moved}").json()["list_id"] == list_id


def test_no_copy_is_below_more_tasks_than_a_task_can_be(alice: User) -> None:
    task = alice.creates(**MONDAYS)
    upper = alice.creates("upper", parent_id=task.document["id"])
    made = next_after(alice, task)
    above = None
    for _ in range(MAX_DEPTH):
        above = alice.creates(parent_id=above).document["id"]
    url = f"{alice.tasks}/{copy_of(task.document, upper.document)}"
    assert alice.patch(url, json={"parent_id": above}).status_code == 200
    reopen(alice, "toggle", task)
    lower = alice.creates("lower", parent_id=upper.document["id"])

    complete(alice, "toggle", task)

    copy = alice.get(f"{alice.tasks}/{copy_of(task.document, lower.document)}").json()
    assert copy["parent_id"] == made["id"]


# Batches and limits


def test_one_batch_completes_a_task_and_its_successors(alice: User) -> None:
    new = {"id": "0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b", "title": "x", **MONDAYS}
    second = successor_of(new)
    third = successor_of({"id": second})

    response = batched(
        alice,
        {"op": "create", **new},
        *({"op": "toggle", "id": each} for each in (new["id"], second, third)),
    )

    assert [each["status"] for each in response.json()["results"]] == [201, 200, 200, 200]
    [made] = open_tasks(alice)
    assert made["due_on"] == "2026-02-16"
    assert made["series_id"] == new["id"]


def test_an_atomic_batch_that_fails_makes_no_successor(alice: User) -> None:
    task = alice.creates(**MONDAYS)

    response = batched(
        alice, {"op": "toggle", "id": task.document["id"]}, {"op": "toggle", "id": alice.id}
    )

    assert response.status_code == 404
    assert open_tasks(alice) == [task.document]


def test_a_stale_version_makes_no_successor(alice: User) -> None:
    task = alice.creates(**MONDAYS)
    for request in (
        partial(alice.patch, f"{task.url}/complete"),
        partial(alice.put, task.url, json={"completed": True}),
    ):
        response = request(headers={"If-Match": '"1"'})
        assert_refused(response, 412, "task-changed")
        assert response.json()["current"] == task.document

    assert open_tasks(alice) == [task.document]


def test_a_user_with_the_most_tasks_cannot_complete_one_that_needs_a_successor(
    new_database: Any,
) -> None:
    with serving(DATABASE_URL=new_database(), ERRAND_MAX_TASKS="1") as url, User(url) as user:
        task = user.creates(**MONDAYS)

        for request in (
            partial(user.patch, f"{task.url}/complete"),
            partial(user.put, task.url, json={"completed": True}),
            partial(user.patch, task.url, json={"completed": True}),
        ):
            assert_refused(request(), 403, "too-many-tasks")
        assert open_tasks(user) == [task.document]
