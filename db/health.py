"""Whether the database answers."""

import asyncio

from db.database import fetch
from db.errors import DatabaseAway
from db.tasks import statements

PATIENCE = 1.0


async def ping() -> None:
    """Return if the database answers within a second."""
    try:
        async with asyncio.timeout(PATIENCE):
            await fetch(statements.PING)
    except TimeoutError:
        raise DatabaseAway(f"The database did not answer within {PATIENCE:g} s.") from None
