"""A user's tasks: one function an operation of the contract, named as it is."""

from typing import Any
from uuid import UUID

from db.errors import Contradiction, DomainError, IdTaken
from db.tasks import batches, tasks
from handlers.pages import links_by_cursor, links_by_offset
from handlers.versions import Returned, expected, known, of_list, of_task, tagged, unchanged


async def list_tasks(
    user_id: UUID,
    *,
    offset: int,
    limit: int,
    deleted: bool,
    completed: bool | None = None,
    cursor: str | None = None,
    if_none_match: str | None = None,
) -> Returned:
    """A page of the user's tasks, or of their trash, with links to its neighbours."""
    if if_none_match and cursor is None:
        tag = of_list(await tasks.revision(user_id))
        if known(tag, if_none_match):
            return unchanged(tag)
    page = await tasks.page(
        user_id, offset=offset, limit=limit, completed=completed, deleted=deleted, cursor=cursor
    )
    tag = of_list(page.revision)
    if known(tag, if_none_match):  # by its cursor, which could have been refused
        return unchanged(tag)
    filters = {"completed": completed, "deleted": deleted or None}
    if offset:
        links = links_by_offset(_path(user_id), offset, limit, bool(page.next), filters)
    else:
        links = links_by_cursor(_path(user_id), page.previous, page.next, limit, filters)
    return page.tasks, 200, {"Link": links, "ETag": tag}


async def create_task(
    user_id: UUID, body: dict[str, Any], if_none_match: str | None = None
) -> Returned:
    """Store a new task, and say where it is."""
    try:
        task = await tasks.create(user_id, **body, must_be_new=if_none_match is not None)
    except Contradiction as error:
        error.location = _path(user_id, body["id"])
        raise
    return tagged(task, 201, Location=_path(user_id, task["id"]))


async def batch_tasks(
    user_id: UUID, body: dict[str, Any], *, naming_versions: bool
) -> dict[str, Any]:
    """Do several operations in one step: all or nothing, or each on its own."""
    operations = body["operations"]
    try:
        outcomes = await batches.run(
            user_id, operations, atomic=body["atomic"], naming_versions=naming_versions
        )
    except IdTaken as error:
        if error.current:
            error.location = _path(user_id, error.current["id"])
        raise
    return {"results": list(map(_result, operations, outcomes))}


async def get_task(user_id: UUID, task_id: UUID, if_none_match: str | None = None) -> Returned:
    """One task."""
    task = await tasks.get(user_id, task_id)
    tag = of_task(task)
    return unchanged(tag) if known(tag, if_none_match) else tagged(task)


async def update_task(
    user_id: UUID, task_id: UUID, body: dict[str, Any], if_match: str | None = None
) -> Returned:
    """Change the fields that the body names, if the task is still as its owner last saw it."""
    return tagged(await tasks.update(user_id, task_id, body, expected=expected(if_match)))


async def patch_task(
    user_id: UUID, task_id: UUID, body: dict[str, Any], if_match: str | None = None
) -> Returned:
    """Merge the body into the task, if it is still as its owner last saw it."""
    return tagged(await tasks.update(user_id, task_id, body, expected=expected(if_match)))


async def delete_task(user_id: UUID, task_id: UUID, if_match: str | None = None) -> None:
    """Move a task to the trash, if it is still as its owner last saw it."""
    await tasks.delete(user_id, task_id, expected=expected(if_match))


async def toggle_task(user_id: UUID, task_id: UUID, if_match: str | None = None) -> Returned:
    """Complete a task, or open it again, if it is still as its owner last saw it."""
    return tagged(await tasks.toggle(user_id, task_id, expected=expected(if_match)))


async def restore_task(user_id: UUID, task_id: UUID, if_match: str | None = None) -> Returned:
    """Bring a task back from the trash, if it is still as its owner last saw it."""
    return tagged(await tasks.restore(user_id, task_id, expected=expected(if_match)))


def _result(operation: dict[str, Any], outcome: batches.Outcome) -> Any:
    """What the operation would be answered if it stood alone; a refusal speaks for itself."""
    if isinstance(outcome, DomainError):
        return outcome
    status = {"create": 201, "delete": 204}.get(operation["op"], 200)
    return {"status": status} if outcome is None else {"status": status, "task": outcome}


def _path(user_id: UUID, task_id: str | None = None) -> str:
    tasks_of_user = f"/api/{user_id}/tasks"
    return f"{tasks_of_user}/{task_id.lower()}" if task_id else tasks_of_user
