"""Calls of one statement that wait to be sent as a group."""

from collections import deque
from collections.abc import Callable, Iterable
from operator import attrgetter

from db.postgres.group import Call
from db.postgres.owner_locks import MakeError, OwnerLocks

by_owner = attrgetter("owner")


class ReadCalls:
    """Waiting calls that read, in the order of their arrival."""

    def __init__(self) -> None:
        self._calls: deque[Call] = deque()

    @property
    def ready(self) -> int:
        """The number of calls that can be sent now."""
        return len(self._calls)

    @property
    def deadline(self) -> float:
        """The deadline of the oldest call."""
        return self._calls[0].deadline

    def add(self, call: Call) -> None:
        """Queue a call."""
        self._calls.append(call)

    def take(self, most: int) -> list[Call]:
        """Remove and return the next calls to send; cancelled calls are dropped."""
        calls = self._calls
        taken: list[Call] = []
        while calls and len(taken) < most:
            call = calls.popleft()
            if not call.result.done():
                taken.append(call)
        return taken

    def release(self, calls: list[Call]) -> None:
        """Do nothing: calls that read hold no lock."""

    def expire_ready(self, cutoff: float, make_error: MakeError) -> None:
        """Fail the calls whose deadline is before the cutoff."""
        self._calls = deque(_unexpired(self._calls, cutoff, make_error))


class WriteCalls:
    """Waiting calls that write. The calls of one owner share the owner's lock and a group."""

    def __init__(self, locks: OwnerLocks, on_ready: Callable[[], None]) -> None:
        self.ready = 0
        self._locks = locks
        self._on_ready = on_ready
        self._calls: dict[int, list[Call]] = {}
        """The waiting calls of each owner."""
        self._ready_owners: deque[int] = deque()
        """The owners whose lock these calls hold, in the order in which it was granted."""
        self._blocked_owners: set[int] = set()
        """The owners whose lock another write holds."""

    @property
    def deadline(self) -> float:
        """The deadline of the first call that is ready."""
        return self._calls[self._ready_owners[0]][0].deadline

    def add(self, call: Call) -> None:
        """Queue a call."""
        owner = call.owner
        calls = self._calls.get(owner)
        if calls is not None:
            calls.append(call)
            self.ready += owner not in self._blocked_owners
        elif self._locks.try_acquire(owner):
            self._calls[owner] = [call]
            self._ready_owners.append(owner)
            self.ready += 1
        else:
            self._wait(owner, [call])

    def _wait(self, owner: int, calls: list[Call]) -> None:
        self._calls[owner] = calls
        self._blocked_owners.add(owner)
        self._locks.wait(owner, self)

    def grant(self, owner: int) -> bool:
        """Take the owner's lock: the calls of the owner are now ready."""
        self._blocked_owners.remove(owner)
        self._ready_owners.append(owner)
        self.ready += len(self._calls[owner])
        self._on_ready()
        return True

    def take(self, most: int) -> list[Call]:
        """Remove and return the next calls to send, sorted by owner; cancelled calls are dropped.

        All groups lock the rows of owners in the same order, so that no two groups deadlock.
        """
        taken: list[Call] = []
        while self._ready_owners and len(taken) < most:
            owner = self._ready_owners.popleft()
            calls = self._calls.pop(owner)
            self.ready -= len(calls)
            room = most - len(taken)
            if len(calls) > room:
                self._wait(owner, calls[room:])
                del calls[room:]
            others = len(taken)
            for call in calls:
                if not call.result.done():
                    taken.append(call)
            if len(taken) == others:
                self._locks.release(owner)
        taken.sort(key=by_owner)
        return taken

    def release(self, calls: list[Call]) -> None:
        """Release the owners' locks that calls returned by `take` hold."""
        for owner in {call.owner for call in calls}:
            self._locks.release(owner)

    def expire_ready(self, cutoff: float, make_error: MakeError) -> None:
        """Fail the ready calls whose deadline is before the cutoff."""
        owners, self._ready_owners = self._ready_owners, deque()
        self.ready = 0
        for owner in owners:
            if self.expire(owner, cutoff, make_error):
                self._ready_owners.append(owner)
                self.ready += len(self._calls[owner])
            else:
                self._locks.release(owner)

    def expire(self, owner: int, cutoff: float, make_error: MakeError) -> bool:
        """Fail the owner's calls whose deadline is before the cutoff; false if no call is left."""
        calls = self._calls[owner] = _unexpired(self._calls[owner], cutoff, make_error)
        if not calls:
            del self._calls[owner]
            self._blocked_owners.discard(owner)
        return bool(calls)


def _unexpired(calls: Iterable[Call], cutoff: float, make_error: MakeError) -> list[Call]:
    """The calls that still wait, after those whose deadline is before the cutoff have failed."""
    for call in calls:
        if call.deadline < cutoff:
            call.fail(make_error())
    return [call for call in calls if not call.result.done()]
