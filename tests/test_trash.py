"""The trash: what is deleted can be had back, until it is purged."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any
from uuid import uuid4

import httpx
import psycopg2
import pytest

from db import trash
from db.database import connected
from openapi.settings import load_settings
from tests.conftest import Serve, Task, User, administration, as_owner, assert_problem
from tests.coverage import OPERATIONS, ask
from tests.races import RACERS, race


def in_trash(user: User, **filters: Any) -> list[dict[str, Any]]:
    response = user.get(user.tasks, params={"deleted": True, **filters})
    assert response.status_code == 200
    found: list[dict[str, Any]] = response.json()
    return found


def restored(user: User, task: Task, **headers: str) -> httpx.Response:
    return user.post(f"{task.url}/restore", headers=headers)


def of_trash(entry: dict[str, Any]) -> dict[str, str]:
    """The condition that the task is still as the trash shows it."""
    return {"If-Match": f'"{entry["revision"]}"'}


def test_a_deleted_task_is_in_the_trash_and_nowhere_else(alice: User, task: Task) -> None:
    other = alice.creates("another")

    alice.delete(task.url)

    [entry] = in_trash(alice)
    stamped = {name: entry[name] for name in ("updated_at", "revision", "deleted_at")}
    assert entry == {**task.document, **stamped}
    assert entry["revision"] > other.document["revision"]
    assert datetime.fromisoformat(entry["deleted_at"]).utcoffset() is not None
    assert alice.get(alice.tasks).json() == [other.document]
    assert_problem(alice.get(task.url), 404, "task-not-found")


def test_the_trash_is_its_owners_alone(alice: User, bob: User, task: Task) -> None:
    alice.delete(task.url)

    assert in_trash(bob) == []
    theirs = task.url.replace(alice.id, bob.id)
    assert_problem(bob.post(f"{theirs}/restore"), 404, "task-not-found")
    assert len(in_trash(alice)) == 1


def test_the_trash_shows_what_was_deleted_last_first_a_page_at_a_time(alice: User) -> None:
    created = [alice.creates(str(number), completed=number % 2 == 0) for number in range(5)]
    deleted = [created[index] for index in (3, 0, 4, 1, 2)]
    for each in deleted:
        alice.delete(each.url)

    first = alice.get(alice.tasks, params={"deleted": True, "limit": 3})
    rest = alice.get(first.links["next"]["url"])

    shown = [entry["id"] for entry in first.json() + rest.json()]
    assert shown == [each.document["id"] for each in reversed(deleted)]
    assert rest.json() == in_trash(alice, offset=3, limit=3)
    assert "next" not in rest.links
    done = [entry["title"] for entry in in_trash(alice, completed=True)]
    assert done == ["2", "4", "0"]


def test_the_trash_has_the_version_of_every_list(alice: User, task: Task) -> None:
    alice.delete(task.url)
    shown = alice.get(alice.tasks, params={"deleted": True})
    known = {"If-None-Match": shown.headers["etag"]}

    assert alice.get(alice.tasks, params={"deleted": True}, headers=known).status_code == 304
    restored(alice, task)
    emptied = alice.get(alice.tasks, params={"deleted": True}, headers=known)
    assert (emptied.status_code, emptied.json()) == (200, [])


def test_a_restored_task_is_as_it_was_but_of_a_new_version(alice: User, task: Task) -> None:
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


def test_a_restored_task_can_be_deleted_again(alice: User, task: Task) -> None:
    alice.delete(task.url)
    restored(alice, task)

    assert alice.delete(task.url).status_code == 204
    assert len(in_trash(alice)) == 1


def test_a_task_that_is_not_in_the_trash_is_left_as_it_is(alice: User, task: Task) -> None:
    response = restored(alice, task)

    assert response.status_code == 200
    assert response.json() == task.document
    assert response.headers["etag"] == task.etag
    assert alice.get(alice.tasks).headers["etag"] == f"W/{task.etag}"


def test_what_never_was_cannot_be_restored(alice: User) -> None:
    response = alice.post(f"{alice.tasks}/{uuid4()}/restore", headers={"If-Match": "*"})

    assert_problem(response, 404, "task-not-found")


def test_a_task_is_restored_as_the_trash_shows_it_and_not_otherwise(
    alice: User, task: Task
) -> None:
    alice.delete(task.url)
    [entry] = in_trash(alice)

    stale = restored(alice, task, **{"If-Match": task.etag})
    fresh = restored(alice, task, **of_trash(entry))
    again = restored(alice, task, **of_trash(entry))

    assert assert_problem(stale, 412, "task-changed")["current"] == entry
    assert fresh.status_code == 200
    assert assert_problem(again, 412, "task-changed")["current"] == fresh.json()


def test_of_racing_restorations_of_one_version_one_is_made(
    alice: User, task: Task, database_url: str
) -> None:
    alice.delete(task.url)
    [entry] = in_trash(alice)

    answers = race(alice, database_url, [lambda: restored(alice, task, **of_trash(entry))] * RACERS)

    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200] + [412] * (RACERS - 1)


def test_racing_restorations_all_succeed_and_count_once(
    alice: User, task: Task, database_url: str
) -> None:
    alice.delete(task.url)

    answers = race(alice, database_url, [lambda: restored(alice, task)] * RACERS)

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["revision"] for answer in answers}) == 1


def test_deletions_and_restorations_that_race_leave_the_task_in_one_place(
    alice: User, task: Task
) -> None:
    operations = [OPERATIONS["delete_task"], OPERATIONS["restore_task"]] * 50
    ids = {"user_id": alice.id, "task_id": task.document["id"]}

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda each: ask(alice, each, ids=ids), operations))

    assert {answer.status_code for answer in answers} <= {200, 204, 404}
    assert len(alice.get(alice.tasks).json()) + len(in_trash(alice)) == 1


@pytest.fixture
def own_database(new_database: Callable[[], str]) -> str:
    """One whose trash nobody else's tests fill."""
    return new_database()


