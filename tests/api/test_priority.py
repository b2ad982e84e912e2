"""Priorities have an order, and lists can be of several; what holds of every field is elsewhere."""

import pytest

from tests.support.responses import assert_faults
from tests.support.users import User

ASCENDING = ["none", "low", "medium", "high", "urgent"]


@pytest.fixture
def prioritized(alice: User) -> User:
    """Alice, with a task of each priority, created in no order."""
    for priority in ("high", "none", "urgent", "low", "medium"):
        alice.creates(priority, priority=priority)
    return alice


def titles(user: User, query: str) -> list[str]:
    return [task["title"] for task in user.get(f"{user.tasks}?{query}").json()]


def test_priorities_are_sorted_by_rank_not_by_name(prioritized: User) -> None:
    assert titles(prioritized, "sort=priority") == ASCENDING
    assert titles(prioritized, "sort=-priority") == ASCENDING[::-1]


def test_repeated_priority_lists_tasks_of_any_of_them(prioritized: User) -> None:
    assert titles(prioritized, "priority=urgent&priority=high") == ["urgent", "high"]
    assert titles(prioritized, "priority=none&priority=high") == ["none", "high"]
    assert titles(prioritized, "priority=low&priority=low") == ["low"]


@pytest.mark.parametrize("body", [{"priority": "asap"}, {"priority": None}, {"priority": 4}])
def test_another_priority_is_refused(alice: User, body: dict[str, object]) -> None:
    assert_faults(alice.post(alice.tasks, json={"title": "x", **body}), "/priority")
    assert_faults(alice.put(alice.creates().url, json=body), "/priority")
