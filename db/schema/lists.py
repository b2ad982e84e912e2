"""The lists of tasks: their table, and what clients write and read of them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, DateTime, ForeignKey, Index, Uuid, text
from sqlmodel import Field, SQLModel

from db.schema.fields import POSITION_LENGTH, text_of

LIST_TITLE_LENGTH = 255


def _moment() -> Column[datetime]:
    return Column(DateTime(timezone=True), nullable=False, server_default=text("now()"))


class ListFields(SQLModel):
    """What clients write of a list; the table and the statements follow from it by name."""

    title: str = Field(
        min_length=1, max_length=LIST_TITLE_LENGTH, sa_type=text_of(LIST_TITLE_LENGTH)
    )
    position: str = Field(
        min_length=2, max_length=POSITION_LENGTH, sa_type=text_of(POSITION_LENGTH)
    )


class ListCreate(ListFields):
    """What a client sends of a new list."""

    position: str = Field(default=None, min_length=2, max_length=POSITION_LENGTH)
    id: UUID = Field(default=None)


class ListPatch(SQLModel):
    """What a client may change; a field that is absent stays as it is."""

    title: str = Field(default=None, min_length=1, max_length=LIST_TITLE_LENGTH)
    position: str = Field(default=None, min_length=2, max_length=POSITION_LENGTH)


class _Key(SQLModel):
    id: UUID
    user_id: UUID


class _Stamps(SQLModel):
    created_at: datetime
    updated_at: datetime
    revision: int


# Pydantic takes the fields of the last base first.
class ListRead(_Stamps, ListFields, _Key):
    """What a client gets of a list."""


class DeletedListRead(ListRead):
    """What a client gets of a list in the trash."""

    deleted_at: datetime


class TaskList(ListFields, table=True):
    """A list, or with `deleted_at` the tombstone of one; every key begins with the owner."""

    __tablename__ = "lists"
    __table_args__: Any = (
        Index("lists_by_revision", "user_id", "revision"),
        Index("lists_to_purge", "deleted_at", postgresql_where=text("deleted_at IS NOT NULL")),
    )

    user_id: UUID = Field(
        sa_column=Column(Uuid, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    )
    id: UUID = Field(primary_key=True)
    created_at: datetime = Field(sa_column=_moment())
    updated_at: datetime = Field(sa_column=_moment())
    deleted_at: datetime | None = Field(sa_column=Column(DateTime(timezone=True)))
    revision: int = Field(sa_column=Column(BigInteger, nullable=False))
