"""Users: the caller, and the erasure of a user."""

from typing import Any
from uuid import UUID

from db import users
from handlers.context import Context


async def get_me(context: Context) -> dict[str, Any]:
    """The caller, as the token names them."""
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
