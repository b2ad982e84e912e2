"""Long polls and streams: requests that wait for the next change of a user's data.

They hold no database connection. A write of this process wakes its user's waiters at once. Writes
of other processes are announced in Redis. Without Redis they are found within a second by a
query for all users who are waited for.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self
from uuid import UUID

from db.database import Database
from db.errors import Unavailable
from db.tasks import tasks

if TYPE_CHECKING:
    from db.tasks.change_announcements import ChangeAnnouncements

# With the query itself, a change is found within a second.
INTERVAL = 0.8
# Where writes are announced: for those that were not, as those of an administrator.
LONGEST_INTERVAL = 30.0
SEVERAL = -1

FindChanged = Callable[[Mapping[UUID, int]], Awaitable[Mapping[UUID, int]]]


class Waiter:
    """A request that waits until the user's revision differs from the one it knows."""

    def __init__(self) -> None:
        self.closed = False
        self.known: int | None = None
        """The revision that it has read; None while it reads."""
        self._woken = asyncio.Event()

    def about_to_read(self) -> None:
        """Prepare for a read: every later change of the data wakes the waiter."""
        self._woken.clear()
        self.known = None

    def wake(self) -> None:
        """The data may have changed."""
        self._woken.set()

    def close(self) -> None:
        """End the wait: the server stops."""
        self.closed = True
        self.wake()

    def compare(self, revision: int) -> None:
        """Wake the waiter if the revision differs from the one it knows."""
        if self.known is not None and self.known != revision:
            self.wake()

    async def changed(self, known: int, deadline: float) -> bool:
        """Wait until the revision differs; false at the deadline, or when the server stops."""
        self.known = known
        if self.closed:
            return False
        try:
            async with asyncio.timeout_at(deadline):
                await self._woken.wait()
        except TimeoutError:
            return False
        return not self.closed


class ChangeNotifications:
    """The waiters of this process, by user; those of other processes hear of its writes.

    It is open inside `async with`.
    """

    def __init__(
        self, find_changed: FindChanged, announcements: "ChangeAnnouncements | None" = None
    ) -> None:
        """`find_changed` returns the users whose revision is not the known one."""
        self._find_changed = find_changed
        self._announcements = announcements
        self._waiters: dict[UUID, set[Waiter]] = {}
        self._checking: asyncio.Task[None] | None = None
        self._closed = False

    @classmethod
    def of(cls, database: Database, redis_url: str | None = None) -> Self:
        """The notifications of a database: each write through it wakes the waiters."""
        announcements = _announcements_in(redis_url) if redis_url else None
        notifications = cls(partial(tasks.changed_users, database), announcements)
        database.observe_writes(notifications.notify)
        if announcements:
            database.observe_writes(announcements.announce)
        return notifications

    async def __aenter__(self) -> Self:
        if self._announcements:
            self._announcements.open(self.notify)
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _: object, _traceback: TracebackType | None
    ) -> None:
        self.close()
        if self._announcements:
            await self._announcements.close()

    @property
    def waiting(self) -> int:
        """The number of waiters."""
        return sum(map(len, self._waiters.values()))

    @contextmanager
    def waiter(self, user_id: UUID) -> Iterator[Waiter]:
        """A waiter for the user's changes."""
        waiter = Waiter()
        waiter.closed = self._closed
        self._waiters.setdefault(user_id, set()).add(waiter)
        if self._checking is None and not self._closed:
            self._checking = asyncio.create_task(self._check_regularly())
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
        if self._checking is not None:
            self._checking.cancel()
            self._checking = None
        for waiters in self._waiters.values():
            for waiter in waiters:
                waiter.close()

    async def _check_regularly(self) -> None:
        """Look for changes that were not announced, while there are waiters."""
        now = asyncio.get_running_loop().time
        checked, were_complete = now(), False
        while self._waiters:
            await asyncio.sleep(INTERVAL)
            are_complete = self._announcements is not None and self._announcements.are_complete
            # Once more when they are complete again: some may have been missed just before.
            if not (are_complete and were_complete) or now() - checked >= LONGEST_INTERVAL:
                checked = now()
                await self._check()
            were_complete = are_complete
        # Critical section: a waiter that comes from here on starts another task.
        self._checking = None

    async def _check(self) -> None:
        """Wake the waiters of users whose revision is not the one they know."""
        known = {
            user_id: revision
            for user_id, waiters in self._waiters.items()
            if (revision := _known_to(waiters)) is not None
        }
        if not known:
            return
        try:
            changed = await self._find_changed(known)
        except Unavailable:
            return  # the database may be back before the deadline
        except Exception:
            for user_id in known:
                self.notify(user_id)  # the waiters read, too, and report the error
            return
        for user_id, revision in changed.items():
            for waiter in self._waiters.get(user_id, ()):
                waiter.compare(revision)


def _known_to(waiters: set[Waiter]) -> int | None:
    """The revision that the waiters know; None if all of them read."""
    known = {waiter.known for waiter in waiters} - {None}
    return SEVERAL if len(known) > 1 else next(iter(known), None)


def _announcements_in(redis_url: str) -> "ChangeAnnouncements":
    """The announcements in Redis; imported here to save memory if Redis is not used."""
    from db.tasks.change_announcements import ChangeAnnouncements  # noqa: PLC0415

    return ChangeAnnouncements(redis_url)
