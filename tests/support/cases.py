"""Tests that go through a table: as tests of their own, most cases would cost more than they do."""

import inspect
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from traceback import format_exception
from typing import Any

import pytest

LONGEST_NAME = 100

Test = Callable[..., None]
Names = Callable[[Any], str] | Iterable[str]


def for_each(
    arguments: str | tuple[str, ...], cases: Iterable[Any], ids: Names = repr
) -> Callable[[Test], Test]:
    """Make one test that runs all cases, with the same fixtures, and names those that fail.

    It is written as `pytest.mark.parametrize`.
    """
    keys = (arguments,) if isinstance(arguments, str) else arguments
    values = list(cases)
    names = [ids(each) for each in values] if callable(ids) else list(ids)
    rows = [(each,) if isinstance(arguments, str) else each for each in values]
    table = [
        (name[:LONGEST_NAME], dict(zip(keys, row, strict=True)))
        for name, row in zip(names, rows, strict=True)
    ]
    assert table, "a test without cases shows nothing"

    def decorate(test: Test) -> Test:
        @wraps(test)
        def run_all(**fixtures: Any) -> None:
            failures = list(_failures(test, fixtures, table))
            if failures:
                names = "; ".join(name for name, _ in failures)
                summary = f"{len(failures)} of {len(table)} cases fail: {names}"
                texts = [f"{name}\n{text}" for name, text in failures]
                pytest.fail("\n\n".join([summary, *texts]), pytrace=False)

        signature = inspect.signature(test)
        fixtures = [each for each in signature.parameters.values() if each.name not in keys]
        vars(run_all)["__signature__"] = signature.replace(parameters=fixtures)
        return run_all

    return decorate


def _failures(
    test: Test, fixtures: dict[str, Any], table: list[tuple[str, dict[str, Any]]]
) -> Iterator[tuple[str, str]]:
    for name, values in table:
        try:
            test(**fixtures, **values)
        except (Exception, pytest.fail.Exception) as failure:
            is_of_cases = isinstance(failure, pytest.fail.Exception) and not failure.pytrace
            yield name, str(failure) if is_of_cases else "".join(format_exception(failure))
