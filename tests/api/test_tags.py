"""Tags of tasks: compared without case, shown as they were sent, and found by an index."""

import json
import random
from collections.abc import Callable
from typing import Any
from unicodedata import normalize

import pytest

from tests.support.cases import for_each
from tests.support.databases import administration, query_as_owner
from tests.support.feed import PURGE
from tests.support.fields import SORTS, sorted_tasks
from tests.support.responses import assert_faults
from tests.support.users import User, followed
from tests.support.writes import WRITES, prefix, task_in, written

PAIRS_OF_EQUALS = [
    ("home", "home"),
    ("home", "HOME"),
    ("Straße", "STRASSE"),
    ("ΣΑΣ", "σας"),
    ("é", normalize("NFD", "É")),
    ("ﬁx", "FIX"),
]


def tagged(user: User, *tags: str, **params: Any) -> list[str]:
    """The titles of the tasks with all these tags."""
    response = user.get(user.tasks, params={"tag": tags, **params})
    assert response.status_code == 200, response.text
    return [task["title"] for task in response.json()]


@for_each("way", WRITES)
@for_each(("one", "other"), PAIRS_OF_EQUALS)
def test_tags_that_are_equal_without_case_are_one_fault_at_the_second(
    alice: User, way: str, one: str, other: str
) -> None:
    response = written(alice, way, {"tags": ["a", one, "b", other, "A"]})

    assert_faults(response, f"{prefix(way)}/tags/3")


@for_each("way", WRITES)
def test_tags_are_shown_as_they_were_sent_and_in_their_order(alice: User, way: str) -> None:
    tags = ["Straße", "b", "a b,c", normalize("NFD", "É"), "'\"%s"]

    task = task_in(written(alice, way, {"tags": tags}))

    assert task["tags"] == tags
    assert alice.get(f"{alice.tasks}/{task['id']}").json()["tags"] == tags


@for_each("way", WRITES)
def test_more_than_twenty_tags_are_refused_with_the_limit(alice: User, way: str) -> None:
    assert task_in(written(alice, way, {"tags": [str(number) for number in range(20)]}))

    response = written(alice, way, {"tags": [str(number) for number in range(21)]})

    assert_faults(response, f"{prefix(way)}/tags")
    assert "20 items" in response.json()["errors"][0]["detail"]


@for_each("value", [None, "home", [1], [""], ["x" * 51], ["\0"], ["x", None], {}])
def test_what_is_no_list_of_tags_is_refused(alice: User, value: object) -> None:
    response = alice.post(alice.tasks, json={"title": "x", "tags": value})

    assert response.status_code == 422
    assert all(each["pointer"].startswith("/tags") for each in response.json()["errors"])


@pytest.mark.parametrize(("one", "other"), PAIRS_OF_EQUALS)
def test_a_task_is_found_by_its_tag_without_case(alice: User, one: str, other: str) -> None:
    alice.creates("found", tags=["x", one])
    alice.creates("other", tags=["x", f"{one}s"])

    assert tagged(alice, other) == tagged(alice, one) == ["found"]
    assert tagged(alice, other, sort="title") == ["found"]
    assert tagged(alice, other, "X", one) == ["found"]
    assert tagged(alice, "x") == ["other", "found"]


def test_a_task_is_found_by_the_tags_that_it_has_now(alice: User) -> None:
    task = alice.creates("x", tags=["a", "b"])

    alice.put(task.url, json={"tags": ["B", "c"]})

    assert [tagged(alice, tag) for tag in "abc"] == [[], ["x"], ["x"]]
    alice.delete(task.url)
    assert tagged(alice, "c") == []
    assert [each["tags"] for each in alice.get(alice.trash, params={"tag": "C"}).json()] == [
        ["B", "c"]
    ]
    alice.post(f"{task.url}/restore")
    assert tagged(alice, "c") == ["x"]
    alice.put(task.url, json={"tags": []})
    assert tagged(alice, "c") == []


