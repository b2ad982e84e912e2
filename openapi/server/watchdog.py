"""Clients that go before they are answered, and answers that take too long.

Either way the work is cancelled, down to the database.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

from starlette.types import Message, Receive, Scope

from openapi.http.problems import RETRY_AFTER, TOO_LATE, Problem
from openapi.operations.bodies import announced

INTERVAL = 0.1
LONGEST = 60.0


@dataclass(slots=True, eq=False)
class Visit:
    """One request on its way."""

    task: "asyncio.Task[Any] | None"
    _scope: Scope
    _receive: Receive
    _has_ended: bool = False
    since: float | None = None
    watcher: "asyncio.Task[None] | None" = None
    gone: bool = False
    late: bool = False

    async def receive(self) -> Message:
        """The next part of the request, for whoever reads its body."""
        message = await self._receive()
        self._has_ended = not message.get("more_body", False)
        return message

    def has_come(self) -> bool:
        """Whether nothing is left of its body that a watcher, who receives as well, would take."""
        known_to_have = self.since is not None or self._has_ended
        return known_to_have or not announced(dict(self._scope["headers"]))

    def too_late(self) -> Problem:
        """What to tell the client whose answer was given up."""
        assert self.task is not None, "it is what was cancelled"
        self.task.uncancel()
        detail = "It was given up. A change may have been made or not: look."
        return Problem(TOO_LATE, detail, headers=[RETRY_AFTER])

    def grow(self, now: float, longest: float) -> None:
        """Another look at it, which has come whole: it is watched, and given up in the end."""
        if self.since is None:
            self.since = now
        elif self.watcher is None:
            self.watcher = asyncio.create_task(self.watch())
        if now - self.since > longest and self.task is not None and not self.late:
            self.late = True
            self.task.cancel()

    async def watch(self) -> None:
        """Cancel the work when the client goes."""
        while (await self._receive())["type"] != "http.disconnect":
            pass  # what is left of a body that nobody reads
        self.gone = True
        if self.task is not None:
            self.task.cancel()


class Departures:
    """Watches the clients of slow requests, and ends what takes longer than `longest` seconds.

    A watcher for each request would cost the fast ones more than their answer is worth, so one
    look at all of them every so often finds those that are slow.
    """

    def __init__(self, longest: float = LONGEST) -> None:
        self._longest = longest
        self._visits: set[Visit] = set()

    def enter(self, scope: Scope, receive: Receive) -> Visit:
        """A request has come; its body, if any, is read through the visit."""
        visit = Visit(asyncio.current_task(), scope, receive)
        self._visits.add(visit)
        return visit

    def leave(self, visit: Visit) -> None:
        """Its work is done."""
        self._visits.discard(visit)
        if visit.watcher is not None:
            visit.watcher.cancel()

    async def look(self) -> None:
        """Look at every request that has come whole, every so often."""
        while True:
            await asyncio.sleep(INTERVAL)
            now = asyncio.get_running_loop().time()
            for visit in self._visits:
                if visit.has_come():
                    visit.grow(now, self._longest)
