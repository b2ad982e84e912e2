"""The task API in Litestar and msgspec, with asyncpg and SQL by hand."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated
from uuid import UUID, uuid4

import asyncpg
from litestar import Litestar, get, patch, post
from litestar.datastructures import State
from litestar.exceptions import NotFoundException
from litestar.params import Parameter
from msgspec import Meta, Struct

COLUMNS = "id, user_id, title, description, completed, created_at, updated_at"
LIST = f"""
    SELECT {COLUMNS} FROM tasks
     WHERE user_id = $1 AND ($2::boolean IS NULL OR completed = $2)
     ORDER BY created_at DESC, id DESC LIMIT $3 OFFSET $4
"""
GET = f"SELECT {COLUMNS} FROM tasks WHERE user_id = $1 AND id = $2"
CREATE = f"""
    INSERT INTO tasks (id, user_id, title, description, completed)
    VALUES ($1, $2, $3, $4, $5) RETURNING {COLUMNS}
"""
TOGGLE = f"""
    UPDATE tasks SET completed = NOT completed, updated_at = now()
     WHERE user_id = $1 AND id = $2 RETURNING {COLUMNS}
"""


class TaskCreate(Struct, forbid_unknown_fields=True):
    title: Annotated[str, Meta(min_length=1, max_length=255)]
    description: Annotated[str, Meta(max_length=2000)] | None = None
    completed: bool = False


class Task(Struct):
    id: UUID
    user_id: UUID
    title: str
    description: str | None
    completed: bool
    created_at: datetime
    updated_at: datetime


@get("/api/{user_id:uuid}/tasks")
async def list_tasks(
    user_id: UUID,
    state: State,
    offset: Annotated[int, Parameter(ge=0)] = 0,
    limit: Annotated[int, Parameter(ge=1, le=100)] = 50,
    completed: bool | None = None,
) -> list[Task]:
    rows = await state.pool.fetch(LIST, user_id, completed, limit, offset)
    return [Task(*row) for row in rows]


@post("/api/{user_id:uuid}/tasks")
async def create_task(user_id: UUID, data: TaskCreate, state: State) -> Task:
    row = await state.pool.fetchrow(
        CREATE, uuid4(), user_id, data.title, data.description, data.completed
    )
    return Task(*row)


@get("/api/{user_id:uuid}/tasks/{task_id:uuid}")
async def get_task(user_id: UUID, task_id: UUID, state: State) -> Task:
    return only(await state.pool.fetchrow(GET, user_id, task_id))


@patch("/api/{user_id:uuid}/tasks/{task_id:uuid}/complete")
async def toggle_task(user_id: UUID, task_id: UUID, state: State) -> Task:
    return only(await state.pool.fetchrow(TOGGLE, user_id, task_id))


def only(row: asyncpg.Record | None) -> Task:
    if row is None:
        raise NotFoundException("This user has no such task")
    return Task(*row)


@asynccontextmanager
async def pool(app: Litestar) -> AsyncIterator[None]:
    # Where the database is, every driver reads in the environment: PGHOST, PGDATABASE and so on.
    async with asyncpg.create_pool(min_size=8, max_size=8) as opened:
        app.state.pool = opened
        yield


app = Litestar(
    [list_tasks, create_task, get_task, toggle_task], lifespan=[pool], openapi_config=None
)
