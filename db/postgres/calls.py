"""Calls of one statement that wait to be sent as a group."""

from collections import deque
from collections.abc import Callable, Iterable
from operator import attrgetter

from db.postgres.group import Call
from db.postgres.turns import Refusal, Turns

by_owner = attrgetter("owner")


class ReadCalls:
    """Calls that read, in the order in which they came."""

    def __init__(self) -> None:
        self._calls: deque[Call] = deque()

    @property
    def ready(self) -> int:
        """How many can be sent."""
        return len(self._calls)

    @property
    def deadline(self) -> float:
        """Until when the first of them may wait."""
        return self._calls[0].deadline

    def add(self, call: Call) -> None:
        """Queue a call."""
        self._calls.append(call)

    def take(self, most: int) -> list[Call]:
        """The next calls to send, less those whose callers have gone."""
        calls = self._calls
        taken: list[Call] = []
        while calls and len(taken) < most:
            call = calls.popleft()
            if not call.result.done():
                taken.append(call)
        return taken

    def end(self, calls: list[Call]) -> None:
        """What was taken has been executed, or never will be."""

    def expire_ready(self, cutoff: float, refusal: Refusal) -> None:
        """Refuse what was to be sent before."""
        self._calls = deque(_unexpired(self._calls, cutoff, refusal))


class WriteCalls:
    """Calls that write; those of an owner that have not been sent go together, in their turn."""

    def __init__(self, turns: Turns, on_ready: Callable[[], None]) -> None:
        self.ready = 0
        self._turns = turns
        self._on_ready = on_ready
        self._calls: dict[int, list[Call]] = {}
        """By owner."""
        self._owners: deque[int] = deque()
        """Whose turn has begun, in that order."""
        self._waiting: set[int] = set()
        """Whose turn has not."""

    @property
    def deadline(self) -> float:
        """Until when the first of those that are ready may wait."""
        return self._calls[self._owners[0]][0].deadline

    def add(self, call: Call) -> None:
        """Queue a call."""
        owner = call.owner
        calls = self._calls.get(owner)
        if calls is not None:
            calls.append(call)
            self.ready += owner not in self._waiting
        elif self._turns.begin(owner):
            self._calls[owner] = [call]
            self._owners.append(owner)
            self.ready += 1
        else:
            self._wait(owner, [call])

    def _wait(self, owner: int, calls: list[Call]) -> None:
        self._calls[owner] = calls
        self._waiting.add(owner)
        self._turns.wait(owner, self)

    def begin(self, owner: int) -> bool:
        """It is the owner's turn."""
        self._waiting.remove(owner)
        self._owners.append(owner)
        self.ready += len(self._calls[owner])
        self._on_ready()
        return True

    def take(self, most: int) -> list[Call]:
        """The next calls to send, less those whose callers have gone, in the order of locks."""
        taken: list[Call] = []
        while self._owners and len(taken) < most:
            owner = self._owners.popleft()
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
                self._turns.end(owner)
        taken.sort(key=by_owner)
        return taken

    def end(self, calls: list[Call]) -> None:
        """End the turns of the owners whose calls were taken."""
        for owner in {call.owner for call in calls}:
            self._turns.end(owner)

    def expire_ready(self, cutoff: float, refusal: Refusal) -> None:
        """Refuse what is ready and was to be sent before."""
        owners, self._owners = self._owners, deque()
        self.ready = 0
        for owner in owners:
            if self.expire(owner, cutoff, refusal):
                self._owners.append(owner)
                self.ready += len(self._calls[owner])
            else:
                self._turns.end(owner)

    def expire(self, owner: int, cutoff: float, refusal: Refusal) -> bool:
        """Refuse the owner's calls that were to be sent before; false if none is left."""
        calls = self._calls[owner] = _unexpired(self._calls[owner], cutoff, refusal)
        if not calls:
            del self._calls[owner]
            self._waiting.discard(owner)
        return bool(calls)


def _unexpired(calls: Iterable[Call], cutoff: float, refusal: Refusal) -> list[Call]:
    """The calls that still wait; those that were to be sent before are refused."""
    for call in calls:
        if call.deadline < cutoff:
            call.fail(refusal())
    return [call for call in calls if not call.result.done()]
