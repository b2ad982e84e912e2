"""Users: what is known of the caller, and how a user is erased."""

from typing import Any
from uuid import UUID

from db import users
from handlers.context import Context


async def get_me(context: Context) -> dict[str, Any]:
    """The user whose token the request bears."""
    caller = context.caller
    return {
        "user_id": caller.user_id,
        "issuer": caller.issuer,
        "subject": caller.subject,
        "expires_at": caller.expires_at,
    }


async def erase_user(context: Context, user_id: UUID) -> None:
    """Erase a user, with all their data."""
    await users.erase(context.database, user_id)
