"""The change feed: a client that applies it to a copy has exactly the server's tasks."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.databases import administration
from tests.support.feed import PURGE, TOMBSTONE, Copy, tasks_of
from tests.support.references import property_settings
from tests.support.responses import assert_faults, assert_problem
from tests.support.servers import Serve
from tests.support.users import User

ERASE = "DELETE FROM users WHERE id = '{0}'"


@pytest.fixture
def copy(alice: User) -> Copy:
    """A copy of Alice's tasks, empty as yet."""
    return Copy(alice)


@pytest.fixture
def execute(database_url: str) -> Any:
    """Run a statement about the database of the server."""

    def run(sql: str) -> None:
        with administration(database_url) as execute:
            execute(sql)

    return run


def test_feed_without_since_returns_all_tasks_in_order_of_change(alice: User, copy: Copy) -> None:
    first, second = alice.creates("first"), alice.creates("second")
    alice.put(first.url, json={"title": "first, changed"})

    changes = copy.reads()

    assert [change["title"] for change in changes] == ["second", "first, changed"]
    assert changes[0] == second.document
    assert copy.more is False


def test_feed_with_since_returns_each_changed_task_once(alice: User, copy: Copy) -> None:
    task = alice.creates("old")
    copy.reads()
    alice.creates("new")
    for number in range(3):
        alice.put(task.url, json={"title": f"changed {number}"})

    assert [change["title"] for change in copy.reads()] == ["new", "changed 2"]
    assert copy.reads() == []
    assert copy.reads() == []


def test_deleted_task_leaves_a_tombstone(alice: User, copy: Copy) -> None:
    task = alice.creates()
    copy.reads()
    alice.delete(task.url)

    [tombstone] = copy.reads()

    assert tombstone.keys() == TOMBSTONE
    assert tombstone["id"] == task.document["id"]
    assert tombstone["revision"] > task.document["revision"]


def test_feed_without_since_has_no_tombstones(alice: User, copy: Copy) -> None:
    for _ in range(3):
        alice.delete(alice.creates().url)
    alice.creates("left")

    assert [change["title"] for change in copy.reads(limit=1)] == ["left"]
    assert copy.more is False


def test_task_deleted_between_two_pages_is_returned_as_a_tombstone(alice: User, copy: Copy) -> None:
    first, second = alice.creates("first"), alice.creates("second")
    alice.creates("third")
    copy.reads(limit=2)
    alice.delete(first.url)
    alice.delete(second.url)

    changes = copy.reads()

    assert [change.get("title") for change in changes] == ["third", None, None]
    assert copy.tasks == tasks_of(alice)


def test_more_says_whether_there_is_another_page(alice: User, copy: Copy) -> None:
    for number in range(4):
        alice.creates(str(number))

    pages = []
    copy.more = True
    while copy.more:
        pages.append(len(copy.reads(limit=2)))

    assert pages == [2, 2]


def test_longest_page_has_a_thousand_changes(alice: User, copy: Copy) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: alice.creates(), range(1001)))

    assert len(copy.reads(limit=1000)) == 1000
    assert len(copy.reads(limit=1000)) == 1
    assert copy.tasks == tasks_of(alice)
    assert_faults(copy.asks(limit=1001, wait=10), "limit", "wait")


def test_feed_of_an_unknown_user_is_empty_until_the_first_task(alice: User, copy: Copy) -> None:
    assert copy.reads() == []
    assert copy.reads() == []
    task = alice.creates()

    assert copy.reads() == [task.document]


def test_token_of_another_user_is_refused(alice: User, bob: User, copy: Copy) -> None:
    alice.creates()
    copy.reads()

    response = bob.get(f"/api/{bob.id}/changes", params={"since": copy.since})

    assert_faults(response, "since")


def test_token_from_before_a_purge_returns_410(
    alice: User, copy: Copy, execute: Callable[[str], None]
) -> None:
    task = alice.creates()
    copy.reads()
    alice.delete(task.url)
    execute(PURGE.format(alice.id))

    problem = assert_problem(copy.asks(), 410, "changes-forgotten")

    assert "without `since`" in problem["detail"]
    copy.starts_anew()
    assert copy.reads() == []


def test_token_from_after_a_purged_deletion_is_accepted(
    alice: User, copy: Copy, execute: Callable[[str], None]
) -> None:
    task = alice.creates()
    copy.reads()
    alice.delete(task.url)
    copy.reads()
    execute(PURGE.format(alice.id))
    task = alice.creates()

    assert copy.reads() == [task.document]


def test_reader_that_began_after_a_deletion_survives_its_purge(
    alice: User, copy: Copy, execute: Callable[[str], None]
) -> None:
    tasks = [alice.creates(str(number)) for number in range(4)]
    alice.delete(tasks[3].url)
    copy.reads(limit=1)
    execute(PURGE.format(alice.id))

    copy.catches_up(limit=1)

    assert copy.tasks == tasks_of(alice)


