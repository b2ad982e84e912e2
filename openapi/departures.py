"""Clients that go before they are answered: their work is cancelled, down to the database."""

import asyncio
from dataclasses import dataclass
from typing import Any

from starlette.types import Message, Receive

INTERVAL = 0.1


@dataclass(slots=True, eq=False)
class Visit:
    """One request on its way."""

    task: "asyncio.Task[Any] | None"
    _receive: Receive
    reading: bool = False
    seen: bool = False
    watcher: "asyncio.Task[None] | None" = None
    gone: bool = False

    async def receive(self) -> Message:
        """The next part of the request, for whoever reads its body."""
        # Critical section: a watcher that receives as well would take a part of the body.
        self.reading = True
        message = await self._receive()
        self.reading = message.get("more_body", False)
        return message

    async def watch(self) -> None:
        """Cancel the work when the client goes."""
        while (await self._receive())["type"] != "http.disconnect":
            pass  # what is left of a body that nobody reads
        self.gone = True
        if self.task is not None:
            self.task.cancel()


class Departures:
    """Watches the clients of slow requests.

    A watcher for each request would cost the fast ones more than their answer is worth, so one
    look at all of them every so often finds those that are slow.
    """

    def __init__(self) -> None:
        self._visits: set[Visit] = set()

    def enter(self, receive: Receive) -> Visit:
        """A request has come; its body, if any, is read through the visit."""
        visit = Visit(asyncio.current_task(), receive)
        self._visits.add(visit)
        return visit

    def leave(self, visit: Visit) -> None:
        """Its work is done."""
        self._visits.discard(visit)
        if visit.watcher is not None:
            visit.watcher.cancel()

    async def look(self) -> None:
        """Watch every client whose request is there for the second time, and has come whole."""
        while True:
            await asyncio.sleep(INTERVAL)
            for visit in self._visits:
                if visit.seen and not visit.reading and visit.watcher is None:
                    visit.watcher = asyncio.create_task(visit.watch())
                visit.seen = True
