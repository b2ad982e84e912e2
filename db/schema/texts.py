"""The words of tasks, for searches: a table of its own, because only searches write it."""

from typing import Any
from uuid import UUID

from sqlalchemy import Column, ForeignKeyConstraint, Index, Uuid
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlmodel import Field, SQLModel


class TaskText(SQLModel, table=True):
    """The words of a task's title and description, as they were at `users.indexed_revision`.

    The row of a task that was written later is old, or does not exist yet.
    """

    __tablename__ = "task_texts"
    __table_args__ = (
        ForeignKeyConstraint(
            ["user_id", "task_id"], ["tasks.user_id", "tasks.id"], ondelete="CASCADE"
        ),
        Index(
            "task_texts_by_lexeme",
            "lexemes",
            postgresql_using="gin",
            postgresql_with={"gin_pending_list_limit": 128},
        ),
    )

    user_id: UUID = Field(sa_column=Column(Uuid, primary_key=True))
    task_id: UUID = Field(sa_column=Column(Uuid, primary_key=True))
    lexemes: Any = Field(sa_column=Column(TSVECTOR, nullable=False))
