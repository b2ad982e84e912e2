"""The change feed, for clients that keep a copy of a user's tasks."""

import math
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from random import randint
from typing import Any
from uuid import UUID

from db.errors import LastEventIdRefused, SinceRefused
from db.tasks import feed
from db.tasks.streams import Pages
from handlers.context import Context

# A client returns at a random time: a server that stops ends all streams at once.
RETRY_MILLISECONDS = (1000, 5000)
UNBUFFERED = {"X-Accel-Buffering": "no"}

Event = dict[str, Any]


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


async def stream_changes(
    context: Context,
    user_id: UUID,
    limit: int,
    since: str | None = None,
    last_event_id: str | None = None,
) -> tuple[AsyncGenerator[Event | None, None], int, dict[str, str]]:
    """Each page of the user's changes as an event, until the token expires."""
    refusal = SinceRefused if last_event_id is None else LastEventIdRefused
    token = since if last_event_id is None else last_event_id
    reader = await feed.reader_at(context.database, user_id, token, refusal)
    seconds = _until_expiry(math.inf, context.caller.expires_at)
    pages = context.streams.pages(context.database, user_id, reader, limit=limit, seconds=seconds)
    return _events(pages), 200, UNBUFFERED


async def _events(pages: Pages) -> AsyncGenerator[Event | None, None]:
    """The events of a stream; the first one says when to return after its end."""
    retry = {"retry": randint(*RETRY_MILLISECONDS)}  # noqa: S311
    async with aclosing(pages):
        async for page in pages:
            if page is None:
                yield None
            else:
                yield {"id": page.next, **retry, "data": page._asdict()}
                retry = {}


def _until_expiry(seconds: float, expires_at: datetime | None) -> float:
    """The seconds to wait, but not longer than until the token expires."""
    if expires_at is None:
        return seconds
    return max(0, min(seconds, (expires_at - datetime.now(UTC)).total_seconds()))
