"""The check of the histories finds what it must find, and the page names each fault."""

import re
from pathlib import Path
from uuid import uuid4

from tests.faults.load import NONE, Outcome, Violations, Writer, compare
from tests.support.project import ROOT


def history(**outcomes: Outcome) -> Writer:
    writer = Writer(list, str(uuid4()), "client", 0)
    writer.outcomes = outcomes
    return writer


def found(writer: Writer, *titles: str, completed: bool = False) -> Violations:
    violations = Violations([], [], [])
    tasks = [{"id": f"{title}'s", "title": title, "completed": completed} for title in titles]
    compare(writer, tasks, violations)
    return violations


def test_writes_that_agree_with_their_responses_are_no_violation() -> None:
    writer = history(a=Outcome.CONFIRMED, b=Outcome.REFUSED, c=Outcome.UNKNOWN, d=Outcome.UNKNOWN)

    assert found(writer, "a", "c", "another client's") == NONE


def test_lost_doubled_and_refused_writes_are_violations() -> None:
    writer = history(a=Outcome.CONFIRMED, b=Outcome.CONFIRMED, c=Outcome.REFUSED, d=Outcome.UNKNOWN)

    assert found(writer, "b", "b", "c", "d", "d") == Violations(["a"], ["b", "d"], ["c"])


def test_toggle_that_was_lost_or_done_twice_is_a_violation() -> None:
    writer = history(a=Outcome.CONFIRMED)
    writer.toggled, writer.toggles = "a's", 3

    assert found(writer, "a", completed=True) == NONE
    assert found(writer, "a", completed=False).lost == ["3 toggles of client"]


def test_page_names_each_fault() -> None:
    _, page = (ROOT / "CONTRIBUTING.md").read_text().split("### Faults under load")
    named = re.findall(r"^\|.+\| `(\w+)` \|", page.split("\n## ")[0], re.MULTILINE)
    modules = [each for each in Path(__file__).parent.glob("test_*.py") if each != Path(__file__)]
    tests = [
        name for each in modules for name in re.findall(r"^def test_(\w+)", each.read_text(), re.M)
    ]

    assert len(named) == len(tests)
    assert all(any(test.startswith(name) for test in tests) for name in named)
