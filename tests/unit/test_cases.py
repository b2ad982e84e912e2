"""A test of a table runs every case and names those that fail."""

import pytest

from tests.support.cases import for_each


def test_all_cases_run_and_those_that_fail_are_named() -> None:
    ran: list[tuple[int, str]] = []

    @for_each("number", [1, 2, 3], ids=["one", "two", "three"])
    def is_two(number: int, fixture: str) -> None:
        ran.append((number, fixture))
        assert number == 2

    with pytest.raises(pytest.fail.Exception, match="2 of 3 cases fail: one; three") as raised:
        is_two(fixture="x")

    assert ran == [(1, "x"), (2, "x"), (3, "x")]
    assert "assert 1 == 2" in str(raised.value)
    assert "assert 3 == 2" in str(raised.value)


def test_a_case_that_raises_nothing_where_it_should_fails() -> None:
    @for_each(("number", "text"), [(1, "a")])
    def raises_nothing(number: int, text: str) -> None:
        with pytest.raises(ValueError, match=f"{number}{text}"):
            pass

    with pytest.raises(pytest.fail.Exception, match="1 of 1 cases fail"):
        raises_nothing()
