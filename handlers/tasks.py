"""A user's tasks: one function an operation of the contract, named as it is."""

from typing import Any
from uuid import UUID

from db import tasks
from handlers.pages import links_by_cursor, links_by_offset

Task = dict[str, Any]
Headers = dict[str, str]


async def list_tasks(
    user_id: UUID,
    offset: int,
    limit: int,
    completed: bool | None = None,
    cursor: str | None = None,
) -> tuple[list[Task], int, Headers]:
    """A page of the user's tasks, with links to its neighbours."""
    filters = {"completed": completed}
    page = await tasks.page(user_id, offset=offset, limit=limit, cursor=cursor, **filters)
    if offset:
        links = links_by_offset(_path(user_id), offset, limit, bool(page.next), filters)
    else:
        links = links_by_cursor(_path(user_id), page.previous, page.next, limit, filters)
    return page.tasks, 200, {"Link": links}


async def create_task(user_id: UUID, body: dict[str, Any]) -> tuple[Task, int, Headers]:
    """Store a new task, and say where it is."""
    task = await tasks.create(user_id, **body)
    return task, 201, {"Location": f"{_path(user_id)}/{task['id']}"}


async def get_task(user_id: UUID, task_id: UUID) -> Task:
    """One task."""
    return await tasks.get(user_id, task_id)


async def update_task(user_id: UUID, task_id: UUID, body: dict[str, Any]) -> Task:
    """Change the fields that the body names."""
    return await tasks.update(user_id, task_id, body)


async def delete_task(user_id: UUID, task_id: UUID) -> None:
    """Delete a task."""
    await tasks.delete(user_id, task_id)


async def toggle_task(user_id: UUID, task_id: UUID) -> Task:
    """Complete a task, or open it again."""
    return await tasks.toggle(user_id, task_id)


def _path(user_id: UUID) -> str:
    return f"/api/{user_id}/tasks"
