"""What has changed, for clients that keep a copy of a user's tasks."""

from typing import Any
from uuid import UUID

from db.tasks import feed


async def list_changes(
    user_id: UUID, limit: int, wait: int, since: str | None = None
) -> dict[str, Any]:
    """A page of the user's changes, and how to go on from it."""
    page = await feed.page(user_id, since=since, limit=limit, wait=wait)
    return page._asdict()
