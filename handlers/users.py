"""Users: who they are, and how they are forgotten."""

from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from db import users


class Caller(Protocol):
    """Who sends a request; of the sample user of open mode no more is known than the id."""

    @property
    def user_id(self) -> UUID:
        """Under which their data is."""

    @property
    def issuer(self) -> str | None:
        """Who vouches for them."""

    @property
    def subject(self) -> str | None:
        """What the issuer calls them."""

    @property
    def expires_at(self) -> datetime | None:
        """Until when."""


async def get_me(caller: Caller) -> dict[str, Any]:
    """Tell the callers who they are."""
    return {
        "user_id": caller.user_id,
        "issuer": caller.issuer,
        "subject": caller.subject,
        "expires_at": caller.expires_at,
    }


async def erase_user(user_id: UUID) -> None:
    """Forget a user, with all that is theirs."""
    await users.erase(user_id)
