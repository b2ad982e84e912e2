"""Versions of what a client reads or changes: ETag, If-Match and If-None-Match (RFC 9110).

The contract has checked how the headers are written: there is nothing but tags, commas and space.
"""

import re
from typing import Any

ANY = "*"
STRONG = re.compile(r'(?<!/)"([1-9][0-9]{0,15})"')

Headers = dict[str, str]
Returned = tuple[Any, int, Headers]


def of_task(task: dict[str, Any]) -> str:
    """The tag of one task."""
    return f'"{task["revision"]}"'


def of_list(revision: int) -> str:
    """The tag of every list of a user: weak, as it changes with tasks that are not in this one."""
    return f'W/"{revision}"'


def tagged(task: dict[str, Any], status: int = 200, **headers: str) -> Returned:
    """A task with its tag."""
    return task, status, {"ETag": of_task(task), **headers}


def unchanged(tag: str) -> Returned:
    """The client has it already."""
    return None, 304, {"ETag": tag}


def known(tag: str, if_none_match: str | None) -> bool:
    """Whether the client has what bears that tag; strong or weak is no matter here."""
    if if_none_match is None:
        return False
    return if_none_match == ANY or tag.removeprefix("W/") in if_none_match


def expected(if_match: str | None) -> list[int] | None:
    """The revisions that a client takes; a weak tag, or one that is not ours, is none of them."""
    if if_match is None or if_match == ANY:
        return None
    return [int(number) for number in STRONG.findall(if_match)]
