"""One owner's writes take turns: each needs the lock of the owner's row until it is committed.

A write that was sent while another holds the lock would keep a connection waiting for nothing.
What waits for its turn holds none.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

Refusal = Callable[[], Exception]
"""Makes the error for one request that has waited too long."""


class Entrant(Protocol):
    """Writes that wait for their owner's turn."""

    def begin(self, owner: int) -> bool:
        """Use the turn, and end it later; false if there is no use for it any more."""

    def expire(self, owner: int, cutoff: float, refusal: Refusal) -> bool:
        """Refuse what was to begin before; false if nothing is left."""


class Turns:
    """Which owners' writes are under way in this process, and what waits for each to end."""

    def __init__(self) -> None:
        self._lines: dict[int, list[Entrant] | None] = {}

    def begin(self, owner: int) -> bool:
        """Begin the owner's turn; false if another has not ended."""
        if owner in self._lines:
            return False
        self._lines[owner] = None
        return True

    def wait(self, owner: int, entrant: Entrant) -> None:
        """Let the entrant begin after all of the same owner that came before it."""
        line = self._lines[owner]
        if line is None:
            self._lines[owner] = [entrant]
        else:
            line.append(entrant)

    def end(self, owner: int) -> None:
        """Let the owner's next entrant begin."""
        line = self._lines.pop(owner)
        while line:
            entrant = line.pop(0)
            self._lines[owner] = line
            if entrant.begin(owner):
                return
            del self._lines[owner]

    @asynccontextmanager
    async def hold(self, owner: int, deadline: float) -> AsyncIterator[None]:
        """Wait for the owner's turn, and end it at the end."""
        if not self.begin(owner):
            turn = Turn(deadline)
            self.wait(owner, turn)
            try:
                await turn.came
            except asyncio.CancelledError:
                # Critical section: the turn may have come in the same moment.
                if turn.has_begun:
                    self.end(owner)
                raise
        try:
            yield
        finally:
            self.end(owner)

    def expire(self, cutoff: float, refusal: Refusal) -> None:
        """Refuse what was to begin before."""
        for owner, line in self._lines.items():
            if line:
                line[:] = [each for each in line if each.expire(owner, cutoff, refusal)]


class Turn:
    """An entrant that is one statement or one transaction."""

    def __init__(self, deadline: float) -> None:
        self.came: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.has_begun = False
        self._deadline = deadline

    def begin(self, _: int) -> bool:
        """Let the one that waits for it go on, unless it has gone."""
        if not self.came.done():
            self.has_begun = True
            self.came.set_result(None)
        return self.has_begun

    def expire(self, _: int, cutoff: float, refusal: Refusal) -> bool:
        """Refuse it, if it was to begin before."""
        if not self.came.done() and self._deadline < cutoff:
            self.came.set_exception(refusal())
        return not self.came.done()
