"""Positions: there is always a key between two others, in the format of the contract."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as some

from db.tasks.positions import LOWEST, between, of_revision
from tests.support.fields import WRITABLE

PATTERN = re.compile(WRITABLE["position"]["pattern"])
# Until the year 2112.
REVISIONS = some.integers(1, 2**52 - 200)
KEYS = some.from_regex(PATTERN, fullmatch=True).filter(lambda key: len(key) <= 100)
# Keys that differ little: the same integer part, and few digits.
CLOSE_KEYS = some.from_regex(r"\A(a0|Zz|m649abb0bbb12[0z])([0z]{0,3}[1z])?\Z", fullmatch=True)


def assert_ascending_keys(keys: list[str]) -> None:
    assert keys == sorted(set(keys))
    assert all(map(PATTERN.fullmatch, keys)), keys


# The libraries of the format return these.
@pytest.mark.parametrize(
    ("low", "high", "count", "keys"),
    [
        (None, None, 1, ["a0"]),
        (None, None, 3, ["a0", "a1", "a2"]),
        ("a0", None, 2, ["a1", "a2"]),
        ("a0V", None, 1, ["a1"]),
        ("az", None, 1, ["b00"]),
        ("Zz", None, 1, ["a0"]),
        ("Yzz", None, 1, ["Z0"]),
        (None, "a0", 2, ["Zy", "Zz"]),
        (None, "a0V", 1, ["a0"]),
        (None, "b00", 1, ["az"]),
        (None, "Z0", 1, ["Yzz"]),
        ("a0", "a1", 1, ["a0V"]),
    ],
)
def test_keys_are_those_of_the_well_known_libraries(
    low: str | None, high: str | None, count: int, keys: list[str]
) -> None:
    assert between(low, high, count) == keys


@given(some.one_of(KEYS, CLOSE_KEYS), some.one_of(KEYS, CLOSE_KEYS), some.integers(1, 50))
def test_any_number_of_keys_is_between_two_that_differ(one: str, other: str, count: int) -> None:
    low, high = min(one, other), max(one, other)

    keys = between(low, high, count)

    assert len(keys) == (count if low < high else 0)
    assert_ascending_keys([low, *keys, high] if keys else [])


@given(some.one_of(KEYS, CLOSE_KEYS), some.integers(1, 50))
def test_any_number_of_keys_is_beyond_one(key: str, count: int) -> None:
    assert_ascending_keys([key, *between(key, None, count)])
    assert len(between(key, None, count)) == count
    assert_ascending_keys([*between(None, key, count), key])
    assert len(between(None, key, count)) == (0 if key == LOWEST else count)


@given(some.lists(REVISIONS, min_size=2, unique=True))
def test_new_tasks_are_in_the_order_of_their_revisions(revisions: list[int]) -> None:
    positions = [of_revision(each) for each in sorted(revisions)]

    assert_ascending_keys(positions)


@given(REVISIONS, some.integers(1, 100))
def test_what_is_made_the_last_stays_before_the_next_new_task(revision: int, moves: int) -> None:
    *_, last = between(of_revision(revision), None, moves)

    assert last < of_revision(revision + moves + 1)
