"""The tables, and the models of a task that are created, updated and read."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    ForeignKey,
    Index,
    LargeBinary,
    SmallInteger,
    Text,
    Uuid,
    text,
)
from sqlmodel import Field, SQLModel

from db.owner import OWNER

TITLE_LENGTH = 255
DESCRIPTION_LENGTH = 2000
KEY_LENGTH = 255

# PostgreSQL's own spelling, by which Alembic knows that nothing has changed.
MICROSECONDS = "((EXTRACT(epoch FROM clock_timestamp()) * (1000000)::numeric))::bigint"


def _moment(*, nullable: bool = False) -> Column[datetime]:
    default = None if nullable else text("now()")
    return Column(DateTime(timezone=True), nullable=nullable, server_default=default)


class User(SQLModel, table=True):
    """An owner of tasks; `revision` counts every write of their data, in the order of commits.

    It begins with the time, so that nobody who is erased and comes back counts the same again.
    `purged_revision` is the latest of the tombstones that are there no more.
    """

    __tablename__ = "users"

    id: UUID = Field(primary_key=True)
    revision: int = Field(
        sa_column=Column(BigInteger, nullable=False, server_default=text(MICROSECONDS))
    )
    purged_revision: int = Field(
        sa_column=Column(BigInteger, nullable=False, server_default=text("0"))
    )
    created_at: datetime = Field(sa_column=_moment())


class TaskCreate(SQLModel):
    """What a client says of a new task."""

    id: UUID = Field(default=None)
    title: str = Field(min_length=1, max_length=TITLE_LENGTH)
    description: str | None = Field(default=None, max_length=DESCRIPTION_LENGTH)
    completed: bool = False


class TaskUpdate(SQLModel):
    """What a client may change; a field that is absent stays as it is."""

    title: str = Field(default=None, min_length=1, max_length=TITLE_LENGTH)
    description: str | None = Field(default=None, max_length=DESCRIPTION_LENGTH)
    completed: bool = Field(default=None)


class TaskRead(SQLModel):
    """What a client is told of a task."""

    id: UUID
    user_id: UUID
    title: str = Field(min_length=1, max_length=TITLE_LENGTH)
    description: str | None = Field(max_length=DESCRIPTION_LENGTH)
    completed: bool
    created_at: datetime
    updated_at: datetime
    revision: int
    deleted_at: datetime = Field(default=None)


class Task(SQLModel, table=True):
    """A task, or with `deleted_at` the tombstone of one; every key begins with the owner."""

    __tablename__ = "tasks"
    __table_args__ = (
        Index("tasks_by_revision", "user_id", "revision", unique=True),
        Index(
            "tasks_newest_first",
            "user_id",
            text("created_at DESC"),
            text("id DESC"),
            postgresql_where=text("deleted_at IS NULL"),
        ),
        Index(
            "tasks_in_trash",
            "user_id",
            text("deleted_at DESC"),
            text("id DESC"),
            postgresql_where=text("deleted_at IS NOT NULL"),
        ),
        Index("tasks_to_purge", "deleted_at", postgresql_where=text("deleted_at IS NOT NULL")),
    )

    user_id: UUID = Field(
        sa_column=Column(Uuid, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    )
    id: UUID = Field(primary_key=True)
    title: str = Field(max_length=TITLE_LENGTH)
    description: str | None = Field(default=None, max_length=DESCRIPTION_LENGTH)
    completed: bool = Field(sa_column_kwargs={"server_default": text("false")})
    created_at: datetime = Field(sa_column=_moment())
    updated_at: datetime = Field(sa_column=_moment())
    deleted_at: datetime | None = Field(sa_column=_moment(nullable=True))
    revision: int = Field(sa_column=Column(BigInteger, nullable=False))


class Replay(SQLModel, table=True):
    """An answer that was given to a request with a key, to be given again until it expires.

    The fingerprint tells the request from others, `headers` are JSON: pairs of name and value.
    """

    __tablename__ = "replays"
    __table_args__ = (Index("replays_by_expiry", "user_id", "expires_at"),)

    user_id: UUID = Field(
        sa_column=Column(Uuid, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    )
    key: str = Field(primary_key=True, max_length=KEY_LENGTH)
    fingerprint: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    status: int = Field(sa_column=Column(SmallInteger, nullable=False))
    headers: str = Field(sa_column=Column(Text, nullable=False))
    body: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    expires_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))


class Secret(SQLModel, table=True):
    """What all servers of this database know, and nobody else."""

    __tablename__ = "secrets"

    purpose: str = Field(primary_key=True, max_length=20)
    value: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


OWNED_TABLES = [
    table.name
    for table in User.metadata.sorted_tables
    if OWNER in table.c or table.name == User.__tablename__
]
"""The tables whose rows belong to one user each."""
