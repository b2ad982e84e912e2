"""Whether the database responds: callers that ask at the same time share one query."""

import asyncio

import psycopg2

from db.errors import DatabaseAway
from db.postgres.pool import Pool

VALID_FOR = 0.1


class Ping:
    """Pings the database at most ten times a second, before all requests that wait."""

    def __init__(self, pool: Pool, tries: int) -> None:
        self._pool = pool
        self._tries = tries
        self._latest: asyncio.Task[None] | None = None

    async def ping(self) -> None:
        """Return if the database responds, or did a moment ago."""
        if self._latest is None:
            self._latest = asyncio.create_task(self._ping())
            self._latest.add_done_callback(self._expire)
        await asyncio.shield(self._latest)

    def _expire(self, ping: asyncio.Task[None]) -> None:
        """Forget the outcome soon; read its exception, if all callers were cancelled."""
        if not ping.cancelled():
            ping.exception()
        asyncio.get_running_loop().call_later(VALID_FOR, self._forget)

    def _forget(self) -> None:
        self._latest = None

    async def _ping(self) -> None:
        for _ in range(self._tries):
            connection = await self._pool.acquire(self._pool.deadline(), ahead=True)
            try:
                await connection.fetch("SELECT 1")
            except psycopg2.Error as error:
                if not connection.lost:
                    raise self._pool.translated(error, connection) from error
            else:
                return
            finally:
                self._pool.release(connection)
        raise DatabaseAway("Every connection to the database was lost.")
