"""One lock for each owner, in this process: the writes of one owner run one after the other.

Every write needs PostgreSQL's lock on the owner's row until it commits. If a second write were sent
while the first one holds that lock, it would only block its connection. So it waits here, without
a connection.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

MakeError = Callable[[], Exception]
"""Makes the error of one request that has waited too long."""


class LockWaiter(Protocol):
    """Writes that wait for their owner's lock."""

    def grant(self, owner: int) -> bool:
        """Take the lock, and release it later; false if the waiter no longer needs it."""

    def expire(self, owner: int, cutoff: float, make_error: MakeError) -> bool:
        """Fail the writes whose deadline is before the cutoff; false if no write is left."""


class OwnerLocks:
    """The locks that writes of this process hold, and the waiters for each lock, in order."""

    def __init__(self) -> None:
        self._waiters: dict[int, list[LockWaiter] | None] = {}

    def try_acquire(self, owner: int) -> bool:
        """Take the owner's lock; false if another write holds it."""
        if owner in self._waiters:
            return False
        self._waiters[owner] = None
        return True

    def wait(self, owner: int, waiter: LockWaiter) -> None:
        """Add the waiter to the end of the queue for a lock that is held."""
        queue = self._waiters[owner]
        if queue is None:
            self._waiters[owner] = [waiter]
        else:
            queue.append(waiter)

    def release(self, owner: int) -> None:
        """Grant the owner's lock to the first waiter that still needs it."""
        queue = self._waiters.pop(owner)
        while queue:
            waiter = queue.pop(0)
            self._waiters[owner] = queue
            if waiter.grant(owner):
                return
            del self._waiters[owner]

    @asynccontextmanager
    async def hold(self, owner: int, deadline: float) -> AsyncIterator[None]:
        """Wait for the owner's lock, and hold it inside `async with`."""
        if not self.try_acquire(owner):
            request = LockRequest(deadline)
            self.wait(owner, request)
            try:
                await request.granted
            except asyncio.CancelledError:
                # Critical section: the lock may have been granted in the same moment.
                if request.holds_lock:
                    self.release(owner)
                raise
        try:
            yield
        finally:
            self.release(owner)

    def expire(self, cutoff: float, make_error: MakeError) -> None:
        """Fail the waiting writes whose deadline is before the cutoff."""
        for owner, queue in self._waiters.items():
            if queue:
                queue[:] = [each for each in queue if each.expire(owner, cutoff, make_error)]


class LockRequest:
    """One statement or one transaction that waits for its owner's lock."""

    def __init__(self, deadline: float) -> None:
        self.granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.holds_lock = False
        self._deadline = deadline

    def grant(self, _: int) -> bool:
        """Let the request continue, unless it was cancelled or has failed."""
        if not self.granted.done():
            self.holds_lock = True
            self.granted.set_result(None)
        return self.holds_lock

    def expire(self, _: int, cutoff: float, make_error: MakeError) -> bool:
        """Fail the request if its deadline is before the cutoff."""
        if not self.granted.done() and self._deadline < cutoff:
            self.granted.set_exception(make_error())
        return not self.granted.done()
