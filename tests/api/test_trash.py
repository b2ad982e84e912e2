"""The trash: what is deleted can be had back, until it is purged."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any
from uuid import uuid4

from tests.support.contract import assert_refused
from tests.support.operations import OPERATIONS, ask
from tests.support.races import RACERS, Servers, race
from tests.support.responses import assert_problem
from tests.support.users import Task, User, in_trash, restored


def of_trash(entry: dict[str, Any]) -> dict[str, str]:
    """The condition that the task is still as the trash shows it."""
    return {"If-Match": f'"{entry["revision"]}"'}


def test_deleted_task_is_in_the_trash_and_nowhere_else(alice: User, task: Task) -> None:
    other = alice.creates("another")

    alice.delete(task.url)

    [entry] = in_trash(alice)
    stamped = {name: entry[name] for name in ("updated_at", "revision", "deleted_at")}
    assert entry == {**task.document, **stamped}
    assert entry["revision"] > other.document["revision"]
    assert datetime.fromisoformat(entry["deleted_at"]).utcoffset() is not None
    assert alice.get(alice.tasks).json() == [other.document]
    assert_problem(alice.get(task.url), 404, "task-not-found")


def test_trash_shows_tasks_of_its_owner_only(alice: User, bob: User, task: Task) -> None:
    alice.delete(task.url)

    assert in_trash(bob) == []
    theirs = task.url.replace(alice.id, bob.id)
    assert_problem(bob.post(f"{theirs}/restore"), 404, "task-not-found")
    assert len(in_trash(alice)) == 1


def test_trash_is_paged_latest_deletion_first(alice: User) -> None:
    created = [alice.creates(str(number), completed=number % 2 == 0) for number in range(5)]
    deleted = [created[index] for index in (3, 0, 4, 1, 2)]
    for each in deleted:
        alice.delete(each.url)

    first = alice.get(alice.trash, params={"limit": 3})
    rest = alice.get(first.links["next"]["url"])

    shown = [entry["id"] for entry in first.json() + rest.json()]
    assert shown == [each.document["id"] for each in reversed(deleted)]
    assert rest.json() == in_trash(alice, offset=3, limit=3)
    assert "next" not in rest.links
    done = [entry["title"] for entry in in_trash(alice, completed=True)]
    assert done == ["2", "4", "0"]


def test_trash_has_the_etag_of_every_list(alice: User, task: Task) -> None:
    alice.delete(task.url)
    shown = alice.get(alice.trash)
    known = {"If-None-Match": shown.headers["etag"]}

    assert alice.get(alice.trash, headers=known).status_code == 304
    restored(alice, task)
    emptied = alice.get(alice.trash, headers=known)
    assert (emptied.status_code, emptied.json()) == (200, [])


def test_restored_task_differs_only_in_its_version(alice: User, task: Task) -> None:
    alice.delete(task.url)
    [entry] = in_trash(alice)

    response = restored(alice, task)

    assert response.status_code == 200
    back = response.json()
    stamped = {name: back[name] for name in ("updated_at", "revision")}
    assert back == {**task.document, **stamped}
    assert response.headers["etag"] == f'"{back["revision"]}"' > f'"{entry["revision"]}"'
    assert alice.get(task.url).json() == back
    assert alice.get(alice.tasks).json() == [back]
    assert in_trash(alice) == []


def test_restored_task_can_be_deleted_again(alice: User, task: Task) -> None:
    alice.delete(task.url)
    restored(alice, task)

    assert alice.delete(task.url).status_code == 204
    assert len(in_trash(alice)) == 1


def test_restoring_an_active_task_changes_nothing(alice: User, task: Task) -> None:
    response = restored(alice, task)

    assert response.status_code == 200
    assert response.json() == task.document
    assert response.headers["etag"] == task.etag
    assert alice.get(alice.tasks).headers["etag"] == f"W/{task.etag}"


def test_restoring_an_unknown_task_returns_404(alice: User) -> None:
    response = alice.post(f"{alice.tasks}/{uuid4()}/restore", headers={"If-Match": "*"})

    assert_problem(response, 404, "task-not-found")


def test_restore_obeys_if_match(alice: User, task: Task) -> None:
    alice.delete(task.url)
    [entry] = in_trash(alice)

    stale = restored(alice, task, **{"If-Match": task.etag})
    fresh = restored(alice, task, **of_trash(entry))
    again = restored(alice, task, **of_trash(entry))

    assert assert_refused(stale, 412, "task-changed")["deleted_task"] == entry
    assert fresh.status_code == 200
    assert assert_refused(again, 412, "task-changed")["current"] == fresh.json()


def test_one_of_racing_restores_with_one_etag_succeeds(
    alice: User, task: Task, servers: Servers
) -> None:
    alice.delete(task.url)
    [entry] = in_trash(alice)

    answers = race(alice, servers, [lambda: restored(alice, task, **of_trash(entry))] * RACERS)

    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200] + [412] * (RACERS - 1)


def test_racing_restores_all_succeed_and_count_once(
    alice: User, task: Task, servers: Servers
) -> None:
    alice.delete(task.url)

    answers = race(alice, servers, [lambda: restored(alice, task)] * RACERS)

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["revision"] for answer in answers}) == 1


def test_racing_deletes_and_restores_leave_the_task_in_one_place(alice: User, task: Task) -> None:
    operations = [OPERATIONS["delete_task"], OPERATIONS["restore_task"]] * 50
    ids = {"user_id": alice.id, "task_id": task.document["id"]}

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda each: ask(alice, each, ids=ids), operations))

    assert {answer.status_code for answer in answers} <= {200, 204, 404}
    assert len(alice.get(alice.tasks).json()) + len(in_trash(alice)) == 1
