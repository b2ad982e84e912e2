"""Concurrent requests about one task are linearizable."""

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest

from tests.proof.clients import Kind
from tests.proof.history import ABSENT, CHANGED, DELETED, OK, Call, State, is_linearizable
from tests.support.users import Task, User

PEOPLE = 6
CALLS_OF_EACH = 60
KINDS = [None, None, Kind.UPDATE, Kind.UPDATE, Kind.TOGGLE, Kind.TOGGLE, Kind.DELETE, Kind.RESTORE]
ROUTES = {
    None: ("GET", ""),
    Kind.UPDATE: ("PUT", ""),
    Kind.TOGGLE: ("PATCH", "/complete"),
    Kind.DELETE: ("DELETE", ""),
    Kind.RESTORE: ("POST", "/restore"),
}
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
    calls = seen_by_many(server, task)

    assert len(calls) == PEOPLE * CALLS_OF_EACH
    assert {each.status for each in calls} == {OK, DELETED, ABSENT, CHANGED}
    assert are_concurrent(calls)
    assert is_linearizable(state_of(task.document), calls)


def test_tampered_history_is_not_linearizable(server: str, task: Task) -> None:
    calls = seen_by_many(server, task)
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


def seen_by_many(server: str, task: Task) -> list[Call]:
    """The calls of several users who use the task at once."""

    def one_user(number: int) -> list[Call]:
        with User(server) as person:
            return list(map(one_of(person, task, random.Random(random.random())), names(number)))

    def names(number: int) -> list[str]:
        return [f"{number} {count}" for count in range(CALLS_OF_EACH)]

    with ThreadPoolExecutor(PEOPLE) as pool:
        return [each for calls in pool.map(one_user, range(PEOPLE)) for each in calls]


def one_of(person: User, task: Task, chance: random.Random) -> Callable[[str], Call]:
    """A function that sends a random request about the task, and returns the call."""
    known = task.document["revision"]

    def does(title: str) -> Call:
        nonlocal known
        kind = chance.choice(KINDS)
        changes = kind in (Kind.UPDATE, Kind.TOGGLE, Kind.DELETE)
        base = known if changes and chance.random() < 0.5 else None
        headers = {} if base is None else {"If-Match": f'"{base}"'}
        body = {"title": title} if kind is Kind.UPDATE else None
        method, place = ROUTES[kind]
        began = time.monotonic()
        response = person.request(method, task.url + place, headers=headers, json=body)
        ended = time.monotonic()
        document = response.json() if response.content else {}
        document = document.get("current", document)
        shown = state_of(document) if "revision" in document else None
        known = shown.revision if shown else known
        return Call(kind, began, ended, response.status_code, shown, title, base)

    return does


def toggle_before_a_toggle(calls: list[Call]) -> Call:
    """A toggle that another one follows at once: an update between them would hide its loss."""
    writes = [each for each in calls if each.kind and each.status == OK and each.shown]
    writes.sort(key=lambda each: each.shown.revision if each.shown else 0)
    return next(one for one, other in pairwise(writes) if one.kind is other.kind is Kind.TOGGLE)


def state_of(document: dict[str, Any]) -> State:
    return State(document["revision"], document["title"], document["completed"])


def are_concurrent(calls: list[Call]) -> bool:
    """Whether most of them overlap with others."""
    overlapping = [
        one
        for one in calls
        if any(one is not other and one.began < other.began < one.ended for other in calls)
    ]
    return len(overlapping) > len(calls) / 2
