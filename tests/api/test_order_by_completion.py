"""Lists by completion: the latest completion counts, and open tasks come last."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.databases import administration
from tests.support.users import Task, User

both_ways = pytest.mark.parametrize("sort", ["completed_at", "-completed_at"])


def pages(user: User, url: str, relation: str = "next", **params: Any) -> Iterator[list[Any]]:
    """The page at the URL, and those that its links lead to."""
    page = user.get(url, params=params or None)
    while True:
        assert page.status_code == 200, page.text
        yield page.json()
        if relation not in page.links:
            return
        page = user.get(page.links[relation]["url"])


def titles(user: User, **params: Any) -> list[str]:
    found = pages(user, user.tasks, **{"limit": 2, **params})
    return [task["title"] for page in found for task in page]


def toggle(user: User, task: Task) -> None:
    assert user.patch(f"{task.url}/complete").is_success


@pytest.fixture
def tasks(alice: User) -> dict[str, Task]:
    return {title: alice.creates(title) for title in "abcdef"}


@both_ways
def test_tasks_are_in_the_order_of_their_latest_completion(
    alice: User, tasks: dict[str, Task], sort: str
) -> None:
    for title in "bda" + "d" + "c" + "d" + "c":  # at last, c is open again
        toggle(alice, tasks[title])
    created = alice.creates("created", completed=True)
    alice.put(tasks["b"].url, json={"description": "changed later"})

    done = ["b", "a", "d", "created"]
    still_open = sorted("cef", key=lambda title: tasks[title].document["id"])
    descending = sort.startswith("-")
    expected = [*done[::-1], *still_open[::-1]] if descending else [*done, *still_open]
    assert titles(alice, sort=sort) == expected
    assert titles(alice, sort=sort, completed=True) == expected[:4]
    assert titles(alice, sort=sort, completed=False) == expected[4:]
    since = created.document["completed_at"]
    assert titles(alice, sort=sort, completed_since=since) == ["created"]
    assert titles(alice, sort=sort, completed_since=since, completed=False) == []


@both_ways
def test_a_batch_completes_tasks_in_its_order(
    alice: User, tasks: dict[str, Task], sort: str
) -> None:
    ids = {title: task.document["id"] for title, task in tasks.items()}
    operations = [
        *({"op": "toggle", "id": ids[title]} for title in "fab"),
        {"op": "update", "id": ids["f"], "title": "F"},
        {"op": "create", "title": "new", "completed": True},
        {"op": "toggle", "id": ids["a"]},
        {"op": "update", "id": ids["a"], "completed": True},
    ]

    response = alice.post(f"{alice.tasks}/batch", json={"operations": operations})

    assert response.is_success
    expected = ["F", "b", "new", "a"]
    found = titles(alice, sort=sort, completed=True)
    assert found == (expected[::-1] if sort.startswith("-") else expected)


@both_ways
def test_completed_tasks_are_found_among_thousands_of_open_ones(
    alice: User, database_url: str, sort: str
) -> None:
    first = [alice.creates(str(number), completed=True) for number in range(3)]
    with administration(database_url) as execute:
        execute(
            "INSERT INTO tasks (user_id, id, title, revision, completion_revision)"
            f" SELECT '{alice.id}', gen_random_uuid(), 'open', n, revision + n"
            f" FROM users, generate_series(1, 1500) n WHERE id = '{alice.id}'"
        )
        execute(f"UPDATE users SET revision = revision + 1500 WHERE id = '{alice.id}'")
    latest = [alice.creates(str(number), completed=True) for number in range(3, 6)]
    done = [task.document["id"] for task in (*first, *latest)]
    done = done[::-1] if sort.startswith("-") else done

    url = f"{alice.tasks}?sort={sort}&limit=100"
    there = [task["id"] for page in pages(alice, url) for task in page]

    assert there[:6] == done
    assert there[6:] == sorted(there[6:], reverse=sort.startswith("-"))
    assert len(there) == len(set(there)) == 1506
    completed = [task["id"] for page in pages(alice, f"{url}&completed=true") for task in page]
    assert completed == done


@both_ways
def test_links_lead_back_over_open_tasks(alice: User, tasks: dict[str, Task], sort: str) -> None:
    for title in "eca":
        toggle(alice, tasks[title])
    first = alice.get(alice.tasks, params={"sort": sort, "limit": 1})
    there = [first]
    while "next" in there[-1].links:
        there.append(alice.get(there[-1].links["next"]["url"]))

    back = list(pages(alice, there[-1].links["prev"]["url"], "prev"))

    assert back[::-1] == [page.json() for page in there[:-1]]
