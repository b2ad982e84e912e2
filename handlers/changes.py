"""The change feed, for clients that keep a copy of a user's tasks."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from db.tasks import feed
from handlers.context import Context


async def list_changes(
    context: Context, user_id: UUID, limit: int, wait: int, since: str | None = None
) -> dict[str, Any]:
    """A page of the user's changes, and the token of the next."""
    page = await feed.page(
        context.database,
        context.notifications,
        user_id,
        since=since,
        limit=limit,
        wait=_until_expiry(wait, context.caller.expires_at) if wait else 0,
    )
    return page._asdict()


def _until_expiry(seconds: float, expires_at: datetime | None) -> float:
    """The seconds to wait, but not longer than until the token expires."""
    if expires_at is None:
        return seconds
    return max(0, min(seconds, (expires_at - datetime.now(UTC)).total_seconds()))
