"""Whether the database responds."""

import asyncio

from sqlalchemy import select

from db.database import Session
from db.errors import DatabaseAway
from db.postgres.statement import Access, Statement
from db.schema.clauses import ONE

TIMEOUT = 1.0

PING = Statement("ping", select(ONE.label("pong")), Access.READ)

CATALOGUE = (PING,)
"""The statements that a connection prepares."""


async def ping(database: Session) -> None:
    """Return if the database responds within a second."""
    try:
        async with asyncio.timeout(TIMEOUT):
            await database.fetch(PING)
    except TimeoutError:
        raise DatabaseAway(f"The database did not respond within {TIMEOUT:g} s.") from None
