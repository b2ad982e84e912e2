"""Subtasks: tasks below other tasks, which move, go to the trash and come back together."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.support.contract import assert_refused
from tests.support.databases import administration
from tests.support.feed import Copy, lists_of, tasks_of
from tests.support.races import Servers, race
from tests.support.responses import assert_faults
from tests.support.users import Task, User, in_trash, restored

MOST_ABOVE = 10


def below(user: User, parent: Task, title: str = "subtask", **fields: Any) -> Task:
    return user.creates(title, parent_id=parent.document["id"], **fields)


def chain(user: User, length: int, **fields: Any) -> list[Task]:
    """So many tasks, each below the one before it."""
    tasks = [user.creates("0", **fields)]
    for number in range(1, length):
        tasks.append(below(user, tasks[-1], str(number)))
    return tasks


def moved(user: User, task: Task, **place: Any) -> httpx.Response:
    return user.patch(task.url, json=place)


def under(parent: Task) -> dict[str, Any]:
    return {"parent_id": parent.document["id"]}


def titles(user: User, **filters: Any) -> set[str]:
    return {task["title"] for task in user.get(user.tasks, params=filters).json()}


def batched(user: User, *operations: dict[str, Any], atomic: bool = True) -> httpx.Response:
    return user.post(f"{user.tasks}/batch", json={"operations": operations, "atomic": atomic})


# Where a task can be


def test_a_subtask_is_below_its_parent(alice: User, task: Task) -> None:
    subtask = below(alice, task)
    deeper = below(alice, subtask, "deeper")

    assert subtask.document["parent_id"] == task.document["id"]
    assert alice.get(subtask.url).json() == subtask.document
    assert titles(alice, parent_id=task.document["id"]) == {"subtask"}
    assert titles(alice, parent_id=subtask.document["id"]) == {"deeper"}
    assert titles(alice, top_level=True) == {"Buy milk"}
    assert titles(alice, top_level=False) == {"subtask", "deeper"}
    assert moved(alice, deeper, parent_id=None).json()["parent_id"] is None


def ways_below(user: User, parent_id: str) -> list[tuple[httpx.Response, str]]:
    """Requests that put a task below another, and the place of its id in each."""
    task = user.creates()
    new = {"title": "x", "parent_id": parent_id}
    update = {"op": "update", "id": task.document["id"], "parent_id": parent_id}
    return [
        (user.post(user.tasks, json=new), "/parent_id"),
        (user.post(user.tasks, json={**new, "id": str(uuid4())}), "/parent_id"),
        (user.put(task.url, json={"parent_id": parent_id}), "/parent_id"),
        (user.patch(task.url, json={"parent_id": parent_id}), "/parent_id"),
        (batched(user, {"op": "create", **new}), "/operations/0/parent_id"),
        (batched(user, {"op": "create", "title": "x"}, update), "/operations/1/parent_id"),
    ]


@pytest.mark.parametrize("what", ["unknown", "deleted", "another user's"])
def test_a_parent_that_is_not_there_is_refused_at_parent_id(
    alice: User, bob: User, task: Task, what: str
) -> None:
    parent_id = str(uuid4())
    if what == "deleted":
        alice.delete(task.url)
        parent_id = task.document["id"]
    elif what == "another user's":
        parent_id = bob.creates().document["id"]

    for response, place in ways_below(alice, parent_id):
        assert_faults(response, place)
        assert f"no task {parent_id}" in response.json()["errors"][0]["detail"]

    assert titles(alice, top_level=False) == set()


def test_a_task_has_at_most_ten_tasks_above_it(alice: User) -> None:
    *_, deepest = chain(alice, MOST_ABOVE + 1)

    for response, place in ways_below(alice, deepest.document["id"]):
        assert_faults(response, place)
        assert f"at most {MOST_ABOVE} tasks" in response.json()["errors"][0]["detail"]


def stored_below(user: User, parent: Task, count: int, database_url: str) -> None:
    """So many tasks, half of them below others."""
    children = [uuid4() for _ in range(count - count // 2)]
    places = [(each, parent.document["id"]) for each in children]
    places += [(uuid4(), children[number % 10]) for number in range(count // 2)]
    rows = (f"('{user.id}', '{each}', 'x', 0, '{above}')" for each, above in places)
    with administration(database_url) as execute:
        execute(
            f"INSERT INTO tasks (user_id, id, title, revision, parent_id) VALUES {', '.join(rows)}"
        )


def assert_full(response: httpx.Response, place: str) -> None:
    assert_faults(response, place)
    assert "at most 1,000 tasks below it" in response.json()["errors"][0]["detail"]


def test_a_task_has_at_most_1000_tasks_below_it_at_all_depths(
    alice: User, database_url: str
) -> None:
    top, parent = chain(alice, 2)
    stored_below(alice, parent, 998, database_url)

    last = below(alice, parent, "last")
    refused = [
        *ways_below(alice, parent.document["id"]),
        *ways_below(alice, top.document["id"]),
    ]

    for response, place in refused:
        assert_full(response, place)
    assert alice.patch(f"{last.url}/complete").status_code == 200
    assert moved(alice, last, **under(top)).status_code == 200
    assert moved(alice, last, parent_id=None).status_code == 200
    assert moved(alice, last, **under(parent)).status_code == 200


def test_what_is_below_a_task_counts_against_the_1000(alice: User, database_url: str) -> None:
    parent, other = alice.creates("parent"), alice.creates("other")
    first, second = chain(alice, 2)
    stored_below(alice, parent, 600, database_url)
    stored_below(alice, second, 399, database_url)

    full = moved(alice, first, **under(parent))
    place = {"before": parent.document["id"], **under(parent)}
    both = [
        {"op": "update", "id": each.document["id"], **under(parent)} for each in (other, second)
    ]

    assert_full(full, "/parent_id")
    assert_full(alice.post(f"{first.url}/move", json=place), "/parent_id")
    assert_full(batched(alice, *both), "/operations/1/parent_id")
    assert moved(alice, second, **under(parent)).status_code == 200
    assert_full(moved(alice, first, **under(parent)), "/parent_id")


def test_a_task_comes_back_to_the_top_if_its_parent_has_too_many_below(
    alice: User, database_url: str
) -> None:
    parent = alice.creates("parent")
    subtask, deeper = below(alice, parent), below(alice, parent)
    moved(alice, deeper, **under(subtask))
    alice.delete(subtask.url)
    stored_below(alice, parent, 999, database_url)

    assert restored(alice, subtask).json()["parent_id"] is None
    assert alice.get(deeper.url).json()["parent_id"] == subtask.document["id"]


def test_the_successor_of_a_subtask_counts_against_the_1000(alice: User, database_url: str) -> None:
    parent = alice.creates("parent")
    subtask = below(alice, parent, due_on="2026-01-31", recurrence="FREQ=DAILY")
    stored_below(alice, parent, 998, database_url)

    assert alice.patch(f"{subtask.url}/complete").status_code == 200
    open_ones = {"series_id": subtask.document["id"], "completed": False}
    [successor] = alice.get(alice.tasks, params=open_ones).json()
    refused = alice.patch(f"{alice.tasks}/{successor['id']}/complete")

    assert_full(refused, "")
    assert alice.get(f"{alice.tasks}/{successor['id']}").json() == successor


def test_what_is_below_a_task_counts_when_it_is_moved(alice: User) -> None:
    tall, *_ = chain(alice, 5)
    parents = chain(alice, 8)

    assert_faults(moved(alice, tall, **under(parents[6])), "/parent_id")
    assert moved(alice, tall, **under(parents[5])).status_code == 200


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_task_cannot_be_below_itself(alice: User, place: int) -> None:
    tasks = chain(alice, 3)

    refused = moved(alice, tasks[0], **under(tasks[place]))

    assert_faults(refused, "/parent_id")
    assert "below it" in refused.json()["errors"][0]["detail"]
    assert alice.get(tasks[0].url).json() == tasks[0].document


def test_a_refused_change_of_several_fields_changes_nothing(alice: User, task: Task) -> None:
    refused = alice.put(task.url, json={"title": "x", **under(task)})

    assert_faults(refused, "/parent_id")
    assert alice.get(task.url).json() == task.document


def test_a_change_of_the_parent_obeys_if_match(alice: User, task: Task) -> None:
    parent = alice.creates("parent")

    stale = alice.patch(task.url, json=under(parent), headers={"If-Match": '"1"'})
    fresh = alice.patch(task.url, json=under(parent), headers={"If-Match": task.etag})

    assert assert_refused(stale, 412, "task-changed")["current"] == task.document
    assert fresh.json()["parent_id"] == parent.document["id"]


def test_a_creation_below_a_parent_uses_an_id_once(alice: User, task: Task) -> None:
    body = {"title": "x", "id": task.document["id"], **under(task)}
    parent = alice.creates("parent")
    new = {"title": "x", "id": str(uuid4()), **under(parent)}

    created = alice.post(alice.tasks, json=new)

    assert created.status_code == 201
    assert created.headers["location"] == f"{alice.tasks}/{new['id']}"
    assert_refused(alice.post(alice.tasks, json=body), 409, "id-taken")
    only_new = alice.post(alice.tasks, json=new, headers={"If-None-Match": "*"})
    assert assert_refused(only_new, 412, "task-exists")["current"] == created.json()


# In lists


def test_a_new_subtask_is_in_the_list_of_its_parent(alice: User) -> None:
    list_id = alice.creates_list().document["id"]
    parent = alice.creates("parent", list_id=list_id)

    assert below(alice, parent).document["list_id"] == list_id
    [done] = batched(alice, {"op": "create", "title": "x", **under(parent)}).json()["results"]
    assert done["task"]["list_id"] == list_id


def test_a_parent_in_another_list_is_refused(alice: User, task: Task) -> None:
    first, second = (alice.creates_list().document["id"] for _ in range(2))
    parent = alice.creates("parent", list_id=first)
    subtask = below(alice, parent)

    for refused in (
        alice.post(alice.tasks, json={"title": "x", **under(parent), "list_id": second}),
        alice.post(alice.tasks, json={"title": "x", **under(parent), "list_id": None}),
        moved(alice, task, **under(parent)),
        moved(alice, subtask, list_id=second),
        moved(alice, subtask, list_id=None),
    ):
        assert_faults(refused, "/parent_id")
        assert "another list" in refused.json()["errors"][0]["detail"]
    assert moved(alice, task, list_id=first, **under(parent)).status_code == 200
    assert moved(alice, subtask, list_id=second, parent_id=None).json()["list_id"] == second


def test_what_is_below_a_task_moves_to_another_list_with_it(alice: User) -> None:
    first, second = (alice.creates_list().document["id"] for _ in range(2))
    tasks = chain(alice, 4, list_id=first)
    copy = Copy(alice)
    copy.catches_up()

    parent = moved(alice, tasks[0], list_id=second).json()

    after = [alice.get(task.url).json() for task in tasks]
    assert {task["list_id"] for task in after} == {second}
    assert after[0] == parent
    for one, other in pairwise(after):
        assert other["revision"] == one["revision"] + 1
        assert other["updated_at"] > one["updated_at"]
        assert other["parent_id"] == one["id"]
    copy.catches_up(limit=1)
    assert copy.tasks == tasks_of(alice)


# Completed, deleted, restored


def test_a_completed_parent_leaves_its_subtasks(alice: User, task: Task) -> None:
    subtask = below(alice, task)

    alice.patch(f"{task.url}/complete")

    assert alice.get(subtask.url).json() == subtask.document


def test_a_deleted_task_takes_all_below_it_along(alice: User) -> None:
    other = alice.creates("other")
    parent, *rest = chain(alice, 4)
    copy = Copy(alice)
    copy.catches_up()

    assert alice.delete(parent.url).status_code == 204

    assert titles(alice) == {"other"}
    trash = in_trash(alice)
    assert [each["title"] for each in trash] == ["3", "2", "1", "0"]
    assert all(each["deleted_at"] == each["updated_at"] for each in trash)
    assert_refused(alice.get(rest[0].url), 404, "task-not-found")
    copy.catches_up(limit=1)
    assert copy.tasks == {other.document["id"]: other.document}


def test_a_restored_task_brings_back_what_went_with_it_and_nothing_else(
    alice: User, task: Task
) -> None:
    before, since, *_ = [below(alice, task, str(number)) for number in range(4)]
    alice.delete(before.url)
    alice.delete(task.url)
    alone = restored(alice, since).json()

    back = restored(alice, task).json()

    assert alone["parent_id"] is None
    assert titles(alice, parent_id=back["id"]) == {"2", "3"}
    assert [each["title"] for each in in_trash(alice)] == ["0"]
    assert alice.get(since.url).json() == alone
    assert restored(alice, before).json()["parent_id"] == task.document["id"]


def test_a_restored_tree_has_its_shape(alice: User) -> None:
    tasks = chain(alice, 4)
    alice.delete(tasks[1].url)

    restored(alice, tasks[1])

    shape = [alice.get(task.url).json()["parent_id"] for task in tasks]
    assert shape == [None, *(task.document["id"] for task in tasks[:3])]


def test_a_task_comes_back_to_the_top_if_its_parent_no_longer_fits(alice: User) -> None:
    deepest = chain(alice, MOST_ABOVE)[-1]
    first, second, third, *_ = [alice.creates(str(number)) for number in range(3)]
    subtasks = [below(alice, each) for each in (first, second, third)]
    deeper = below(alice, subtasks[2])
    for each in subtasks:
        alice.delete(each.url)
    alice.delete(first.url)
    moved(alice, second, list_id=alice.creates_list().document["id"])
    assert moved(alice, third, **under(deepest)).status_code == 200

    places = [restored(alice, each).json()["parent_id"] for each in subtasks]

    assert places == [None, None, None]
    assert alice.get(deeper.url).json()["parent_id"] == subtasks[2].document["id"]


def test_a_stale_deletion_deletes_nothing(alice: User, task: Task) -> None:
    below(alice, task)

    stale = alice.delete(task.url, headers={"If-Match": '"1"'})

    assert assert_refused(stale, 412, "task-changed")["current"] == task.document
    assert len(alice.get(alice.tasks).json()) == 2
    assert alice.delete(task.url, headers={"If-Match": task.etag}).status_code == 204
    assert alice.get(alice.tasks).json() == []


def test_a_deleted_list_takes_subtasks_along_and_brings_them_back(alice: User) -> None:
    groceries = alice.creates_list()
    tasks = chain(alice, 3, list_id=groceries.document["id"])
    alice.delete(groceries.url)
    alone = restored(alice, tasks[0]).json()

    alice.post(f"{groceries.url}/restore")

    assert (alone["list_id"], alone["parent_id"]) == (None, None)
    shape = [alice.get(task.url).json() for task in tasks]
    assert [task["list_id"] for task in shape] == [None, *[groceries.document["id"]] * 2]
    assert [task["parent_id"] for task in shape] == [None, None, tasks[1].document["id"]]


def test_a_batch_deletes_and_restores_what_is_below(alice: User) -> None:
    parent, *_ = chain(alice, 3)
    ids = {"id": parent.document["id"]}

    deleted = batched(alice, {"op": "delete", **ids})
    gone = titles(alice)
    both = batched(
        alice, {"op": "restore", **ids}, {"op": "delete", **ids}, {"op": "restore", **ids}
    )

    assert [each["status"] for each in deleted.json()["results"]] == [204]
    assert gone == set()
    assert [each["status"] for each in both.json()["results"]] == [200, 204, 200]
    assert titles(alice) == {"0", "1", "2"}
    assert titles(alice, top_level=True) == {"0"}


def test_a_batch_creates_a_tree(alice: User) -> None:
    ids = [str(uuid4()) for _ in range(4)]
    tree = [
        {"op": "create", "title": str(number), "id": own, "parent_id": parent}
        for number, (own, parent) in enumerate(zip(ids, [None, *ids[:3]], strict=True))
    ]

    response = batched(alice, *tree, {"op": "update", "id": ids[3], "parent_id": ids[0]})
    refused = batched(alice, {"op": "update", "id": ids[0], "parent_id": ids[2]}, atomic=False)

    assert [each["status"] for each in response.json()["results"]] == [201] * 4 + [200]
    assert [each["status"] for each in refused.json()["results"]] == [422]
    assert titles(alice, parent_id=ids[0]) == {"1", "3"}


def test_a_completed_task_is_not_cleared_while_one_below_it_is_open(alice: User) -> None:
    parent, child, grandchild = chain(alice, 3)
    done, below_done = chain(alice, 2)
    for task in (parent, child, done, below_done):
        alice.put(task.url, json={"completed": True, "title": task.document["title"] + "!"})

    first = alice.delete(alice.tasks, params={"completed": True})
    alice.patch(f"{grandchild.url}/complete")
    second = alice.delete(alice.tasks, params={"completed": True})

    assert (first.json(), second.json()) == ({"deleted": 2}, {"deleted": 3})
    assert titles(alice) == set()


# At the same time


def test_two_moves_that_would_make_a_cycle_are_not_both_done(alice: User, servers: Servers) -> None:
    one, other = alice.creates("one"), alice.creates("other")

    responses = race(
        alice,
        servers,
        [partial(moved, alice, one, **under(other)), partial(moved, alice, other, **under(one))]
        * 3,
    )

    assert {each.status_code for each in responses} == {200, 422}
    assert len(titles(alice, top_level=True)) == 1


def test_what_is_put_below_a_task_while_it_is_deleted_is_not_left_behind(
    alice: User, servers: Servers
) -> None:
    for _ in range(5):
        parent, task = alice.creates("parent"), alice.creates("task")
        requests: list[Callable[[], httpx.Response]] = [
            partial(alice.delete, parent.url),
            partial(alice.post, alice.tasks, json={"title": "x", **under(parent)}),
            partial(moved, alice, task, **under(parent)),
        ]

        race(alice, servers, requests * 2)

        assert titles(alice, top_level=False) == set()
    copy = Copy(alice)
    copy.catches_up()
    assert (copy.tasks, copy.lists) == (tasks_of(alice), lists_of(alice))
