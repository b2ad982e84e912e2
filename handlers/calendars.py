"""A user's calendar: its secret path, and what programs read there without a token."""

from typing import Any
from uuid import UUID

from db import calendars
from handlers.context import Context
from handlers.etags import (
    Returned,
    of_list,
    unchanged,
)
from handlers.icalendars import calendar_of
from handlers.links import path_of_calendar


async def create_calendar(context: Context, user_id: UUID) -> dict[str, Any]:
    """Make a secret path, and revoke the one before."""
    created, secret = await calendars.create(context.database, user_id)
    return {"path": path_of_calendar(secret), **created}


async def get_calendar(context: Context, user_id: UUID) -> dict[str, Any]:
    """The calendar, without its secret."""
    return await calendars.get(context.database, user_id)


async def delete_calendar(context: Context, user_id: UUID) -> None:
    """Revoke the secret path."""
    await calendars.delete_secret(context.database, user_id)


async def show_calendar(
    context: Context, file: str, as_: str, if_none_match: str | None = None
) -> Returned:
    """The dated tasks of the user who has made this path."""
    user_id = await calendars.owner_of(context.database, file.removesuffix(".ics"))
    if if_none_match and (response := await unchanged(context.database, user_id, if_none_match)):
        return response
    found = await calendars.dated_tasks(context.database, user_id)
    text = await calendar_of(found.tasks, as_events=as_ == "events")
    return text, 200, {"ETag": of_list(found.revision)}
