"""What has changed, for clients that keep a copy of a user's tasks."""

from typing import Any
from uuid import UUID

from db.tasks import feed
from handlers.context import Context


async def list_changes(
    context: Context, user_id: UUID, limit: int, wait: int, since: str | None = None
) -> dict[str, Any]:
    """A page of the user's changes, and the token of the next."""
    page = await feed.page(
        context.database, context.notifications, user_id, since=since, limit=limit, wait=wait
    )
    return page._asdict()
