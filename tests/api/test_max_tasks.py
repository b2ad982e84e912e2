"""The number of a user's tasks has a maximum, and is exact whatever happens at once."""

import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from typing import Any, NamedTuple
from uuid import uuid4

import httpx
import pytest

from tests.support.contract import assert_refused
from tests.support.databases import administration, query_as_owner
from tests.support.idempotency import assert_replayed, key
from tests.support.operations import OPERATIONS, assert_as_described
from tests.support.races import RACERS, Servers, race
from tests.support.servers import Serve, errand
from tests.support.users import Task, User

MOST = 5
MILK = {"title": "Buy milk"}


@pytest.fixture
def carol(serve: Serve, own_database: str) -> Iterator[User]:
    """A user of a server that stores few tasks of each."""
    with User(serve(DATABASE_URL=own_database, ERRAND_MAX_TASKS=str(MOST))) as user:
        yield user


def creates(size: int, **fields: str) -> list[Any]:
    """So many operations of a batch."""
    return [{"op": "create", **MILK, **fields}] * size


def batch(user: User, operations: list[Any], **more: Any) -> httpx.Response:
    return user.post(f"{user.tasks}/batch", json={"operations": operations, **more})


def counted(url: str) -> list[int]:
    """The number that is kept of each user, after it has proved to be right."""
    wrong = (
        "SELECT id FROM users WHERE task_count <>"
        " (SELECT count(*) FROM tasks WHERE user_id = users.id)"
    )
    assert query_as_owner(url, wrong) == []
    return query_as_owner(url, "SELECT task_count FROM users")


def test_task_over_the_maximum_is_refused_and_changes_nothing(carol: User) -> None:
    for _ in range(MOST):
        carol.creates()
    before = carol.get(carol.tasks)

    refused = carol.post(carol.tasks, json=MILK)

    problem = assert_refused(refused, 403, "too-many-tasks")
    assert_as_described(refused, OPERATIONS["create_task"])
    assert f"{MOST} tasks" in problem["detail"]
    after = carol.get(carol.tasks)
    assert (after.json(), after.headers["etag"]) == (before.json(), before.headers["etag"])
    with User(str(carol.base_url)) as another:
        another.creates()


def test_deleted_tasks_count_until_they_are_purged(carol: User, own_database: str) -> None:
    for _ in range(MOST):
        carol.delete(carol.creates().url)
    assert_refused(carol.post(carol.tasks, json=MILK), 403, "too-many-tasks")

    with administration(own_database) as execute:
        execute(
            "UPDATE tasks SET deleted_at = '2000-01-01' WHERE id IN (SELECT id FROM tasks LIMIT 2)"
        )
    assert errand("purge", DATABASE_URL=own_database).returncode == 0

    assert counted(own_database) == [MOST - 2]
    assert [carol.post(carol.tasks, json=MILK).status_code for _ in range(3)] == [201, 201, 403]


def test_existing_task_can_be_changed_and_restored_at_the_maximum(carol: User) -> None:
    tasks = [carol.creates() for _ in range(MOST)]

    statuses = [
        carol.delete(tasks[0].url).status_code,
        carol.post(f"{tasks[0].url}/restore").status_code,
        carol.patch(f"{tasks[1].url}/complete").status_code,
        batch(carol, [{"op": "toggle", "id": tasks[2].document["id"]}]).status_code,
    ]

    assert statuses == [204, 200, 200, 200]


def test_id_that_is_taken_is_named_at_the_maximum_too(carol: User) -> None:
    tasks = [carol.creates() for _ in range(MOST)]
    own = {**MILK, "id": tasks[0].document["id"]}

    problem = assert_refused(carol.post(carol.tasks, json=own), 409, "id-taken")
    [result] = batch(carol, [{"op": "create", **own}], atomic=False).json()["results"]

    assert problem["current"] == tasks[0].document
    assert result["problem"]["type"] == "/problems#id-taken"


def test_each_create_of_a_batch_is_refused_at_the_maximum(carol: User, own_database: str) -> None:
    task = carol.creates()
    toggle = {"op": "toggle", "id": task.document["id"]}

    response = batch(carol, [*creates(MOST), toggle], atomic=False)

    assert_as_described(response, OPERATIONS["batch_tasks"])
    results = response.json()["results"]
    assert [each["status"] for each in results] == [201] * (MOST - 1) + [403, 200]
    assert results[-2]["problem"]["type"] == "/problems#too-many-tasks"
    assert counted(own_database) == [MOST]