def test_tags_of_one_user_find_no_tasks_of_another(alice: User, bob: User) -> None:
    bob.creates("bob's", tags=["home"])

    assert tagged(alice, "home") == []


def test_a_tag_that_many_tasks_have_leads_to_all_page_by_page(
    alice: User, database_url: str
) -> None:
    """Of a pair of tags the first one's tasks are read: a page may be empty, but none is missed."""
    oldest = alice.creates("oldest", tags=["common", "rare"]).document
    with administration(database_url) as execute:
        execute(
            "INSERT INTO tasks (user_id, id, title, revision, tags, tag_keys)"
            f" SELECT '{alice.id}', gen_random_uuid(), 'x', n, tags, tags"
            """ FROM generate_series(1, 2500) n, (VALUES ('["common"]'::jsonb)) AS of_task (tags)"""
        )

    first = alice.get(alice.tasks, params={"tag": ["common", "rare"]})
    second = alice.get(first.links["next"]["url"])
    third = alice.get(second.links["next"]["url"])

    assert (first.json(), second.json(), third.json()) == ([], [], [oldest])
    assert "next" not in third.links
    rarest_first = alice.get(alice.tasks, params={"tag": ["rare", "common"]})
    assert rarest_first.json() == [oldest]
    assert "next" not in rarest_first.links


@pytest.mark.parametrize("many", [False, True])
def test_tasks_with_a_tag_are_listed_in_every_order(
    alice: User, database_url: str, many: bool
) -> None:
    """A thousand are sorted; more are found by a scan of the list."""
    alice.creates()
    with administration(database_url) as execute:
        execute(
            "INSERT INTO tasks"
            " (user_id, id, title, revision, updated_at, due_on, priority, tags, tag_keys)"
            f" SELECT '{alice.id}', gen_random_uuid(), 'x' || n % 7, n, now() + n * interval '1 s',"
            " CASE WHEN n % 3 = 0 THEN date '2026-01-31' + n % 11 END, n % 5, tags, tags FROM"
            f" generate_series(1, {1500 if many else 700}) n, LATERAL"
            """ (SELECT CASE WHEN n % 10 = 0 THEN '["x", "y"]' ELSE '["x"]' END::jsonb)"""
            " AS of_task (tags)"
        )
    with_x, with_y = (walked(alice, tag=tag, sort="created_at") for tag in ("x", "y"))

    for sort in SORTS:
        found = walked(alice, tag=["x", "y"], sort=sort)
        assert found == sorted_tasks(with_y, sort), sort
    assert walked(alice, tag="x", sort="-due") == sorted_tasks(with_x, "-due")
    assert len(with_x) == 10 * len(with_y)


def walked(user: User, **params: Any) -> list[dict[str, Any]]:
    """The tasks of all pages, which lead back to the first one."""
    pages = list(followed(user, user.get(user.tasks, params={"limit": 100, **params})))
    tasks: list[dict[str, Any]] = [task for page in pages for task in page.json()]
    last = pages[-1]
    if "prev" in last.links:
        before = user.get(last.links["prev"]["url"]).json()
        end = len(tasks) - len(last.json())
        assert before == tasks[end - len(before) : end]
    return tasks


def test_a_page_of_changes_counts_the_characters_of_tags(alice: User, database_url: str) -> None:
    alice.creates()
    with administration(database_url) as execute:
        execute(
            "INSERT INTO tasks (user_id, id, title, revision, tags, tag_keys)"
            f" SELECT '{alice.id}', gen_random_uuid(), 'x', 1, tags, tags"
            " FROM generate_series(1, 300),"
            " (SELECT jsonb_agg(repeat('x', 48) || n) FROM generate_series(10, 29) n)"
            " AS twenty (tags)"
        )

    page = alice.get(f"/api/{alice.id}/changes", params={"limit": 1000}).json()

    assert 200 < len(page["changes"]) < 300
    assert page["more"]


# The table of tags

