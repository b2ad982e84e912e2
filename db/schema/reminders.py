"""When reminders fall due: a table of its own, because only tasks with reminders write it."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Column, DateTime, ForeignKey, PrimaryKeyConstraint, Uuid
from sqlmodel import Field, SQLModel


class TaskReminder(SQLModel, table=True):
    """A time at which an open task has a reminder; it has several at one time only once.

    A trigger of `tasks` keeps these rows, by `reminder_times`. The primary key has them in the
    order of time.
    """

    __tablename__ = "task_reminders"
    __table_args__ = (PrimaryKeyConstraint("user_id", "at", "task_id"),)

    user_id: UUID = Field(sa_column=Column(Uuid, ForeignKey("users.id", ondelete="CASCADE")))
    at: datetime = Field(sa_column=Column(DateTime(timezone=True)))
    task_id: UUID = Field(sa_column=Column(Uuid))
