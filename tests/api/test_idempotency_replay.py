"""A write that is sent again with its Idempotency-Key happens once; its response is replayed."""

import time
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx

from tests.support.databases import query_as_owner
from tests.support.idempotency import MILK, assert_replayed, key, stored_keys, titles, toggle
from tests.support.responses import assert_problem
from tests.support.users import Task, User


def test_replayed_create_creates_no_second_task(alice: User) -> None:
    first = alice.post(alice.tasks, json=MILK, headers=key())
    again = alice.post(alice.tasks, json=MILK, headers=key())

    assert first.status_code == 201
    assert_replayed(again, first)
    assert again.headers["location"] == f"{alice.tasks}/{first.json()['id']}"
    assert titles(alice) == ["Buy milk"]


def test_toggle_sent_five_times_toggles_once(alice: User, task: Task) -> None:
    first, *others = [toggle(alice, task) for _ in range(5)]

    for again in others:
        assert_replayed(again, first)
    assert alice.get(task.url).json() == first.json()
    assert first.json()["completed"]


def test_replayed_delete_returns_204_again(alice: User, task: Task) -> None:
    first = alice.delete(task.url, headers=key())

    assert first.status_code == 204
    assert_replayed(alice.delete(task.url, headers=key()), first)
    assert_problem(alice.delete(task.url), 404, "task-not-found")


def test_replayed_update_does_not_undo_a_later_one(alice: User, task: Task) -> None:
    first = alice.put(task.url, json={"title": "first"}, headers=key())
    alice.put(task.url, json={"title": "later"})

    assert_replayed(alice.put(task.url, json={"title": "first"}, headers=key()), first)
    assert titles(alice) == ["later"]


def test_sixteen_concurrent_creates_with_one_key_create_one_task(alice: User) -> None:
    def create(_: int) -> httpx.Response:
        return alice.post(alice.tasks, json=MILK, headers=key())

    with ThreadPoolExecutor(16) as pool:
        responses = list(pool.map(create, range(16)))

    created = [each for each in responses if each.status_code == 201]
    assert len({each.content for each in created}) == 1
    assert sum("idempotency-replayed" not in each.headers for each in created) == 1
    for other in responses:
        if other not in created:
            assert_problem(other, 409, "idempotency-key-in-use")
    assert create(0).content == created[0].content
    assert titles(alice) == ["Buy milk"]


def test_same_json_in_another_spelling_is_the_same_request(alice: User) -> None:
    bodies = [b'{"title":"x","completed":false}', b' {"completed": false,\n"title": "\\u0078"}']
    typed = {"Content-Type": "application/json", **key()}

    first, again = (alice.post(alice.tasks, content=each, headers=typed) for each in bodies)

    assert_replayed(again, first)


def test_key_means_the_same_with_and_without_quotes(alice: User) -> None:
    first = alice.post(alice.tasks, json=MILK, headers=key('"k-1"'))

    assert_replayed(alice.post(alice.tasks, json=MILK, headers=key("k-1")), first)


def test_write_without_a_key_is_not_stored(alice: User, database_url: str) -> None:
    for _ in range(2):
        alice.creates()

    assert titles(alice) == ["Buy milk"] * 2
    assert stored_keys(alice, database_url) == []


def test_stored_error_is_replayed_even_if_the_write_would_now_succeed(
    alice: User, task: Task, database_url: str
) -> None:
    alice.delete(task.url)
    first = alice.put(task.url, json=MILK, headers=key())
    query_as_owner(database_url, "UPDATE tasks SET deleted_at = NULL WHERE user_id = %s", alice.id)

    again = alice.put(task.url, json=MILK, headers=key())

    assert_problem(again, 404, "task-not-found")
    assert_replayed(again, first)


def test_replayed_conflict_keeps_its_headers(alice: User, task: Task) -> None:
    body = {"id": task.document["id"], "title": "again"}

    first, again = (alice.post(alice.tasks, json=body, headers=key()) for _ in range(2))

    assert_problem(again, 409, "id-taken")
    assert_replayed(again, first)
    assert again.headers["location"] == task.url


def test_nothing_is_stored_for_an_unknown_user(alice: User, database_url: str) -> None:
    url = f"{alice.tasks}/{uuid4()}"

    responses = [alice.delete(url, headers=key()) for _ in range(2)]

    for each in responses:
        assert_problem(each, 404, "task-not-found")
        assert "idempotency-replayed" not in each.headers
    assert stored_keys(alice, database_url) == []


def test_write_with_a_key_wakes_long_polls(alice: User, task: Task) -> None:
    changes = f"/api/{alice.id}/changes"
    since = alice.get(changes).json()["next"]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(alice.get, changes, params={"since": since, "wait": 9})
        time.sleep(0.2)

        toggled = toggle(alice, task).json()

        assert waiting.result().json()["changes"][0]["task"]["revision"] == toggled["revision"]
