"""Whether the database responds."""

import asyncio

from db.database import Session
from db.errors import DatabaseAway

TIMEOUT = 1.0


async def ping(database: Session) -> None:
    """Return if the database responds within a second."""
    try:
        async with asyncio.timeout(TIMEOUT):
            await database.ping()
    except TimeoutError:
        raise DatabaseAway(f"The database did not respond within {TIMEOUT:g} s.") from None
