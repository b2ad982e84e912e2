"""A user's lists: one function for each operation of the contract, named as the operation."""

from typing import Any
from uuid import UUID

from db.lists import lists
from handlers.context import Context
from handlers.etags import (
    Returned,
    expected_revisions,
    of_list,
    tagged,
    unless_current,
)
from handlers.links import path_of_list


async def list_lists(context: Context, user_id: UUID, if_none_match: str | None = None) -> Returned:
    """All lists of the user."""
    found, revision = await lists.every(context.database, user_id)
    return unless_current((found, 200, {"ETag": of_list(revision)}), if_none_match)


async def create_list(
    context: Context, user_id: UUID, body: dict[str, Any], if_none_match: str | None = None
) -> Returned:
    """Store a new list, and return it with its Location."""
    created = await lists.create(
        context.database,
        user_id,
        body,
        must_be_new=if_none_match is not None,
        max_lists=context.max_lists,
    )
    return tagged(created, 201, Location=path_of_list(created["user_id"], created["id"]))


async def get_list(
    context: Context, user_id: UUID, list_id: UUID, if_none_match: str | None = None
) -> Returned:
    """One list."""
    found = await lists.get(context.database, user_id, list_id)
    return unless_current(tagged(found), if_none_match)


async def patch_list(
    context: Context,
    user_id: UUID,
    list_id: UUID,
    body: dict[str, Any],
    if_match: str | None = None,
) -> Returned:
    """Merge the body into the list, if its version is one that If-Match lists."""
    revisions = expected_revisions(if_match)
    return tagged(await lists.patch(context.database, user_id, list_id, body, expected=revisions))


async def delete_list(
    context: Context, user_id: UUID, list_id: UUID, if_match: str | None = None
) -> None:
    """Move a list and its tasks to the trash, if its version is one that If-Match lists."""
    await lists.delete(context.database, user_id, list_id, expected=expected_revisions(if_match))


async def restore_list(
    context: Context, user_id: UUID, list_id: UUID, if_match: str | None = None
) -> Returned:
    """Move a list back from the trash, with the tasks that went with it."""
    revisions = expected_revisions(if_match)
    return tagged(await lists.restore(context.database, user_id, list_id, expected=revisions))