ROWS = """
    SELECT array[tag, name, created_at::text, task_id::text] FROM task_tags
     WHERE user_id = %s ORDER BY task_id, tag
"""
EXPECTED = """
    SELECT array[pair.tag, pair.name, created_at::text, id::text]
      FROM tasks, ROWS FROM (jsonb_array_elements_text(tag_keys), jsonb_array_elements_text(tags))
                  AS pair (tag, name)
     WHERE user_id = %s AND deleted_at IS NULL ORDER BY id, pair.tag COLLATE "C"
"""
SOME = ["home", "Home", "work", "Straße", "STRASSE"]


def some_tags(chance: random.Random) -> list[str]:
    tags: list[str] = chance.sample(SOME, chance.randrange(4))
    return list({tag.casefold(): tag for tag in tags}.values())


def operation(chance: random.Random, task_id: str) -> dict[str, Any]:
    """An operation of a batch, whether it can be done or not."""
    of_tags = {"tags": some_tags(chance)} if chance.random() < 0.7 else {"title": "y"}
    kind = chance.choice(["create", "update", "toggle", "delete", "restore"])
    if kind == "create":
        return {"op": kind, "title": "x", **of_tags}
    return {"op": kind, "id": task_id, **(of_tags if kind == "update" else {})}


def test_the_table_of_tags_is_what_the_tasks_have(alice: User, database_url: str) -> None:
    chance = random.Random(5)
    ids = [alice.creates(tags=some_tags(chance)).document["id"] for _ in range(10)]
    a_list = alice.post(f"/api/{alice.id}/lists", json={"title": "x"}).json()

    def batch() -> None:
        operations = [operation(chance, chance.choice(ids)) for _ in range(8)]
        body = {"atomic": False, "operations": operations}
        assert alice.post(f"{alice.tasks}/batch", json=body).status_code == 200

    def alone() -> None:
        fields = operation(chance, chance.choice(ids))
        url, kind = f"{alice.tasks}/{fields.pop('id', '')}", fields.pop("op")
        if kind == "create":
            ids.append(alice.creates(**fields).document["id"])
        elif kind == "update":
            alice.patch(url, json=fields)
        elif kind == "toggle":
            alice.patch(f"{url}/complete")
        elif kind == "delete":
            alice.delete(url)
        else:
            alice.post(f"{url}/restore")

    def clear() -> None:
        assert alice.delete(alice.tasks, params={"completed": True}).status_code == 200

    def put_into_list() -> None:
        alice.patch(f"{alice.tasks}/{chance.choice(ids)}", json={"list_id": a_list["id"]})

    def put_below() -> None:
        alice.patch(f"{alice.tasks}/{chance.choice(ids)}", json={"parent_id": chance.choice(ids)})

    def delete_or_restore_list() -> None:
        url = f"/api/{alice.id}/lists/{a_list['id']}"
        if alice.delete(url).status_code != 204:
            alice.post(f"{url}/restore")

    def purge() -> None:
        with administration(database_url) as execute:
            execute(PURGE.format(alice.id))

    ways: dict[Callable[[], None], int] = {
        batch: 10,
        alone: 60,
        clear: 2,
        purge: 1,
        put_into_list: 15,
        put_below: 15,
        delete_or_restore_list: 6,
    }
    for way in chance.choices([*ways], weights=[*ways.values()], k=200):
        way()
        expected = query_as_owner(database_url, EXPECTED, alice.id)
        assert query_as_owner(database_url, ROWS, alice.id) == expected, way.__name__
    keys = query_as_owner(
        database_url, "SELECT tag_keys::text FROM tasks WHERE tag_keys IS NOT NULL"
    )
    assert {"strasse", "home"} <= {key for each in keys for key in json.loads(each)}
    alice.delete(f"/api/{alice.id}")
    assert query_as_owner(database_url, ROWS, alice.id) == []


def test_the_name_of_a_tag_is_kept_as_it_was_written_last(alice: User, database_url: str) -> None:
    task = alice.creates(tags=["home"])

    alice.put(task.url, json={"tags": ["HOME"]})

    names = query_as_owner(database_url, "SELECT name FROM task_tags WHERE user_id = %s", alice.id)
    assert names == ["HOME"]
