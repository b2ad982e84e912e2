"""Who waits for a user's next change, in this process.

No connection is held meanwhile. Writes of this process wake them at once; those of others are
found by asking, now and then, for the user's revision: once for all who wait for the same user.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

from db.errors import Unavailable

INTERVAL = 1.0

Ask = Callable[[UUID], Awaitable[int]]


class Waiter:
    """A request that waits until its user's revision is another than the one it knows."""

    def __init__(self) -> None:
        self._woken = asyncio.Event()
        self._known: int | None = None

    def about_to_look(self) -> None:
        """From here on, no change goes unnoticed."""
        self._woken.clear()
        self._known = None

    def wake(self) -> None:
        """Something may have changed."""
        self._woken.set()

    def compare(self, revision: int) -> None:
        """Wake if the revision is not the one that is known."""
        if self._known is not None and self._known != revision:
            self.wake()

    async def woken(self, known: int, deadline: float) -> bool:
        """Wait until the revision is another; false if it is not worth looking again."""
        self._known = known
        if _ended:
            return False
        try:
            async with asyncio.timeout_at(deadline):
                await self._woken.wait()
        except TimeoutError:
            return False
        return not _ended


_waiters: dict[UUID, set[Waiter]] = {}
_polls: dict[UUID, asyncio.Task[None]] = {}
_ended = False


@contextmanager
def waiting_for(user_id: UUID, ask: Ask) -> Iterator[Waiter]:
    """Be woken by the user's changes; `ask` finds the revision."""
    waiter = Waiter()
    _waiters.setdefault(user_id, set()).add(waiter)
    if user_id not in _polls and not _ended:
        _polls[user_id] = asyncio.create_task(_poll(user_id, ask))
    try:
        yield waiter
    finally:
        _waiters[user_id].discard(waiter)
        if not _waiters[user_id]:
            del _waiters[user_id]


def written(user_id: UUID) -> None:
    """Wake whoever waits for this user: the process has written their data."""
    for waiter in _waiters.get(user_id, ()):
        waiter.wake()


def begin() -> None:
    """The server starts."""
    global _ended
    _ended = False


def end() -> None:
    """The server stops: whoever waits is answered, and nobody waits any more."""
    global _ended
    _ended = True
    for poll in _polls.values():
        poll.cancel()
    _polls.clear()
    for user_id in _waiters:
        written(user_id)


async def _poll(user_id: UUID, ask: Ask) -> None:
    """Ask for the revision as long as anybody waits for another."""
    while True:
        await asyncio.sleep(INTERVAL)
        if user_id not in _waiters:
            # Critical section: whoever comes from here on starts another.
            del _polls[user_id]
            return
        try:
            revision = await ask(user_id)
        except Unavailable:
            continue  # it may be back before the time is up
        except Exception:
            written(user_id)  # they look for themselves, and are told
            continue
        for waiter in _waiters.get(user_id, ()):
            waiter.compare(revision)
