"""Keyset cursors: where in a list a page begins, and the signed token that a client gets."""

from typing import Any, NamedTuple
from uuid import UUID

from db.database import Session
from db.errors import CursorRefused
from db.tasks.list_queries import ListQuery, Page
from db.tasks.tokens import Forged, read_signer

PURPOSE = "a page of tasks"
PAGES = (Page.AFTER, Page.FROM, Page.BEFORE, Page.UNTIL)
DIGEST_SIZE = 8
# No text of a task has the NUL character.
SEPARATOR, NULL, VALUE = b"\0", b"n", b"v"
UNUSABLE = "This is no cursor of this list. Begin with the first page."
OF_ANOTHER_LIST = (
    "This cursor was made for other filters or another order. Keep those of its link, or begin "
    "with the first page."
)

Key = tuple[str | None, ...]
"""The values, as text, of the fields that say where in the order of a list a task is."""


class Cursor(NamedTuple):
    """Where a page begins: at the key of a task, which may have been deleted or moved since."""

    page: Page
    key: Key

    def values(self, query: ListQuery) -> dict[str, str | None]:
        """The key as parameters of the list's statement."""
        return {f"key_{name}": each for name, each in zip(query.order.key, self.key, strict=True)}


def key_of(task: dict[str, Any], query: ListQuery) -> Key:
    """The place of the task in the order of the list."""
    return tuple([_text(task[name]) for name in query.order.key])


def neighbour_cursors(
    tasks: list[dict[str, Any]], goes_on_at: Key | None, current: Cursor | None, query: ListQuery
) -> tuple[Cursor | None, Cursor | None]:
    """The cursors of the page before and of the page behind a page with these tasks."""
    backwards = current is not None and current.page.is_backwards
    onwards = None
    if goes_on_at is not None:
        onwards = Cursor(Page.BEFORE if backwards else Page.AFTER, goes_on_at)
    if current is None:
        return None, onwards
    if not tasks:
        # The page still has a place, around the key at which it began.
        back = Cursor(_opposite(current.page), current.key)
    elif backwards:
        back = Cursor(Page.AFTER, key_of(tasks[-1], query))
    else:
        back = Cursor(Page.BEFORE, key_of(tasks[0], query))
    return (onwards, back) if backwards else (back, onwards)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _opposite(page: Page) -> Page:
    """The other side of the key; the key itself is on one of the two."""
    opposites = (Page.UNTIL, Page.BEFORE, Page.FROM, Page.AFTER)
    return dict(zip(PAGES, opposites, strict=True))[page]


async def signed(database: Session, cursor: Cursor, user_id: UUID, query: ListQuery) -> str:
    """The cursor as a token, good for this list alone."""
    key = [NULL if each is None else VALUE + each.encode() for each in cursor.key]
    content = bytes([PAGES.index(cursor.page)]) + query.digest() + SEPARATOR.join(key)
    return (await read_signer(database)).sign(content, PURPOSE, user_id)


async def verified(database: Session, token: str, user_id: UUID, query: ListQuery) -> Cursor:
    """The cursor of a token that a client sends."""
    try:
        content = (await read_signer(database)).verify(token, PURPOSE, user_id)
    except Forged:
        raise CursorRefused(UNUSABLE) from None
    if content[1 : 1 + DIGEST_SIZE] != query.digest():
        raise CursorRefused(OF_ANOTHER_LIST)
    key = content[1 + DIGEST_SIZE :].split(SEPARATOR)
    values = (None if each == NULL else each.removeprefix(VALUE).decode() for each in key)
    return Cursor(PAGES[content[0]], tuple(values))
