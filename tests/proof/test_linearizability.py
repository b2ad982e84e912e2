"""Concurrent requests about one task are linearizable."""

from contextlib import ExitStack
from itertools import pairwise

import pytest

from tests.proof.clients import Kind
from tests.proof.history import ABSENT, CHANGED, DELETED, OK, Call, State, is_linearizable
from tests.proof.observed import seen_by_many, state_of
from tests.support.users import Task, User

PEOPLE = 6
CALLS_OF_EACH = 60
FIRST = State(1, "old", completed=False)


def call(
    kind: Kind | None,
    shown: State | None,
    *,
    at: tuple[float, float],
    status: int = OK,
    base: int | None = None,
) -> Call:
    return Call(kind, *at, status, shown, shown.title if shown else "", base)


def test_concurrent_history_is_linearizable(server: str, task: Task) -> None:
    calls = seen_by_people(server, task)

    assert len(calls) == PEOPLE * CALLS_OF_EACH
    assert {each.status for each in calls} == {OK, DELETED, ABSENT, CHANGED}
    assert are_concurrent(calls)
    assert is_linearizable(state_of(task.document), calls)


def test_tampered_history_is_not_linearizable(server: str, task: Task) -> None:
    calls = seen_by_people(server, task)
    first = state_of(task.document)
    lost = toggle_before_a_toggle(calls)

    assert is_linearizable(first, calls)
    assert not is_linearizable(first, [each for each in calls if each is not lost])


@pytest.mark.parametrize(
    ("second", "fine"), [(State(3, "old", completed=False), True), (State(3, "old", True), False)]
)
def test_lost_toggle_is_not_linearizable(second: State, fine: bool) -> None:
    first = call(Kind.TOGGLE, State(2, "old", completed=True), at=(0, 2))

    assert is_linearizable(FIRST, [first, call(Kind.TOGGLE, second, at=(1, 3))]) is fine


def test_two_updates_of_one_version_are_not_linearizable() -> None:
    mine = call(Kind.UPDATE, State(2, "mine", completed=False), at=(0, 2), base=1)
    yours = call(Kind.UPDATE, State(3, "yours", completed=False), at=(1, 3), base=1)

    assert not is_linearizable(FIRST, [mine, yours])
    refused = call(Kind.UPDATE, mine.shown, at=(1, 3), base=1, status=CHANGED)
    assert is_linearizable(FIRST, [mine, refused])


@pytest.mark.parametrize(("began", "fine"), [(1.5, True), (2.5, False)])
def test_read_may_be_stale_during_a_write_but_not_after_it(began: float, fine: bool) -> None:
    write = call(Kind.UPDATE, State(2, "new", completed=False), at=(1, 2))
    read = call(None, FIRST, at=(began, 3))

    assert is_linearizable(FIRST, [write, read]) is fine


def test_reads_that_go_back_in_time_are_not_linearizable() -> None:
    write = call(Kind.UPDATE, State(2, "new", completed=False), at=(0, 9))
    assert write.shown
    reads = [call(None, write.shown, at=(1, 2)), call(None, FIRST, at=(3, 4))]

    assert not is_linearizable(FIRST, [write, *reads])
    assert is_linearizable(FIRST, [write, *reads[:1]])


def test_read_of_a_deleted_task_is_not_linearizable_until_it_is_restored() -> None:
    deleted = call(Kind.DELETE, None, at=(0, 1), status=DELETED)
    restored = call(Kind.RESTORE, State(3, "old", completed=False), at=(4, 5))
    absent, present = call(None, None, at=(2, 3), status=ABSENT), call(None, FIRST, at=(2, 3))

    assert is_linearizable(FIRST, [deleted, absent, restored])
    assert not is_linearizable(FIRST, [deleted, present, restored])


def test_write_with_an_earlier_revision_is_not_linearizable() -> None:
    newer = call(Kind.UPDATE, State(3, "mine", completed=False), at=(0, 1))
    older = call(Kind.UPDATE, State(2, "yours", completed=False), at=(2, 3))

    assert not is_linearizable(FIRST, [newer, older])


def seen_by_people(server: str, task: Task) -> list[Call]:
    """The calls of several users who use the task at once."""
    with ExitStack() as stack:
        people = [stack.enter_context(User(server)) for _ in range(PEOPLE)]
        return seen_by_many(people, task, CALLS_OF_EACH)


def toggle_before_a_toggle(calls: list[Call]) -> Call:
    """A toggle that another one follows at once: an update between them would hide its loss."""
    writes = [each for each in calls if each.kind and each.status == OK and each.shown]
    writes.sort(key=lambda each: each.shown.revision if each.shown else 0)
    return next(one for one, other in pairwise(writes) if one.kind is other.kind is Kind.TOGGLE)


def are_concurrent(calls: list[Call]) -> bool:
    """Whether most of them overlap with others."""
    overlapping = [
        one
        for one in calls
        if any(one is not other and one.began < other.began < one.ended for other in calls)
    ]
    return len(overlapping) > len(calls) / 2
