"""Tasks in lists: put there, found there, and deleted and restored together with their list."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.support.contract import assert_refused
from tests.support.databases import administration, query_as_owner
from tests.support.feed import PURGE, Copy, lists_of, tasks_of
from tests.support.races import Servers, race
from tests.support.responses import assert_faults, assert_problem
from tests.support.users import Task, User, in_trash, listed_in, restored


@pytest.fixture
def groceries(alice: User) -> Task:
    """A list of Alice's."""
    return alice.creates_list("Groceries")


def batched(user: User, *operations: dict[str, Any], atomic: bool = True) -> Any:
    return user.post(f"{user.tasks}/batch", json={"operations": operations, "atomic": atomic})


# In a list


def test_a_task_is_put_into_a_list_and_taken_out(alice: User, groceries: Task) -> None:
    list_id = groceries.document["id"]

    task = alice.creates("Milk", list_id=list_id.upper())
    assert task.document["list_id"] == list_id
    assert listed_in(alice, list_id) == {"Milk"}
    taken_out = alice.patch(task.url, json={"list_id": None}).json()
    assert (taken_out["list_id"], listed_in(alice, list_id)) == (None, set())
    put_back = alice.put(task.url, json={"list_id": list_id, "title": "Oat milk"}).json()
    assert (put_back["list_id"], listed_in(alice, list_id)) == (list_id, {"Oat milk"})
    assert taken_out["revision"] < put_back["revision"]
    assert alice.get(task.url).json() == put_back


def ways_to_a_list(user: User, list_id: str) -> list[tuple[Any, str]]:
    """Requests that put a task into this list, and the place of its id in each."""
    task = user.creates()
    operation = {"op": "update", "id": task.document["id"], "list_id": list_id}
    new = {"title": "x", "list_id": list_id}
    return [
        (user.post(user.tasks, json=new), "/list_id"),
        (user.post(user.tasks, json={**new, "id": str(uuid4())}), "/list_id"),
        (user.put(task.url, json={"list_id": list_id}), "/list_id"),
        (user.patch(task.url, json={"list_id": list_id}), "/list_id"),
        (batched(user, {"op": "create", **new}), "/operations/0/list_id"),
        (batched(user, {"op": "create", "title": "x"}, operation), "/operations/1/list_id"),
    ]


@pytest.mark.parametrize("what", ["unknown", "deleted", "another user's"])
def test_a_list_that_is_not_there_is_refused_at_list_id(
    alice: User, bob: User, what: str, groceries: Task
) -> None:
    list_id = groceries.document["id"]
    if what == "deleted":
        alice.delete(groceries.url)
    elif what == "another user's":
        list_id = bob.creates_list().document["id"]
    elif what == "unknown":
        list_id = str(uuid4())

    for response, place in ways_to_a_list(alice, list_id):
        assert_faults(response, place)
        assert f"no list {list_id}" in response.json()["errors"][0]["detail"]

    assert {task["list_id"] for task in alice.get(alice.tasks).json()} == {None}


def test_a_new_user_has_no_list_to_put_a_task_into(bob: User, groceries: Task) -> None:
    new = {"title": "x", "list_id": groceries.document["id"]}

    assert_faults(bob.post(bob.tasks, json=new), "/list_id")
    assert_faults(batched(bob, {"op": "create", **new}), "/operations/0/list_id")
    assert bob.get(bob.tasks).headers["etag"] == 'W/"0"'


def test_operations_of_a_batch_are_refused_one_by_one(alice: User, groceries: Task) -> None:
    list_id = groceries.document["id"]
    creations = [
        {"op": "create", "title": "x", "list_id": each} for each in (str(uuid4()), list_id)
    ]

    response = batched(alice, *creations, atomic=False)

    refused, done = response.json()["results"]
    assert (refused["status"], done["status"]) == (422, 201)
    assert refused["problem"]["errors"][0]["pointer"] == "/operations/0/list_id"
    assert done["task"]["list_id"] == list_id


def test_a_creation_in_a_list_shows_a_taken_id_and_the_maximum(
    alice: User, task: Task, groceries: Task
) -> None:
    body = {"title": "x", "id": task.document["id"], "list_id": groceries.document["id"]}

    assert_refused(alice.post(alice.tasks, json=body), 409, "id-taken")
    unconditional = alice.post(alice.tasks, json=body, headers={"If-None-Match": "*"})
    assert_refused(unconditional, 412, "task-exists")


