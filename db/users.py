"""The operations on users."""

from uuid import UUID

from sqlalchemy import delete

from db.database import Session
from db.postgres.statement import Access, Statement
from db.schema.clauses import this_owner, users

# Every table of users' data refers to the user's row, and its rows are deleted with it.
ERASE = Statement("erase_user", delete(users).where(this_owner).returning(users.c.id), Access.WRITE)

CATALOGUE = (ERASE,)
"""The statements that a connection prepares."""


async def erase(database: Session, user_id: UUID) -> None:
    """Delete the user and all rows that belong to the user."""
    await database.fetch(ERASE, user_id=user_id)
