"""A user's changes in the order of their commits, each task once, as it is now.

A token holds the position of its reader. `read_up_to`: the reader has every change up to this
revision. `began`: the user's revision when the reader started with an empty copy. `known_since`:
when the user's row was created; it differs if the user was erased and created again.

A reader gets each of its tasks after it began. So the tombstone of such a task has a revision
above `began`, and the reader has the tombstone if its revision is not above `read_up_to`. A purged
tombstone matters only if its revision is above both: then the token is refused. A reader with an
empty copy may begin at any time.
"""

import asyncio
import struct
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from db.database import Session
from db.errors import ArgumentRefused, ChangesForgotten, SinceRefused
from db.schema.clauses import ACTIVE_COLUMNS
from db.tasks.change_notifications import ChangeNotifications
from db.tasks.feed_statements import CHANGES
from db.tasks.tokens import Forged, read_signer

# Of a page. A character has at most six bytes in JSON.
MOST_CHARACTERS = 256 * 1024
PURPOSE = "changes since"
LAYOUT = struct.Struct(">3q")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TOMBSTONE = ("id", "deleted_at", "revision")
TASK_KIND = "task"
TASK_TOMBSTONE_KIND = "task_tombstone"
LIST_KIND = "list"
LIST_TOMBSTONE_KIND = "list_tombstone"
UNUSABLE = (
    "This is not a token of this user's changes. Send `next` exactly as the last page had it, "
    "or begin again without `since`."
)
FORGOTTEN = (
    "The changes since then are no longer stored. Drop your copy of this user's tasks, "
    "and begin again without `since`."
)

Change = dict[str, Any]


class Page(NamedTuple):
    """Changes, the token for the next page, and whether that page has changes already.

    `digest` is of all that the user has, once the reader has every change.
    """

    changes: list[Change]
    next: str
    more: bool
    digest: int | None


class Reader(NamedTuple):
    """The position of a reader."""

    known_since: int = 0
    read_up_to: int = 0
    began: int = 0


class Reading(NamedTuple):
    """A page, the user's revision when it was read, and the position of the reader after it."""

    page: Page
    revision: int
    reader: Reader


async def page(
    database: Session,
    notifications: ChangeNotifications,
    user_id: UUID,
    *,
    since: str | None,
    limit: int,
    wait: float,
) -> Page:
    """The changes after the token; if there are none, wait up to `wait` seconds for some."""
    reader = await reader_at(database, user_id, since)
    if not wait:
        return (await read(database, user_id, reader, limit)).page
    deadline = asyncio.get_running_loop().time() + wait
    with notifications.waiter(user_id) as waiter:
        while True:
            waiter.about_to_read()
            page, revision, _ = await read(database, user_id, reader, limit)
            if page.changes or not await waiter.changed(revision, deadline):
                return page


async def reader_at(
    database: Session,
    user_id: UUID,
    token: str | None,
    refusal: type[ArgumentRefused] = SinceRefused,
) -> Reader:
    """The reader with this token; without one it begins with an empty copy."""
    if token is None:
        return Reader()
    try:
        content = (await read_signer(database)).verify(token, PURPOSE, user_id)
    except Forged:
        raise refusal(UNUSABLE) from None
    return Reader(*LAYOUT.unpack(content))


async def read(database: Session, user_id: UUID, reader: Reader, limit: int) -> Reading:
    """The page of changes after the reader's position."""
    rows = await database.fetch_dicts(
        CHANGES,
        user_id=user_id,
        after=reader.read_up_to,
        began=reader.began or None,
        limit=limit + 1,
    )
    if not rows:
        if reader != Reader():
            raise ChangesForgotten(FORGOTTEN)
        token = await _signed(database, reader, user_id)
        return Reading(Page([], token, more=False, digest=0), 0, reader)
    revision: int = rows[0]["user_revision"]
    reader = _recognised(reader, rows[0])
    size = _page_size(rows, limit)
    more = len(rows) > size
    read_up_to = rows[size - 1]["revision"] if more else revision
    reader = reader._replace(read_up_to=read_up_to)
    token = await _signed(database, reader, user_id)
    changes = [_change(row) for row in rows[:size] if row["id"] is not None]
    page = Page(changes, token, more, None if more else rows[0]["digest"])
    return Reading(page, revision, reader)


def _recognised(reader: Reader, user: dict[str, Any]) -> Reader:
    """The reader; raises if a change after its position is no longer stored."""
    known_since, revision = _microseconds(user["user_created_at"]), user["user_revision"]
    if reader == Reader():
        return Reader(known_since, read_up_to=0, began=revision)
    if (
        reader.known_since != known_since
        or user["purged_revision"] > max(reader.read_up_to, reader.began)
        # The database was restored from an older backup.
        or revision < max(reader.read_up_to, reader.began)
    ):
        raise ChangesForgotten(FORGOTTEN)
    return reader


def _page_size(rows: list[dict[str, Any]], limit: int) -> int:
    """How many of the rows make a page: at most `limit`, and not too many characters."""
    characters = 0
    for size, row in enumerate(rows[:limit]):
        characters += sum(map(_characters, row.values()))
        if characters > MOST_CHARACTERS and size:
            return size
    return min(len(rows), limit)


def _characters(value: Any) -> int:
    """The characters of a text, or of several."""
    if isinstance(value, list):
        return sum(map(len, value))
    if isinstance(value, dict):
        return sum(map(_characters, value.values()))
    return len(value) if isinstance(value, str) else 0


def _change(row: dict[str, Any]) -> Change:
    """A row as a client gets it: a task, a list, or a tombstone."""
    is_list = row["list"] is not None
    if row["deleted_at"] is not None:
        kind = LIST_TOMBSTONE_KIND if is_list else TASK_TOMBSTONE_KIND
        return {"kind": kind, **{name: row[name] for name in TOMBSTONE}}
    if is_list:
        return {"kind": LIST_KIND, "list": row["list"]}
    return {"kind": TASK_KIND, "task": {name: row[name] for name in ACTIVE_COLUMNS}}


async def _signed(database: Session, reader: Reader, user_id: UUID) -> str:
    return (await read_signer(database)).sign(LAYOUT.pack(*reader), PURPOSE, user_id)


def _microseconds(moment: str) -> int:
    """A time as the database writes it, in exact microseconds since 1970."""
    return (datetime.fromisoformat(moment) - EPOCH) // timedelta(microseconds=1)
