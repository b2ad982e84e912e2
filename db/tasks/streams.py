"""Streams of changes: responses that go on with each change of a user's data.

A stream holds no database connection while it waits. It reads a page when its client has taken the
one before: a slow client gets fewer and fuller pages, and the server keeps one of them.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from uuid import UUID

from db.database import Session
from db.errors import ChangesForgotten, Overloaded, Unavailable
from db.tasks import feed
from db.tasks.change_notifications import ChangeNotifications, Waiter
from db.tasks.feed import Page, Reader

Pages = AsyncGenerator[Page | None, None]


class Streams:
    """The streams of this process."""

    def __init__(
        self,
        notifications: ChangeNotifications,
        *,
        most: int,
        most_of_a_user: int,
        heartbeat: float,
    ) -> None:
        """A heartbeat is due after so many seconds without a change."""
        self._notifications = notifications
        self._most = most
        self._most_of_a_user = most_of_a_user
        self._heartbeat = heartbeat
        self.count = 0
        self._of_users: dict[UUID, list[Waiter]] = {}

    async def pages(
        self, database: Session, user_id: UUID, reader: Reader, *, limit: int, seconds: float
    ) -> Pages:
        """The reader's next page at once, others as soon as they have changes, None as a heartbeat.

        It ends after so many seconds, when the server stops, or when it cannot go on. A client that
        begins again then finds out why.
        """
        now = asyncio.get_running_loop().time
        end = now() + seconds
        with self._opened(user_id) as waiter:
            reading = await feed.read(database, user_id, reader, limit)
            yield reading.page
            while not waiter.closed and now() < end:
                beat = min(now() + self._heartbeat, end)
                if not reading.page.more and not await waiter.changed(reading.revision, beat):
                    yield None
                    continue
                waiter.about_to_read()
                try:
                    reading = await feed.read(database, user_id, reading.reader, limit)
                except (ChangesForgotten, Unavailable):
                    return
                if reading.page.changes:
                    yield reading.page

    @contextmanager
    def _opened(self, user_id: UUID) -> Iterator[Waiter]:
        """A waiter for a new stream; if the user has too many streams, the oldest one ends."""
        if self.count >= self._most:
            raise Overloaded(f"The server sends {self._most:,} streams, and can send no more.")
        with self._notifications.waiter(user_id) as waiter:
            streams = self._of_users.setdefault(user_id, [])
            streams.append(waiter)
            if len(streams) > self._most_of_a_user:
                streams.pop(0).close()
            self.count += 1
            try:
                yield waiter
            finally:
                self.count -= 1
                self._forget(user_id, waiter)

    def _forget(self, user_id: UUID, waiter: Waiter) -> None:
        left = [each for each in self._of_users.get(user_id, ()) if each is not waiter]
        if left:
            self._of_users[user_id] = left
        else:
            self._of_users.pop(user_id, None)
