"""Which Idempotency-Keys are accepted, and what they may not be used for again."""

import pytest

from tests.support.contract import assert_refused
from tests.support.idempotency import MILK, assert_replayed, key, titles, toggle
from tests.support.responses import assert_faults
from tests.support.users import Task, User


def test_key_with_another_body_returns_422(alice: User) -> None:
    alice.post(alice.tasks, json=MILK, headers=key())

    response = alice.post(alice.tasks, json={"title": "Buy bread"}, headers=key())

    assert_refused(response, 422, "idempotency-key-reused")
    assert titles(alice) == ["Buy milk"]


def test_key_with_another_task_or_operation_returns_422(alice: User, task: Task) -> None:
    other = alice.creates("other")
    toggle(alice, task)

    assert_refused(toggle(alice, other), 422, "idempotency-key-reused")
    assert_refused(alice.delete(task.url, headers=key()), 422, "idempotency-key-reused")
    assert titles(alice) == ["Buy milk", "other"]


def test_key_with_another_if_match_returns_422(alice: User, task: Task) -> None:
    for condition, status in (("*", 200), ('"1"', 422)):
        headers = {"If-Match": condition, **key()}

        assert alice.put(task.url, json=MILK, headers=headers).status_code == status


def test_users_have_separate_keys(alice: User, bob: User) -> None:
    for user in (alice, bob):
        response = user.post(user.tasks, json=MILK, headers=key())

        assert "idempotency-replayed" not in response.headers
        assert titles(user) == ["Buy milk"]


def test_key_of_an_invalid_request_can_be_used_again(alice: User) -> None:
    assert_faults(alice.post(alice.tasks, json={"title": ""}, headers=key()), "/title")

    assert alice.post(alice.tasks, json=MILK, headers=key()).status_code == 201


@pytest.mark.parametrize(
    "wrong", ["", '""', "a b", '"a', 'a"', 'a"b', "a\\b", "é", "x" * 256, f'"{"x" * 256}"']
)
def test_malformed_key_returns_422(alice: User, wrong: str) -> None:
    header = {b"Idempotency-Key": wrong.encode("latin-1")}

    assert_faults(alice.post(alice.tasks, json=MILK, headers=header), "Idempotency-Key")


def test_two_keys_return_422(alice: User) -> None:
    headers = [("Idempotency-Key", "one"), ("Idempotency-Key", "two")]

    assert_faults(alice.post(alice.tasks, json=MILK, headers=headers), "Idempotency-Key")


@pytest.mark.parametrize("longest", ["x" * 255, f'"{"!#[]~" * 51}"'])
def test_key_has_up_to_255_characters(alice: User, longest: str) -> None:
    first, again = (alice.post(alice.tasks, json=MILK, headers=key(longest)) for _ in range(2))

    assert_replayed(again, first)
