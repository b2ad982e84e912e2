"""Room for few at a time: each reads or writes much, on a connection of its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from db.errors import Overloaded

TOO_MANY = "The server reads and writes as many files as it can at a time."


class Room:
    """So many exports and imports use the database at a time; another one waits a little."""

    def __init__(self, most: int, patience: float) -> None:
        self._places = asyncio.Semaphore(most)
        self._patience = patience

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """One of the places, while it is used; raises if none gets free."""
        try:
            async with asyncio.timeout(self._patience):
                await self._places.acquire()
        except TimeoutError:
            raise Overloaded(TOO_MANY) from None
        try:
            yield
        finally:
            self._places.release()