def test_a_change_of_the_list_obeys_if_match(alice: User, task: Task, groceries: Task) -> None:
    body = {"list_id": groceries.document["id"]}

    stale = alice.patch(task.url, json=body, headers={"If-Match": '"1"'})
    fresh = alice.patch(task.url, json=body, headers={"If-Match": task.etag})

    assert assert_refused(stale, 412, "task-changed")["current"] == task.document
    assert fresh.headers["etag"] == f'"{fresh.json()["revision"]}"'
    assert_refused(alice.patch(f"{alice.tasks}/{uuid4()}", json=body), 404, "task-not-found")


def test_the_inbox_has_the_tasks_without_a_list(alice: User, groceries: Task) -> None:
    alice.creates("in the inbox")
    alice.creates("Milk", list_id=groceries.document["id"])

    for inbox, title in ((True, "in the inbox"), (False, "Milk")):
        found = alice.get(alice.tasks, params={"inbox": inbox}).json()
        assert [task["title"] for task in found] == [title]


# To the trash, and back


def test_a_deleted_list_takes_its_tasks_along(alice: User, task: Task, groceries: Task) -> None:
    list_id = groceries.document["id"]
    for title in ("Milk", "Bread"):
        alice.creates(title, list_id=list_id)

    alice.delete(groceries.url)

    assert alice.get(alice.tasks).json() == [task.document]
    trash = in_trash(alice)
    assert {each["title"] for each in trash} == {"Milk", "Bread"}
    assert {each["list_id"] for each in trash} == {list_id}
    assert len({each["revision"] for each in trash}) == len({each["updated_at"] for each in trash})


def test_a_restored_list_brings_back_what_went_with_it_and_nothing_else(
    alice: User, groceries: Task
) -> None:
    list_id = groceries.document["id"]
    before, restored_since, *_ = [alice.creates(str(n), list_id=list_id) for n in range(4)]
    alice.delete(before.url)
    alice.delete(groceries.url)
    alone = restored(alice, restored_since).json()

    alice.post(f"{groceries.url}/restore")

    assert alone["list_id"] is None
    assert listed_in(alice, list_id) == {"2", "3"}
    assert [each["title"] for each in in_trash(alice)] == ["0"]
    assert alice.get(restored_since.url).json() == alone
    assert restored(alice, before).json()["list_id"] == list_id


def test_a_list_that_is_deleted_twice_brings_back_what_went_the_second_time(
    alice: User, groceries: Task
) -> None:
    list_id = groceries.document["id"]
    first, second = (alice.creates(title, list_id=list_id) for title in ("first", "second"))
    alice.delete(groceries.url)
    alice.post(f"{groceries.url}/restore")
    alice.delete(first.url)
    alice.delete(groceries.url)

    alice.post(f"{groceries.url}/restore")

    assert listed_in(alice, list_id) == {"second"}
    assert alice.get(second.url).json()["list_id"] == list_id


def test_a_task_of_a_purged_list_comes_back_without_it(
    alice: User, groceries: Task, database_url: str
) -> None:
    task = alice.creates("Milk", list_id=groceries.document["id"])
    alice.delete(groceries.url)
    with administration(database_url) as execute:
        execute(f"DELETE FROM lists WHERE user_id = '{alice.id}'")

    assert_problem(alice.post(f"{groceries.url}/restore"), 404, "list-not-found")
    assert restored(alice, task).json()["list_id"] is None


def test_a_stale_deletion_of_a_list_deletes_nothing(alice: User, groceries: Task) -> None:
    alice.creates("Milk", list_id=groceries.document["id"])
    copy = Copy(alice)
    copy.catches_up()

    refused = alice.delete(groceries.url, headers={"If-Match": '"1"'})

    assert_refused(refused, 412, "list-changed")
    assert copy.reads() == []


def test_tasks_that_are_put_into_a_list_while_it_is_deleted_are_in_no_deleted_list(
    alice: User, servers: Servers, database_url: str
) -> None:
    lists = [alice.creates_list(str(number)) for number in range(3)]
    task = alice.creates()

    def put(url: str, each: Task) -> httpx.Response:
        body = {"title": "x", "list_id": each.document["id"]}
        return alice.post(url, json=body) if url == alice.tasks else alice.patch(url, json=body)

    requests = [
        *(partial(alice.delete, each.url) for each in lists),
        *(partial(put, alice.tasks, each) for each in lists),
        *(partial(put, task.url, each) for each in lists[:2]),
    ]

    responses = race(alice, servers, requests)

    assert {each.status_code for each in responses} <= {200, 201, 204, 422}
    assert {each["list_id"] for each in tasks_of(alice).values()} <= {None}
    lost = "SELECT id FROM tasks WHERE user_id = %s AND deleted_at IS NOT NULL AND deletion IS NULL"
    assert query_as_owner(database_url, lost, alice.id) == []


