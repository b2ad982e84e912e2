"""What can be done with users themselves."""

from uuid import UUID

from db.database import fetch
from db.tasks import statements


async def erase(user_id: UUID) -> None:
    """Remove the user, and with them every row that is theirs."""
    await fetch(statements.ERASE, user_id=user_id)
