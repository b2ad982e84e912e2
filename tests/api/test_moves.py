"""A task moves before or after another one, whatever happens at the same time."""

from concurrent.futures import ThreadPoolExecutor
from random import Random
from uuid import uuid4

import httpx
import pytest

from db.tasks.moves import SHORT
from tests.support.databases import administration
from tests.support.feed import Copy
from tests.support.races import Servers
from tests.support.responses import assert_faults, assert_problem
from tests.support.users import Task, User


def move(user: User, task: Task, target: dict[str, str], **headers: str) -> httpx.Response:
    return user.post(f"{task.url}/move", json=target, headers=headers)


def id_of(task: Task) -> str:
    return str(task.document["id"])


def titles(user: User) -> str:
    tasks = user.get(user.tasks, params={"sort": "position", "limit": 100}).json()
    return "".join(task["title"] for task in tasks)


@pytest.fixture
def tasks(alice: User) -> dict[str, Task]:
    """Alice's tasks a, b, c and d, in this order."""
    return {title: alice.creates(title) for title in "abcd"}


@pytest.mark.parametrize(
    ("title", "target", "order"),
    [
        ("a", {"after": "b"}, "bacd"),
        ("a", {"after": "d"}, "bcda"),
        ("a", {"before": "d"}, "bcad"),
        ("d", {"before": "a"}, "dabc"),
        ("d", {"after": "a"}, "adbc"),
        ("a", {"before": "b"}, "abcd"),
        ("b", {"after": "a"}, "abcd"),
        ("a", {}, "bcda"),
        ("d", {}, "abcd"),
    ],
)
def test_a_task_moves_before_or_after_another_or_to_the_end(
    alice: User, tasks: dict[str, Task], title: str, target: dict[str, str], order: str
) -> None:
    copy = Copy(alice)
    copy.catches_up()
    named = {side: id_of(tasks[other]) for side, other in target.items()}

    response = move(alice, tasks[title], named)

    assert response.status_code == 200, response.text
    task = response.json()
    assert response.headers["etag"] == f'"{task["revision"]}"' != tasks[title].etag
    before = tasks[title].document
    stamps = {name: task[name] for name in ("position", "updated_at", "revision")}
    assert task == {**before, **stamps} == alice.get(tasks[title].url).json()
    assert titles(alice) == order
    alice.creates("e")
    assert titles(alice) == order + "e"
    copy.catches_up()
    assert copy.tasks[task["id"]] == task


def test_a_single_task_moves_to_the_end(alice: User, task: Task) -> None:
    assert move(alice, task, {}).status_code == 200


def test_a_task_moves_between_tasks_of_one_position(alice: User) -> None:
    tasks = [alice.creates(str(number), position="a0") for number in range(9)]
    tasks.sort(key=id_of)
    moving, *others = tasks

    assert move(alice, moving, {"after": id_of(others[3])}).status_code == 200

    found = alice.get(alice.tasks, params={"sort": "position"}).json()
    expected = [*others[:4], moving, *others[4:]]
    assert [task["id"] for task in found] == [id_of(task) for task in expected]


def test_a_deleted_task_between_two_others_is_passed_over(
    alice: User, tasks: dict[str, Task]
) -> None:
    alice.delete(tasks["b"].url)
    move(alice, tasks["d"], {"after": id_of(tasks["a"])})
    alice.post(f"{tasks['b'].url}/restore")

    assert titles(alice) == "adbc"


@pytest.mark.parametrize("side", ["before", "after"])
def test_a_task_moves_only_beside_another_one_that_is_there(
    alice: User, bob: User, tasks: dict[str, Task], side: str
) -> None:
    alice.delete(tasks["d"].url)
    of_bob = bob.creates()
    for other in (tasks["d"], tasks["a"], of_bob):
        assert_faults(move(alice, tasks["a"], {side: id_of(other)}), f"/{side}")
    both = {"before": id_of(tasks["b"]), "after": id_of(tasks["c"])}
    assert_faults(move(alice, tasks["a"], both), "/after")
    assert titles(alice) == "abc"
    beside_a = {side: id_of(tasks["a"])}
    for unknown in (id_of(tasks["d"]), id_of(of_bob)):
        response = alice.post(f"{alice.tasks}/{unknown}/move", json=beside_a)
        assert_problem(response, 404, "task-not-found")


def test_a_task_moves_to_a_list_and_below_a_parent_with_all_that_is_below_it(alice: User) -> None:
    list_id = alice.creates_list().document["id"]
    parent = alice.creates("parent", list_id=list_id)
    first, second = (
        alice.creates(each, list_id=list_id, parent_id=id_of(parent)) for each in ("first", "2nd")
    )
    moving = alice.creates("moving")
    child = alice.creates("child", parent_id=id_of(moving))
    place = {"list_id": list_id, "parent_id": id_of(parent)}

    task = move(alice, moving, {**place, "before": id_of(second)}).json()

    assert {name: task[name] for name in place} == place
    positions = [first.document["position"], task["position"], second.document["position"]]
    assert positions == sorted(positions)
    below = alice.get(child.url).json()
    assert (below["list_id"], below["parent_id"]) == (list_id, id_of(moving))
    assert below["position"] == child.document["position"]