# The feed


def test_the_feed_has_lists(alice: User, task: Task, groceries: Task) -> None:
    copy = Copy(alice)
    assert copy.reads() == [task.document, groceries.document]

    renamed = alice.patch(groceries.url, json={"title": "Shopping"}).json()
    assert copy.reads() == [renamed]
    alice.delete(groceries.url)
    [tombstone] = copy.reads()
    assert (tombstone["kind"], tombstone["id"]) == ("list_tombstone", renamed["id"])
    assert copy.lists == {}
    back = alice.post(f"{groceries.url}/restore").json()
    assert copy.reads() == [back]
    assert copy.lists == lists_of(alice)


def test_a_page_of_the_feed_can_end_within_a_deletion(alice: User, groceries: Task) -> None:
    for number in range(5):
        alice.creates(str(number), list_id=groceries.document["id"])
    copy = Copy(alice)
    copy.catches_up()

    for method, rest in (("DELETE", ""), ("POST", "/restore")):
        alice.request(method, groceries.url + rest)
        copy.catches_up(limit=1)
        assert (copy.tasks, copy.lists) == (tasks_of(alice), lists_of(alice))


def test_the_list_goes_last_and_comes_back_first(alice: User, groceries: Task) -> None:
    for number in range(3):
        alice.creates(str(number), list_id=groceries.document["id"])
    copy = Copy(alice)
    copy.catches_up()
    alice.delete(groceries.url)
    gone = [each["kind"] for each in copy.reads()]
    alice.post(f"{groceries.url}/restore")
    back = ["list_id" in each for each in copy.reads()]

    assert gone == ["task_tombstone"] * 3 + ["list_tombstone"]
    assert back == [False, True, True, True]


def test_a_purged_list_makes_old_tokens_invalid(
    alice: User, groceries: Task, database_url: str
) -> None:
    copy = Copy(alice)
    copy.catches_up()
    alice.delete(groceries.url)
    with administration(database_url) as execute:
        execute(PURGE.format(alice.id))

    assert_problem(copy.asks(), 410, "changes-forgotten")


def test_a_page_of_long_lists_is_bounded(alice: User) -> None:
    long = "\x01" * 255
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: alice.creates_list(long), range(300)))
    copy = Copy(alice)

    response = copy.asks(limit=1000)

    assert len(response.content) < 2_000_000
    copy.catches_up(limit=100)
    assert copy.lists == lists_of(alice)


def test_copies_are_exact_while_lists_and_tasks_change(alice: User, servers: Servers) -> None:
    lists = [alice.creates_list(str(number)) for number in range(3)]

    def work(number: int) -> None:
        each = lists[number % 3]
        with User(servers.urls[number % 3]) as other:
            url = alice.tasks
            match number % 4:
                case 0:
                    other.delete(each.url)
                case 1:
                    other.post(f"{each.url}/restore")
                case _:
                    other.post(url, json={"title": "x", "list_id": each.document["id"]})

    copy = Copy(alice)
    with ThreadPoolExecutor(6) as pool:
        working = [pool.submit(work, number) for number in range(72)]
        while not all(each.done() for each in working):
            copy.catches_up(limit=5)
    for each in working:
        each.result()
    copy.catches_up()

    assert (copy.tasks, copy.lists) == (tasks_of(alice), lists_of(alice))
    assert {task["list_id"] for task in copy.tasks.values()} <= copy.lists.keys()


@pytest.mark.parametrize("sort", ["title", "-position", "due", "-updated_at"])
@pytest.mark.parametrize("field", ["list_id", "parent_id"])
def test_a_list_of_few_tasks_has_full_pages_in_every_order_beside_many_others(
    alice: User, database_url: str, field: str, sort: str
) -> None:
    value = {"list_id": alice.creates_list, "parent_id": alice.creates}[field]().document["id"]
    with administration(database_url) as execute:
        execute(
            f"INSERT INTO tasks (user_id, id, title, revision, {field})"
            f" SELECT '{alice.id}', gen_random_uuid(), 'x' || n, n,"
            f" CASE WHEN n % 50 = 0 THEN '{value}'::uuid END FROM generate_series(1, 3000) n"
        )

    page = alice.get(alice.tasks, params={field: value, "sort": sort})
    rest = alice.get(page.links["next"]["url"])

    assert (len(page.json()), len(rest.json())) == (50, 10)
    assert "next" not in rest.links
    assert {task[field] for task in page.json() + rest.json()} == {value}
