"""Keyset cursors: the start of a page, as a signed token that a client sends back."""

from typing import Any, NamedTuple
from uuid import UUID

from db.database import Session
from db.errors import CursorRefused
from db.records import Records
from db.tasks.dates import due_of
from db.tasks.list_queries import DIGEST_SIZE, ListQuery
from db.tasks.list_shapes import Start
from db.tasks.tokens import Forged, read_signer

PURPOSE = "a page of tasks"
# A token has the place of its start in `STARTS`: their order must not change.
SIDES = (Start.AFTER, Start.FROM, Start.BEFORE, Start.UNTIL)
STARTS = (*SIDES, Start.FIRST)
# No text of a task has the NUL character.
SEPARATOR, NULL, VALUE = b"\0", b"n", b"v"
UNUSABLE = "This is not a cursor of this list. Begin with the first page."
OF_ANOTHER_LIST = (
    "This cursor belongs to a list with other filters or another order. Send the filters and the "
    "order of its link with it, or begin with the first page."
)

Key = tuple[str | None, ...]
"""The position of a task in the order of a list: the values of the sorted fields, as text."""


class Cursor(NamedTuple):
    """The start of a page: the key of a task, which may have been deleted or changed since.

    The first page has none: its cursor leads to it again.
    """

    start: Start
    key: Key

    def values(self, query: ListQuery) -> dict[str, str | None]:
        """The key as parameters of the list's statement."""
        return {f"key_{name}": each for name, each in zip(query.order.key, self.key, strict=True)}


FIRST_PAGE = Cursor(Start.FIRST, ())


def key_of(tasks: Records, place: int, query: ListQuery) -> Key:
    """The key of the task at this place of a page, in the order of the list."""
    if query.order.field == "due":
        task = tasks[place]
        return (due_of(task), task["id"])
    return tuple([_text(tasks.value(name, place)) for name in query.order.key])


def neighbour_cursors(
    tasks: Records, more_after: Key | None, current: Cursor | None, query: ListQuery
) -> tuple[Cursor | None, Cursor | None]:
    """The cursors of the pages before and after a page with these tasks."""
    backwards = current is not None and current.start.is_backwards
    onwards = None
    if more_after is not None:
        onwards = Cursor(Start.BEFORE if backwards else Start.AFTER, more_after)
    if current is None:
        return None, onwards
    if not tasks:
        # An empty page still has a position: the key at which it began.
        back = Cursor(_opposite(current.start), current.key)
    elif backwards:
        back = Cursor(Start.AFTER, key_of(tasks, -1, query))
    else:
        back = Cursor(Start.BEFORE, key_of(tasks, 0, query))
    return (onwards, back) if backwards else (back, onwards)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _opposite(start: Start) -> Start:
    """The other side of the key; the key itself is on one of the two."""
    opposites = (Start.UNTIL, Start.BEFORE, Start.FROM, Start.AFTER)
    return dict(zip(SIDES, opposites, strict=True))[start]


async def signed(database: Session, cursor: Cursor, user_id: UUID, query: ListQuery) -> str:
    """The cursor as a token, valid for this list only."""
    key = [NULL if each is None else VALUE + each.encode() for each in cursor.key]
    content = bytes([STARTS.index(cursor.start)]) + query.digest + SEPARATOR.join(key)
    return (await read_signer(database)).sign(content, PURPOSE, user_id)


async def verified(database: Session, token: str, user_id: UUID, query: ListQuery) -> Cursor:
    """The cursor of a token that a client sends."""
    try:
        content = (await read_signer(database)).verify(token, PURPOSE, user_id)
    except Forged:
        raise CursorRefused(UNUSABLE) from None
    if content[1 : 1 + DIGEST_SIZE] != query.digest:
        raise CursorRefused(OF_ANOTHER_LIST)
    start = STARTS[content[0]]
    if start is Start.FIRST:
        return FIRST_PAGE
    key = content[1 + DIGEST_SIZE :].split(SEPARATOR)
    values = (None if each == NULL else each.removeprefix(VALUE).decode() for each in key)
    return Cursor(start, tuple(values))