@pytest.fixture
def carol(serve: Serve, own_database: str) -> Iterator[User]:
    """A user of that database."""
    with User(serve(DATABASE_URL=own_database)) as user:
        yield user


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(as_owner(url))
    with connection, connection.cursor() as cursor:
        cursor.execute(query)
        found = cursor.fetchall()
    connection.close()
    return found


def aged(url: str, *tasks: Task, days: float) -> None:
    """Let these have been deleted so long ago."""
    ids = ", ".join(f"'{task.document['id']}'" for task in tasks)
    with administration(url) as execute:
        execute(f"UPDATE tasks SET deleted_at = now() - interval '{days} days' WHERE id IN ({ids})")


def purge(url: str, *flags: str) -> str:
    """What the command says."""
    return subprocess.run(
        [sys.executable, "-m", "openapi", "purge", *flags],
        env={**os.environ, "DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout


def test_what_has_been_in_the_trash_for_thirty_days_is_purged(
    carol: User, own_database: str
) -> None:
    kept, fresh, old, older = (carol.creates(str(number)) for number in range(4))
    for each in (older, fresh, old):
        carol.delete(each.url)
    aged(own_database, fresh, days=29.9)
    aged(own_database, old, older, days=30.1)
    purgeable = {entry["id"]: entry["revision"] for entry in in_trash(carol)}
    known = carol.get(carol.tasks, params={"deleted": True}).headers["etag"]

    assert purge(own_database) == "2 tasks were purged.\n"
    assert purge(own_database) == "0 tasks were purged.\n"

    left = carol.get(carol.tasks, params={"deleted": True}, headers={"If-None-Match": known})
    assert [entry["id"] for entry in left.json()] == [fresh.document["id"]]
    assert carol.get(carol.tasks).json() == [kept.document]
    for gone in (old, older):
        assert_problem(restored(carol, gone), 404, "task-not-found")
    assert restored(carol, fresh).status_code == 200
    [(purged_revision,)] = rows(own_database, "SELECT purged_revision FROM users")
    assert purged_revision == purgeable[old.document["id"]]


def test_an_id_is_free_again_when_its_task_is_purged(carol: User, own_database: str) -> None:
    task = carol.creates()
    carol.delete(task.url)
    body = {"title": "x", "id": task.document["id"]}
    assert_problem(carol.post(carol.tasks, json=body), 409, "id-taken")

    aged(own_database, task, days=31)
    purge(own_database)

    assert carol.post(carol.tasks, json=body).status_code == 201


def test_how_long_the_trash_is_kept_can_be_set(carol: User, own_database: str) -> None:
    task = carol.creates()
    carol.delete(task.url)
    aged(own_database, task, days=2)

    assert purge(own_database, "--trash-days", "3") == "0 tasks were purged.\n"
    assert purge(own_database, "--trash-days", "1") == "1 tasks were purged.\n"


def test_several_may_purge_at_once_while_people_work(carol: User, own_database: str) -> None:
    tombstones = 5 * trash.AT_ONCE
    with administration(own_database) as execute:
        execute("INSERT INTO users (id) SELECT gen_random_uuid() FROM generate_series(1, 50)")
        execute(
            "INSERT INTO tasks (user_id, id, title, revision, deleted_at)"
            " SELECT users.id, gen_random_uuid(), 'x', number, now() - interval '40 days'"
            f" FROM users, generate_series(1, {tombstones // 50}) AS number"
        )
    task = carol.creates()

    with ThreadPoolExecutor(5) as pool:
        purging = [pool.submit(purge, own_database) for _ in range(3)]
        working = [pool.submit(back_and_forth, carol, task) for _ in range(2)]
    purged = sum(int(each.result().split()[0]) for each in purging)

    assert purged == tombstones
    assert {status for each in working for status in each.result()} <= {200, 204, 404}
    [(most, least)] = rows(
        own_database,
        f"SELECT max(purged_revision), min(purged_revision) FROM users WHERE id <> '{carol.id}'",
    )
    assert most == least == tombstones // 50


def back_and_forth(user: User, task: Task) -> list[int]:
    return [
        answer.status_code
        for _ in range(50)
        for answer in (user.delete(task.url), restored(user, task))
    ]


def test_whoever_writes_just_now_is_passed_over(carol: User, own_database: str) -> None:
    task = carol.creates()
    carol.delete(task.url)
    aged(own_database, task, days=31)
    holder = psycopg2.connect(as_owner(own_database))
    with holder, holder.cursor() as cursor:
        cursor.execute("SELECT FROM users FOR UPDATE")

        assert purge(own_database) == "0 tasks were purged.\n"

    holder.close()
    assert purge(own_database) == "1 tasks were purged.\n"


def test_a_server_purges_by_itself(
    carol: User, own_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trash, "SOON", (0.0, 0.0))
    monkeypatch.setattr(trash, "A_DAY", 0.01)
    task = carol.creates()

    async def serve_for_a_while() -> None:
        async with connected(load_settings(database_url=own_database).pool_options()):
            purging = asyncio.create_task(trash.purge_daily(30))
            await asyncio.sleep(0.3)
            carol.delete(task.url)
            aged(own_database, task, days=31)
            async with asyncio.timeout(10):
                while rows(own_database, "SELECT FROM tasks"):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            purging.cancel()

    asyncio.run(serve_for_a_while())


def test_nobody_may_purge_but_who_is_granted_it(own_database: str) -> None:
    [(anybody,)] = rows(
        own_database,
        "SELECT has_function_privilege('public', 'purge_trash(interval, integer)', 'execute')",
    )

    assert not anybody
