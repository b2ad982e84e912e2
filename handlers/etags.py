"""Versions of tasks and lists: ETag, If-Match and If-None-Match (RFC 9110).

The contract has checked the syntax of the headers: they are lists of entity tags, or `*`. The data
layer compares the revisions of If-Match, in the statement that writes.
"""

import re
from hashlib import blake2b
from typing import Any
from uuid import UUID

from db.database import Session
from db.records import Records
from db.tasks import tasks

ANY = "*"
STRONG = re.compile(r'(?<!/)"([1-9][0-9]{0,15})"')

Returned = tuple[Any, int, dict[str, str]]
"""A value, the status of the response, and its headers."""


def of_task(task: dict[str, Any]) -> str:
    """The ETag of one task."""
    return f'"{task["revision"]}"'


def of_list(revision: int) -> str:
    """The ETag of every list of a user: weak, because other tasks change it, too."""
    return f'W/"{revision}"'


def of_page(revision: int, page: Records) -> str:
    """The ETag of a page that also changes with the time: a number made of both."""
    content = repr((revision, page.columns.get("id", [])))
    number = blake2b(content.encode(), digest_size=6).digest()
    return of_list(int.from_bytes(number, "big"))


def of_content(value: Any) -> str:
    """The ETag of a value that changes with the time, too: a hash of it."""
    return f'"{blake2b(repr(value).encode(), digest_size=16).hexdigest()}"'


def tagged(task: dict[str, Any], status: int = 200, **headers: str) -> Returned:
    """A task with its ETag."""
    return task, status, {"ETag": of_task(task), **headers}


def not_modified(etag: str) -> Returned:
    """The response to a client that has the current version already."""
    return None, 304, {"ETag": etag}


def is_current(etag: str, if_none_match: str | None) -> bool:
    """Whether If-None-Match names the ETag; weak comparison (RFC 9110, 8.8.3.2)."""
    if if_none_match is None:
        return False
    return if_none_match == ANY or etag.removeprefix("W/") in if_none_match


def unless_current(response: Returned, if_none_match: str | None) -> Returned:
    """The response, which has an ETag, or 304 if the client has this version already."""
    etag = response[2]["ETag"]
    return not_modified(etag) if is_current(etag, if_none_match) else response


async def unchanged(database: Session, user_id: UUID, if_none_match: str) -> Returned | None:
    """304 if nothing of the user has changed since the client's version: then no page is read."""
    etag = of_list(await tasks.revision(database, user_id))
    return not_modified(etag) if is_current(etag, if_none_match) else None


def expected_revisions(if_match: str | None) -> list[int] | None:
    """The revisions that If-Match names; strong comparison, so that a weak tag names none."""
    if if_match is None or if_match == ANY:
        return None
    return [int(number) for number in STRONG.findall(if_match)]