@pytest.mark.parametrize("comes_back", [False, True])
def test_token_from_before_an_erasure_returns_410(
    alice: User, copy: Copy, execute: Callable[[str], None], comes_back: bool
) -> None:
    alice.creates()
    copy.reads()
    execute(ERASE.format(alice.id))
    if comes_back:
        for _ in range(3):
            alice.creates()

    assert_problem(copy.asks(), 410, "changes-forgotten")
    copy.starts_anew()
    copy.reads()
    assert copy.tasks == tasks_of(alice)


def test_token_from_before_the_first_task_survives_an_erasure(
    alice: User, copy: Copy, execute: Callable[[str], None]
) -> None:
    copy.reads()
    alice.creates()
    execute(ERASE.format(alice.id))
    task = alice.creates()

    assert copy.reads() == [task.document]


def test_token_of_lost_changes_returns_410(
    alice: User, copy: Copy, execute: Callable[[str], None]
) -> None:
    task = alice.creates()
    alice.put(task.url, json={"title": "x"})
    copy.reads()
    execute(f"UPDATE tasks SET revision = revision - 1 WHERE user_id = '{alice.id}'")
    execute(f"UPDATE users SET revision = revision - 1 WHERE id = '{alice.id}'")

    assert_problem(copy.asks(), 410, "changes-forgotten")


ACTIONS = st.one_of(
    st.tuples(st.just("create")),
    st.tuples(st.sampled_from(["change", "delete"]), st.integers(0, 3)),
    st.tuples(st.sampled_from(["read", "read", "start anew"]), st.integers(0, 1)),
    st.sampled_from([("purge",), ("purge",), ("erase",)]),
)


@property_settings(60)
@given(st.lists(ACTIONS, min_size=5, max_size=40))
def test_copy_is_exact_or_refused_after_any_sequence_of_writes(
    server: str, database_url: str, actions: list[tuple[Any, ...]]
) -> None:
    with User(server) as user, administration(database_url) as execute:
        copies = [Copy(user), Copy(user)]
        may_be_refused = [False, False]
        ids: list[str] = []

        def read(number: int) -> None:
            copy = copies[number]
            response = copy.asks(limit=1)
            if response.status_code == 410:
                assert may_be_refused[number], "a reader was refused for nothing"
                copy.starts_anew()
                may_be_refused[number] = False
                response = copy.asks(limit=1)
            assert response.status_code == 200, response.text
            copy.applies(response.json())
            if not copy.more:
                assert copy.tasks == tasks_of(user)

        for action, *arguments in actions:
            match action, arguments:
                case "create", _:
                    ids.append(user.creates().document["id"])
                case "change", [number] if ids:
                    user.patch(f"{user.tasks}/{ids[-1 - number % len(ids)]}/complete")
                case "delete", [number] if ids:
                    user.delete(f"{user.tasks}/{ids[-1 - number % len(ids)]}")
                case "purge" | "erase", _:
                    execute((PURGE if action == "purge" else ERASE).format(user.id))
                    may_be_refused = [copy.since is not None for copy in copies]
                case "start anew", [number]:
                    copies[number].starts_anew()
                    may_be_refused[number] = False
                case "read", [number]:
                    read(number)
        for number, copy in enumerate(copies):
            read(number)
            while copy.more:
                read(number)


def test_copies_are_exact_with_concurrent_writers_and_readers(
    alice: User, serve: Serve, database_url: str
) -> None:
    url = serve(DATABASE_URL=database_url)
    shared = [alice.creates(f"shared {number}") for number in range(5)]
    done = Event()

    def write(seed: int) -> None:
        chance = random.Random(seed)
        own = [alice.creates(f"{seed}")]
        with User(url) as other_server:
            for _ in range(60):
                user = chance.choice([alice, other_server])
                task = chance.choice([*shared, *own])
                match chance.randrange(4):
                    case 0:
                        own.append(alice.creates(f"{seed}"))
                    case 1:
                        user.delete(chance.choice(own).url)
                    case _:
                        user.patch(f"{task.url}/complete")

    def follow(seed: int) -> Copy:
        chance = random.Random(seed)
        copy = Copy(alice)
        while not done.is_set():
            copy.reads(limit=chance.randint(1, 20), wait=chance.choice([0, 0, 1]))
            if chance.random() < seed / 50:
                copy.starts_anew()
        copy.catches_up()
        return copy

    with ThreadPoolExecutor(10) as pool:
        readers = [pool.submit(follow, seed) for seed in range(4)]
        list(pool.map(write, range(6)))
        done.set()
        copies = [reader.result() for reader in readers]

    expected = tasks_of(alice)
    assert len(expected) > len(shared)
    for copy in copies:
        assert copy.tasks == expected


def test_a_page_of_long_texts_has_fewer_changes(alice: User, copy: Copy) -> None:
    long = {"op": "create", "title": "\x01" * 255, "description": "\x01" * 2000}
    for _ in range(3):
        alice.post(f"{alice.tasks}/batch", json={"operations": [long] * 50})

    response = copy.asks(limit=1000)
    copy.catches_up(limit=1000)

    assert len(response.content) < 2_000_000
    assert response.json()["more"] is True
    assert copy.tasks == tasks_of(alice)
    assert len(copy.tasks) == 150