def test_atomic_batch_over_the_maximum_is_undone(carol: User, own_database: str) -> None:
    carol.creates()

    refused = batch(carol, creates(MOST))

    problem = assert_refused(refused, 403, "too-many-tasks")
    assert_as_described(refused, OPERATIONS["batch_tasks"])
    assert [each["pointer"] for each in problem["errors"]] == [f"/operations/{MOST - 1}"]
    assert counted(own_database) == [1]
    assert batch(carol, creates(MOST - 1)).status_code == 200


def test_replay_counts_once_and_a_refusal_is_not_stored(carol: User, own_database: str) -> None:
    first, again = (carol.post(carol.tasks, json=MILK, headers=key()) for _ in range(2))
    assert_replayed(again, first)
    assert counted(own_database) == [1]
    batch(carol, creates(MOST - 1))
    later: dict[str, Any] = {"json": MILK, "headers": key("later")}

    refused = carol.post(carol.tasks, **later)
    query_as_owner(own_database, "UPDATE users SET task_count = task_count - 1")

    assert_refused(refused, 403, "too-many-tasks")
    assert carol.post(carol.tasks, **later).status_code == 201


def test_erased_user_can_have_as_many_tasks_again(carol: User, own_database: str) -> None:
    batch(carol, creates(MOST))

    carol.delete(f"/api/{carol.id}")

    assert batch(carol, creates(MOST)).status_code == 200
    assert counted(own_database) == [MOST]


def test_racing_creations_with_one_id_count_once(
    alice: User, task: Task, servers: Servers, database_url: str
) -> None:
    body = {**MILK, "id": str(uuid4())}

    race(alice, servers, [lambda: alice.post(alice.tasks, json=body)] * RACERS)

    count = "SELECT task_count FROM users WHERE id = %s"
    assert query_as_owner(database_url, count, alice.id) == [2]
    rows = "SELECT count(*) FROM tasks WHERE user_id = %s"
    assert query_as_owner(database_url, rows, alice.id) == [2]


class Attempt(NamedTuple):
    """A request that creates tasks: so many at once, all or none."""

    began: float
    ended: float
    size: int
    status: int


def attempts_of(user: User, chance: random.Random, ids: list[str]) -> list[Attempt]:
    """Random creations, some with one of these ids."""
    found = []
    for _ in range(25):
        size = chance.choice([1, 1, 1, 2, 5])
        headers = key(uuid4()) if chance.random() < 0.3 else {}
        own = {"id": chance.choice(ids)} if size == 1 and chance.random() < 0.2 else {}
        began = time.monotonic()
        if size == 1:
            response = user.post(user.tasks, json={**MILK, **own}, headers=headers)
        else:
            response = batch(user, creates(size))
        found.append(Attempt(began, time.monotonic(), size, response.status_code))
    return found


def test_concurrent_creates_never_exceed_the_maximum_and_are_never_refused_below_it(
    serve: Serve, own_database: str
) -> None:
    most, people = 100, 6
    settings = {"DATABASE_URL": own_database, "ERRAND_MAX_TASKS": str(most)}
    urls = cycle([serve(**settings), serve(**settings)])
    ids = [str(uuid4()) for _ in range(5)]
    user_id = str(uuid4())

    def one(number: int) -> list[Attempt]:
        with User(next(urls)) as user:
            user.id, user.tasks = user_id, f"/api/{user_id}/tasks"
            return attempts_of(user, random.Random(number), ids)

    with ThreadPoolExecutor(people) as pool:
        attempts = [each for found in pool.map(one, range(people)) for each in found]

    assert {each.status for each in attempts} <= {200, 201, 403, 409}
    created = [each for each in attempts if each.status in (200, 201)]
    assert counted(own_database) == [sum(each.size for each in created)] == [most]
    for refused in (each for each in attempts if each.status == 403):
        begun = sum(each.size for each in created if each.began < refused.ended)
        assert begun + refused.size > most
