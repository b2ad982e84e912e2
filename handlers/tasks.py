"""A user's tasks: one function for each operation of the contract, named as the operation."""

import inspect
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any
from uuid import UUID

from db.errors import Refused
from db.tasks import batches, clearing, lists, moves, occurrences, tasks, writes
from db.tasks.list_queries import ListQuery
from db.tasks.list_shapes import FILTERS
from handlers.context import Context, RefusedOperation
from handlers.etags import (
    Returned,
    expected_revisions,
    is_current,
    not_modified,
    of_list,
    of_page,
    tagged,
    unchanged,
    unless_current,
)
from handlers.links import (
    links_by_cursor,
    links_by_offset,
    path_of_task,
    path_of_tasks,
    path_of_trash,
)

Handler = Callable[..., Coroutine[Any, Any, Returned]]


async def _list(
    deleted: bool,
    context: Context,
    user_id: UUID,
    *,
    offset: int,
    limit: int,
    zone: str,
    sort: str | None = None,
    cursor: str | None = None,
    if_none_match: str | None = None,
    **filters: Any,
) -> Returned:
    """A page of the user's tasks, or of their trash, with links to its neighbours."""
    query = ListQuery.of(filters, sort, deleted=deleted, zone=zone)
    changes_with_time = query.zone is not None
    if (
        if_none_match
        and cursor is None
        and not changes_with_time
        and (response := await unchanged(context.database, user_id, if_none_match))
    ):
        return response
    page = await lists.page(
        context.database, user_id, query, limit=limit, offset=offset, cursor=cursor
    )
    etag = of_page(page.revision, page.tasks) if changes_with_time else of_list(page.revision)
    if is_current(etag, if_none_match):  # after the read, because the cursor may be invalid
        return not_modified(etag)
    kept = {"sort": sort, **filters, "zone": query.zone}
    path = path_of_trash(user_id) if deleted else path_of_tasks(user_id)
    if offset:
        links = links_by_offset(path, offset, limit, bool(page.next), kept)
    else:
        links = links_by_cursor(path, page.previous, page.next, limit, kept)
    return page.tasks, 200, {"Link": links, "ETag": etag}


def _handler_of_list(*, deleted: bool) -> Handler:
    """`_list` with the filters of lists in its signature, by their names."""
    _, *named, _ = inspect.signature(_list).parameters.values()
    filters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in FILTERS
    ]
    handler = partial(_list, deleted)
    vars(handler)["__signature__"] = inspect.Signature([*named, *filters])
    return handler


list_tasks, list_trash = _handler_of_list(deleted=False), _handler_of_list(deleted=True)


async def create_task(
    context: Context, user_id: UUID, body: dict[str, Any], if_none_match: str | None = None
) -> Returned:
    """Store a new task, and return it with its Location."""
    task = await writes.create(
        context.database,
        user_id,
        body,
        must_be_new=if_none_match is not None,
        max_tasks=context.max_tasks,
    )
    return tagged(task, 201, Location=path_of_task(task["user_id"], task["id"]))


async def clear_completed(context: Context, user_id: UUID, completed: bool) -> dict[str, int]:
    """Move all completed tasks to the trash; the contract admits no other value of `completed`."""
    return {"deleted": await clearing.clear_completed(context.database, user_id)}


async def batch_tasks(context: Context, user_id: UUID, body: dict[str, Any]) -> dict[str, Any]:
    """Do several operations in one step: all or nothing, or each on its own."""
    operations = body["operations"]
    outcomes = await batches.run(
        context.database,
        user_id,
        operations,
        atomic=body.get("atomic", True),
        requires_if_match=context.requires_if_match,
        max_tasks=context.max_tasks,
    )
    return {
        "results": [
            _result(operation, outcome, context.request_id)
            for operation, outcome in zip(operations, outcomes, strict=True)
        ]
    }


async def get_task(
    context: Context, user_id: UUID, task_id: UUID, if_none_match: str | None = None
) -> Returned:
    """One task."""
    task = await tasks.get(context.database, user_id, task_id)
    return unless_current(tagged(task), if_none_match)


async def update_task(
    context: Context,
    user_id: UUID,
    task_id: UUID,
    body: dict[str, Any],
    if_match: str | None = None,
) -> Returned:
    """Change the fields that the body names, if the task's version is one that If-Match lists."""
    revisions = expected_revisions(if_match)
    task = await writes.update(
        context.database, user_id, task_id, body, expected=revisions, max_tasks=context.max_tasks
    )
    return tagged(task)


async def patch_task(
    context: Context,
    user_id: UUID,
    task_id: UUID,
    body: dict[str, Any],
    if_match: str | None = None,
) -> Returned:
    """Merge the body into the task: the same as to update it."""
    return await update_task(context, user_id, task_id, body, if_match)


async def delete_task(
    context: Context, user_id: UUID, task_id: UUID, if_match: str | None = None
) -> None:
    """Move a task to the trash, if its version is one that If-Match lists."""
    await writes.delete(context.database, user_id, task_id, expected=expected_revisions(if_match))


async def toggle_task(
    context: Context, user_id: UUID, task_id: UUID, if_match: str | None = None
) -> Returned:
    """Complete a task, or reopen it, if its version is one that If-Match lists."""
    revisions = expected_revisions(if_match)
    task = await writes.toggle(
        context.database, user_id, task_id, expected=revisions, max_tasks=context.max_tasks
    )
    return tagged(task)


async def skip_task(
    context: Context, user_id: UUID, task_id: UUID, if_match: str | None = None
) -> Returned:
    """Move a task that recurs on to its next due, if its version is one that If-Match lists."""
    revisions = expected_revisions(if_match)
    return tagged(await writes.skip(context.database, user_id, task_id, expected=revisions))


async def list_occurrences(
    context: Context, user_id: UUID, task_id: UUID, limit: int
) -> list[dict[str, Any]]:
    """When a task that recurs is due next."""
    return await occurrences.upcoming(context.database, user_id, task_id, limit)


async def move_task(
    context: Context,
    user_id: UUID,
    task_id: UUID,
    body: dict[str, Any],
    if_match: str | None = None,
) -> Returned:
    """Move a task before or after another one, if its version is one that If-Match lists."""
    revisions = expected_revisions(if_match)
    return tagged(await moves.move(context.database, user_id, task_id, body, expected=revisions))


async def restore_task(
    context: Context, user_id: UUID, task_id: UUID, if_match: str | None = None
) -> Returned:
    """Move a task back from the trash, if its version is one that If-Match lists."""
    revisions = expected_revisions(if_match)
    return tagged(await writes.restore(context.database, user_id, task_id, expected=revisions))


def _result(operation: dict[str, Any], outcome: batches.Outcome, request_id: str) -> Any:
    """What the response to the operation would be if it were a request of its own."""
    if isinstance(outcome, Refused):
        return RefusedOperation(outcome, request_id)
    status = {"create": 201, "delete": 204}.get(operation["op"], 200)
    return {"status": status} if outcome.task is None else {"status": status, "task": outcome.task}