def test_a_move_is_refused_where_the_task_cannot_be(alice: User) -> None:
    list_id = alice.creates_list().document["id"]
    listed = alice.creates(list_id=list_id)
    moving = alice.creates()
    child = alice.creates(parent_id=id_of(moving))
    nowhere = str(uuid4())
    beside = {"before": id_of(listed)}

    assert_faults(move(alice, moving, beside), "/before")
    assert_faults(move(alice, moving, {"list_id": nowhere, **beside}), "/list_id")
    assert_faults(move(alice, moving, {"parent_id": nowhere}), "/parent_id")
    assert_faults(move(alice, moving, {"parent_id": id_of(child)}), "/parent_id")
    assert_faults(move(alice, child, {"list_id": list_id, **beside}), "/parent_id")
    for task in (listed, moving, child):
        assert alice.get(task.url).json() == task.document


def test_a_stale_if_match_moves_nothing(alice: User, tasks: dict[str, Task]) -> None:
    stale = {"If-Match": tasks["a"].etag}
    changed = alice.put(tasks["a"].url, json={"title": "A"})

    response = move(alice, tasks["a"], {}, **stale)

    assert_problem(response, 412, "task-changed")
    assert response.json()["current"] == changed.json()
    current = {"If-Match": changed.headers["etag"]}
    assert move(alice, tasks["a"], {}, **current).status_code == 200
    assert titles(alice) == "bcdA"


def test_a_move_with_a_key_is_done_once(alice: User, tasks: dict[str, Task]) -> None:
    key = {"Idempotency-Key": "move-1"}
    first = move(alice, tasks["a"], {"after": id_of(tasks["b"])}, **key)
    move(alice, tasks["a"], {})

    again = move(alice, tasks["a"], {"after": id_of(tasks["b"])}, **key)

    assert again.json() == first.json()
    assert titles(alice) == "bcda"


def test_where_there_is_no_room_the_tasks_around_change_each_with_a_revision(alice: User) -> None:
    first = "a0" + 40 * "0"
    positions = {"a": f"{first}1", "b": f"{first}2", "c": "a1", "d": "a2"}
    tasks = {title: alice.creates(title, position=each) for title, each in positions.items()}
    copy = Copy(alice)
    copy.catches_up()
    for number in range(100):
        response = move(alice, tasks["cd"[number % 2]], {"after": id_of(tasks["a"])})
        if alice.get(tasks["b"].url).json()["position"] != positions["b"]:
            break

    found = alice.get(alice.tasks, params={"sort": "position"}).json()
    assert "".join(task["title"] for task in found) in ("acdb", "adcb")
    assert max(len(task["position"]) for task in found) <= SHORT
    revisions = {task["revision"] for task in found}
    assert len(revisions) == 4
    assert response.json()["revision"] == max(revisions)
    copy.catches_up(limit=1)
    assert copy.tasks == {task["id"]: task for task in found}


def test_among_too_many_tasks_of_one_position_a_move_is_refused(
    alice: User, database_url: str
) -> None:
    moving = alice.creates()
    with administration(database_url) as execute:
        execute(
            "INSERT INTO tasks (user_id, id, title, revision)"
            f" SELECT '{alice.id}', gen_random_uuid(), 'x', n FROM generate_series(1, 1101) n"
        )
    tasks = alice.get(alice.tasks, params={"sort": "position", "offset": 550, "limit": 1}).json()

    response = move(alice, moving, {"after": tasks[0]["id"]})

    assert_faults(response, "/after")
    assert "another `position`" in response.text


def test_behind_too_many_tasks_of_the_last_position_a_move_is_refused(
    alice: User, database_url: str
) -> None:
    moving = alice.creates()
    with administration(database_url) as execute:
        execute(
            "INSERT INTO tasks (user_id, id, title, revision, position)"
            f" SELECT '{alice.id}', gen_random_uuid(), 'x', n, 'm' || repeat('z', 99)"
            " FROM generate_series(1, 501) n"
        )

    assert_faults(move(alice, moving, {}), "")


def test_moves_at_the_same_time_are_done_one_after_the_other(servers: Servers, alice: User) -> None:
    tasks = [alice.creates(str(number)) for number in range(10)]
    ids = [id_of(task) for task in tasks]

    def moves(seed: int) -> list[tuple[int, str, str, str]]:
        random = Random(seed)
        done = []
        with User(servers.urls[seed % len(servers.urls)]) as user:
            for _ in range(15):
                moving, other = random.sample(ids, 2)
                side = random.choice(["before", "after"])
                url = f"{alice.tasks}/{moving}/move"
                response = user.post(url, json={side: other})
                assert response.status_code == 200, response.text
                done.append((response.json()["revision"], moving, side, other))
        return done

    with ThreadPoolExecutor(8) as pool:
        done = [each for several in pool.map(moves, range(8)) for each in several]

    expected = [*ids]
    for _, moving, side, other in sorted(done):
        expected.remove(moving)
        expected.insert(expected.index(other) + (side == "after"), moving)
    found = alice.get(alice.tasks, params={"sort": "position"}).json()
    assert [task["id"] for task in found] == expected
    assert len({task["position"] for task in found}) == len(found)
