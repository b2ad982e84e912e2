"""The task API in FastAPI and SQLModel, after their tutorials: a session for each request.

The session is opened in the operation. As a dependency it outlives it, and keeps its connection
until a thread is free to write the answer: with more clients than threads, all wait for each other.
"""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import FastAPI, HTTPException, Query
from sqlalchemy import DateTime
from sqlmodel import Field, Session, SQLModel, col, create_engine, select

# Where the database is, every driver reads in the environment: PGHOST, PGDATABASE and so on.
engine = create_engine("postgresql+psycopg2://", pool_size=8, max_overflow=0)
app = FastAPI()


def now() -> datetime:
    return datetime.now(UTC)


class TaskCreate(SQLModel):
    title: str = Field(min_length=1, max_length=255)
    description: str | None = Field(default=None, max_length=2000)
    completed: bool = False


class TaskRead(TaskCreate):
    id: UUID
    user_id: UUID
    created_at: datetime
    updated_at: datetime


class Task(TaskCreate, table=True):
    __tablename__ = "tasks"

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    user_id: UUID
    created_at: datetime = Field(default_factory=now, sa_type=DateTime(timezone=True))
    updated_at: datetime = Field(default_factory=now, sa_type=DateTime(timezone=True))


@app.get("/api/{user_id}/tasks", response_model=list[TaskRead])
def list_tasks(
    user_id: UUID,
    offset: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    completed: bool | None = None,
) -> list[Task]:
    with Session(engine) as database:
        statement = select(Task).where(Task.user_id == user_id)
        if completed is not None:
            statement = statement.where(Task.completed == completed)
        newest_first = statement.order_by(col(Task.created_at).desc(), col(Task.id).desc())
        return list(database.exec(newest_first.offset(offset).limit(limit)).all())


@app.post("/api/{user_id}/tasks", response_model=TaskRead, status_code=201)
def create_task(user_id: UUID, body: TaskCreate) -> Task:
    with Session(engine) as database:
        task = Task(user_id=user_id, **body.model_dump())
        return stored(task, database)


@app.get("/api/{user_id}/tasks/{task_id}", response_model=TaskRead)
def get_task(user_id: UUID, task_id: UUID) -> Task:
    with Session(engine) as database:
        return found(user_id, task_id, database)


@app.patch("/api/{user_id}/tasks/{task_id}/complete", response_model=TaskRead)
def toggle_task(user_id: UUID, task_id: UUID) -> Task:
    with Session(engine) as database:
        task = found(user_id, task_id, database)
        task.completed = not task.completed
        task.updated_at = now()
        return stored(task, database)


def found(user_id: UUID, task_id: UUID, database: Session) -> Task:
    statement = select(Task).where(Task.user_id == user_id, Task.id == task_id)
    task = database.exec(statement).first()
    if task is None:
        raise HTTPException(404, "This user has no such task")
    return task


def stored(task: Task, database: Session) -> Task:
    database.add(task)
    database.commit()
    database.refresh(task)
    return task
