"""Overviews of a user's tasks: their reminders, and how many there are by several fields."""

from datetime import UTC, datetime
from uuid import UUID

from db.tasks import overviews, reminder_pages, summaries
from handlers.context import Context
from handlers.etags import (
    Returned,
    of_content,
    of_list,
    unchanged,
    unless_current,
)
from handlers.links import links_by_cursor, links_by_name, path_of_reminders, path_of_tags


async def list_tags(
    context: Context,
    user_id: UUID,
    limit: int,
    after: str | None = None,
    if_none_match: str | None = None,
) -> Returned:
    """The tags of the user's tasks, and how many tasks have each."""
    if if_none_match and (response := await unchanged(context.database, user_id, if_none_match)):
        return response
    page = await overviews.list_tags(context.database, user_id, after=after, limit=limit)
    links = links_by_name(path_of_tags(user_id), page.next, limit)
    return page.tags, 200, {"Link": links, "ETag": of_list(page.revision)}


async def list_reminders(
    context: Context,
    user_id: UUID,
    *,
    limit: int,
    from_: str | None = None,
    until: str | None = None,
    cursor: str | None = None,
    if_none_match: str | None = None,
) -> Returned:
    """A page of the reminders of the user's open tasks that fall due in the period."""
    if if_none_match and cursor is None:
        response = await unchanged(context.database, user_id, if_none_match)
        if response is not None:
            return response
    period = reminder_pages.Period.of(from_, until)
    page = await reminder_pages.page(context.database, user_id, period, limit=limit, cursor=cursor)
    kept = {"from": from_, "until": until}
    links = links_by_cursor(path_of_reminders(user_id), None, page.next, limit, kept)
    returned = page.reminders, 200, {"Link": links, "ETag": of_list(page.revision)}
    return unless_current(returned, if_none_match)


async def get_summary(
    context: Context, user_id: UUID, zone: str, if_none_match: str | None = None
) -> Returned:
    """How many tasks are open, done and due."""
    now = datetime.now(UTC)
    summary = await summaries.summary(context.database, user_id, zone=zone, now=now)
    return unless_current((summary, 200, {"ETag": of_content(summary)}), if_none_match)
