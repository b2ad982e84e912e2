"""Long polls: requests that wait for the next change of a user's data.

They hold no database connection. A write of this process wakes its user's waiters at once. Writes
of other processes are found by a query for the user's revision every second: one query for all
waiters of a user.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Self
from uuid import UUID

from db.database import Database
from db.errors import Unavailable
from db.tasks import tasks

INTERVAL = 1.0

ReadRevision = Callable[[UUID], Awaitable[int]]


class Waiter:
    """A request that waits until the user's revision differs from the one it knows."""

    def __init__(self) -> None:
        self.closed = False
        self._woken = asyncio.Event()
        self._known: int | None = None

    def about_to_read(self) -> None:
        """Prepare for a read: every later change of the data wakes the waiter."""
        self._woken.clear()
        self._known = None

    def wake(self) -> None:
        """The data may have changed."""
        self._woken.set()

    def close(self) -> None:
        """End the wait: the server stops."""
        self.closed = True
        self.wake()

    def compare(self, revision: int) -> None:
        """Wake the waiter if the revision differs from the one it knows."""
        if self._known is not None and self._known != revision:
            self.wake()

    async def changed(self, known: int, deadline: float) -> bool:
        """Wait until the revision differs; false at the deadline, or when the server stops."""
        self._known = known
        if self.closed:
            return False
        try:
            async with asyncio.timeout_at(deadline):
                await self._woken.wait()
        except TimeoutError:
            return False
        return not self.closed


class ChangeNotifications:
    """The waiters of this process, by user."""

    def __init__(self, read_revision: ReadRevision) -> None:
        self._read_revision = read_revision
        self._waiters: dict[UUID, set[Waiter]] = {}
        self._polls: dict[UUID, asyncio.Task[None]] = {}
        self._closed = False

    @classmethod
    def of(cls, database: Database) -> Self:
        """The notifications of a database: each write through it wakes the waiters."""
        notifications = cls(lambda user_id: tasks.revision(database, user_id))
        database.observe_writes(notifications.notify)
        return notifications

    @contextmanager
    def waiter(self, user_id: UUID) -> Iterator[Waiter]:
        """A waiter for the user's changes."""
        waiter = Waiter()
        waiter.closed = self._closed
        self._waiters.setdefault(user_id, set()).add(waiter)
        if user_id not in self._polls and not self._closed:
            self._polls[user_id] = asyncio.create_task(self._poll(user_id))
        try:
            yield waiter
        finally:
            self._waiters[user_id].discard(waiter)
            if not self._waiters[user_id]:
                del self._waiters[user_id]

    def notify(self, user_id: UUID) -> None:
        """Wake the waiters for this user's changes."""
        for waiter in self._waiters.get(user_id, ()):
            waiter.wake()

    def close(self) -> None:
        """End all waits, and refuse new ones."""
        self._closed = True
        for poll in self._polls.values():
            poll.cancel()
        self._polls.clear()
        for waiters in self._waiters.values():
            for waiter in waiters:
                waiter.close()

    async def _poll(self, user_id: UUID) -> None:
        """Read the revision every second while the user has waiters."""
        while True:
            await asyncio.sleep(INTERVAL)
            if user_id not in self._waiters:
                # Critical section: a waiter that comes from here on starts another poll.
                del self._polls[user_id]
                return
            try:
                revision = await self._read_revision(user_id)
            except Unavailable:
                continue  # the database may be back before the deadline
            except Exception:
                self.notify(user_id)  # the waiters read, too, and report the error
                continue
            for waiter in self._waiters.get(user_id, ()):
                waiter.compare(revision)
