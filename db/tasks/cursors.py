"""Places in a list that is sorted by a moment and `id`, and how they are told to clients."""

import struct
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from db.database import Session
from db.errors import CursorRefused
from db.tasks.tokens import Forged, the_seal

PURPOSE = "a page of tasks, by a moment and id"
LAYOUT = struct.Struct(">?q16s")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
UNUSABLE = "This cursor is not one that the list has given. Begin with the first page."
OF_ANOTHER_LIST = (
    "This cursor was made for other filters. Keep those of its link, or begin with the first page."
)


class Place(NamedTuple):
    """A task's place among the user's tasks, whether it is still there or not."""

    moment: int
    id: int

    @classmethod
    def of(cls, task: dict[str, Any], sorted_by: str) -> "Place":
        """Where this task stands."""
        return cls(microseconds(task[sorted_by]), int(task["id"].replace("-", ""), 16))

    def stepped(self, step: int) -> "Place":
        """The next place, or the one before, whether a task could stand there or not."""
        carried, id_ = divmod(self.id + step, 1 << 128)
        return Place(self.moment + carried, id_)

    def values(self) -> dict[str, Any]:
        """It as the database compares it."""
        moment = EPOCH + self.moment * MICROSECOND
        return {"place_time": moment, "place_id": UUID(int=self.id)}


class Cursor(NamedTuple):
    """Where a page begins: behind a place, or before it."""

    place: Place
    backwards: bool


def beside(
    tasks: list[dict[str, Any]], came_by: Cursor | None, more: bool, sorted_by: str
) -> tuple[Cursor | None, Cursor | None]:
    """From a page, the cursors of the one before and of the one behind it."""
    if came_by is None:
        return None, Cursor(Place.of(tasks[-1], sorted_by), backwards=False) if more else None
    # A page that others have emptied since it was linked to lies around the place it began at.
    start = Place.of(tasks[0], sorted_by) if tasks else came_by.place.stepped(-1)
    end = Place.of(tasks[-1], sorted_by) if tasks else came_by.place.stepped(1)
    before, behind = Cursor(start, backwards=True), Cursor(end, backwards=False)
    if came_by.backwards:
        return before if more else None, behind
    return before, behind if more else None


async def sealed(database: Session, cursor: Cursor, user_id: UUID, listing: str) -> str:
    """The cursor as a client gets it, good for this list alone."""
    place = cursor.place
    content = LAYOUT.pack(cursor.backwards, place.moment, place.id.to_bytes(16))
    return (await the_seal(database)).close(content + listing.encode(), PURPOSE, user_id)


async def opened(database: Session, token: str, user_id: UUID, listing: str) -> Cursor:
    """The cursor that a client brings back."""
    try:
        content = (await the_seal(database)).open(token, PURPOSE, user_id)
    except Forged:
        raise CursorRefused(UNUSABLE) from None
    if content[LAYOUT.size :] != listing.encode():
        raise CursorRefused(OF_ANOTHER_LIST)
    backwards, moment, id_ = LAYOUT.unpack_from(content)
    return Cursor(Place(moment, int.from_bytes(id_)), backwards)


def microseconds(moment: str) -> int:
    """A moment as the database writes it, to the last digit."""
    return (datetime.fromisoformat(moment) - EPOCH) // MICROSECOND
