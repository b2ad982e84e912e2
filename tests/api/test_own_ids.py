"""Ids that clients choose: each is used once for each user, so that a creation can be retried."""

from uuid import uuid4

import pytest

from tests.support.contract import assert_refused
from tests.support.races import RACERS, Servers, race
from tests.support.users import Task, User, in_trash


def test_client_can_choose_the_id_of_a_new_task(alice: User, bob: User) -> None:
    own = str(uuid4())

    hers = alice.post(alice.tasks, json={"title": "x", "id": own.upper()})
    his = bob.post(bob.tasks, json={"title": "x", "id": own})

    assert hers.status_code == his.status_code == 201
    assert hers.json()["id"] == his.json()["id"] == own
    assert hers.headers["location"] == f"{alice.tasks}/{own}"
    assert alice.get(hers.headers["location"]).json() == hers.json()


@pytest.mark.parametrize(
    ("headers", "status", "name"),
    [({}, 409, "id-taken"), ({"If-None-Match": "*"}, 412, "task-exists")],
)
def test_id_of_an_existing_task_returns_409(
    alice: User, task: Task, headers: dict[str, str], status: int, name: str
) -> None:
    again = {"title": "x", "id": task.document["id"].upper()}

    there = alice.post(alice.tasks, json=again, headers=headers)
    alice.delete(task.url)
    deleted = alice.post(alice.tasks, json=again, headers=headers)

    shown, hidden = (assert_refused(each, status, name) for each in (there, deleted))
    assert shown["current"] == task.document
    assert [hidden["deleted_task"]] == in_trash(alice)
    assert "deleted_task" not in shown
    assert "current" not in hidden
    assert there.headers["location"] == deleted.headers["location"] == task.url
    assert alice.get(alice.tasks).json() == []


@pytest.mark.parametrize("body", [{}, {"id": str(uuid4())}])
def test_if_none_match_star_creates_a_new_task(alice: User, body: dict[str, str]) -> None:
    new = {"If-None-Match": "*"}

    assert alice.post(alice.tasks, json={"title": "x", **body}, headers=new).status_code == 201


def test_racing_creations_with_one_id_create_one_task(
    alice: User, task: Task, servers: Servers
) -> None:
    body = {"title": "x", "id": str(uuid4())}

    answers = race(alice, servers, [lambda: alice.post(alice.tasks, json=body)] * RACERS)

    assert sorted(answer.status_code for answer in answers) == [201] + [409] * (RACERS - 1)
    assert len(alice.get(alice.tasks).json()) == 2
