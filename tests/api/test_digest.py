"""The digest of the feed: a copy is proven to be equal, or shown not to be."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.feed import Copy, digest_of
from tests.support.races import RACERS, Servers, race
from tests.support.users import User

Tasks = dict[str, dict[str, Any]]


def read_digest(user: User, **parameters: str) -> int | None:
    digest: int | None = user.get(f"/api/{user.id}/changes", params=parameters).json()["digest"]
    return digest


def test_a_user_who_has_nothing_has_the_digest_zero(alice: User) -> None:
    assert read_digest(alice) == 0


def test_only_the_last_page_has_a_digest(alice: User) -> None:
    alice.creates("first")
    alice.creates("second")

    assert read_digest(alice, limit="1") is None
    assert read_digest(alice, limit="2") is not None


def test_what_is_in_the_trash_is_not_in_the_digest(alice: User) -> None:
    alice.creates("kept")
    before = read_digest(alice)
    task = alice.creates("deleted")
    alice.delete(task.url)
    deleted = read_digest(alice)

    restored = alice.post(f"{task.url}/restore").json()

    assert deleted == before
    assert read_digest(alice) == ((before or 0) + digest_of([restored])) % 2**48


@pytest.mark.parametrize(
    "damage",
    [
        lambda tasks: tasks.popitem(),
        lambda tasks: next(iter(tasks.values())).update(revision=1),
        lambda tasks: tasks.update(other={"id": "other", "revision": 1}),
    ],
    ids=["a task is missing", "a task is old", "a task is not the user's"],
)
def test_a_damaged_copy_has_another_digest(alice: User, damage: Callable[[Tasks], Any]) -> None:
    copy = Copy(alice)
    for title in ("first", "second"):
        alice.creates(title)
    copy.reads()

    damage(copy.tasks)

    assert digest_of(copy.tasks.values()) != read_digest(alice)


def test_writes_of_one_task_that_race_on_several_servers_keep_the_digest(
    servers: Servers, alice: User
) -> None:
    task = alice.creates("Buy milk")

    responses = race(alice, servers, [lambda: alice.patch(f"{task.url}/complete")] * RACERS)

    assert {each.status_code for each in responses} == {200}
    assert Copy(alice).reads()
