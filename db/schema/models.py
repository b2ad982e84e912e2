"""The tables, and the models of a task that are created, updated and read."""

from copy import copy
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import create_model
from pydantic_core import PydanticUndefined
from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Computed,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Text,
    Uuid,
    text,
)
from sqlmodel import Field, SQLModel

from db.schema.fields import Filter, Serves, TaskFields, Texts
from db.schema.indexes import TASK_INDEXES

KEY_LENGTH = 255
TAG_LENGTH = 50

# Spelled as PostgreSQL prints it; otherwise Alembic would find a difference.
MICROSECONDS = "((EXTRACT(epoch FROM clock_timestamp()) * (1000000)::numeric))::bigint"
REVISION_RANGE_BITS = 8
DUE_FILTERS = {
    "due_before": Filter.BEFORE,
    "due_after": Filter.SINCE,
    "has_due": Filter.EXISTS,
    "overdue": Filter.OVERDUE,
}
REPLAY_SIZE = "octet_length(body) + octet_length(headers) + octet_length((key)::text) + 100"


def _moment(*, nullable: bool = False, default: str = "now()", **info: Any) -> Column[datetime]:
    return Column(
        DateTime(timezone=True),
        nullable=nullable,
        info=info,
        server_default=None if nullable else text(default),
    )


class User(SQLModel, table=True):
    """An owner of tasks; `revision` counts every write of their data, in the order of commits.

    It begins with the time, so that a user who was erased and is created again never gets the same
    revisions. `changed_at` is the time of the latest write: each is later than the one before it.
    `purged_revision` is the latest of the tombstones that were purged. `task_count` is the number
    of rows in `tasks`, tombstones included; `replay_bytes` is the sum of `size` in `replays`.
    `digest` is explained in `db.schema.digests`.
    `indexed_revision`: what was written up to this revision is in `task_texts`.
    """

    __tablename__ = "users"

    id: UUID = Field(primary_key=True)
    revision: int = Field(
        sa_column=Column(BigInteger, nullable=False, server_default=text(MICROSECONDS))
    )
    changed_at: datetime = Field(sa_column=_moment(default="clock_timestamp()"))
    purged_revision: int = Field(
        sa_column=Column(BigInteger, nullable=False, server_default=text("0"))
    )
    task_count: int = Field(sa_column=Column(Integer, nullable=False, server_default=text("0")))
    replay_bytes: int = Field(
        sa_column=Column(BigInteger, nullable=False, server_default=text("0"))
    )
    digest: int = Field(sa_column=Column(BigInteger, nullable=False, server_default=text("0")))
    indexed_revision: int = Field(
        sa_column=Column(BigInteger, nullable=False, server_default=text("0"))
    )
    created_at: datetime = Field(sa_column=_moment())


class _Key(SQLModel):
    id: UUID
    user_id: UUID


class _Stamps(SQLModel):
    series_id: UUID | None
    completed_at: datetime | None
    created_at: datetime
    updated_at: datetime
    revision: int


class TaskCreate(TaskFields):
    """What a client sends of a new task."""

    id: UUID = Field(default=None)


def _fields(model: type[SQLModel], *, default: Any) -> dict[str, Any]:
    """The fields of a model with another default, as `create_model` takes them."""
    fields = {name: copy(field) for name, field in model.model_fields.items()}
    for field in fields.values():
        field.default = default
    return {name: (field.annotation, field) for name, field in fields.items()}


TaskRead: type[SQLModel] = create_model(
    "TaskRead",
    __base__=SQLModel,
    __doc__="What a client gets of a task.",
    **_fields(_Key, default=PydanticUndefined),
    **_fields(TaskFields, default=PydanticUndefined),
    **_fields(_Stamps, default=PydanticUndefined),
)

DeletedTaskRead: type[SQLModel] = create_model(
    "DeletedTaskRead",
    __base__=TaskRead,
    __doc__="What a client gets of a task in the trash.",
    deleted_at=(datetime, Field()),
)

TaskUpdate: type[SQLModel] = create_model(
    "TaskUpdate",
    __base__=SQLModel,
    __doc__="What a client may change; a field that is absent stays as it is.",
    **_fields(TaskFields, default=None),
)


class Task(TaskFields, table=True):
    """A task, or with `deleted_at` the tombstone of one; every key begins with the owner.

    An update that changes no indexed column is heap-only: PostgreSQL then writes to no index.
    `revision` changes with every write, and so has no index: `revision_range`, which seldom does,
    has one. `completion_revision` is that of the latest completion, or else of the creation: a
    reopening leaves it as it is. It has a range, too. `completed`, `completed_at` and `updated_at`
    are in no index or its condition, either.
    `due` is `clauses.due_of` of the dates; the ranges are `clauses.range_of` of the revisions. Each
    generated column would cost a toggle a twentieth more: PostgreSQL reads its expression again for
    each statement.
    `rare_fields` is `rare_fields.rare_of` of the fields that most tasks do not use.
    `skipped_due` is the local time at which the task is due, if the clocks skip it.
    `reminder_times` are the times of its reminders, in UTC; null if it has none.
    `deletion` is the revision of the deletion that took the task along. A task that is not in the
    trash has a list and a parent that are not there, either; a tombstone may name ones that were
    purged, so that there is no foreign key.
    """

    __tablename__ = "tasks"
    __table_args__ = TASK_INDEXES

    user_id: UUID = Field(
        sa_column=Column(Uuid, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    )
    id: UUID = Field(primary_key=True)
    due: datetime | None = Field(sa_column=_moment(nullable=True, filters=DUE_FILTERS))
    tag_keys: list[str] | None = Field(
        sa_column=Column(Texts, info={"filters": {"tag": Filter.ALL_OF}})
    )
    series_id: UUID | None = Field(sa_column=Column(Uuid, info={"filter": Filter.EQUAL}))
    rare_fields: dict[str, Any] | None = Field(sa_column=Column(JSON))
    skipped_due: str | None = Field()
    reminder_times: list[str] | None = Field(sa_column=Column(Texts))
    completed_at: datetime | None = Field(
        sa_column=_moment(nullable=True, sort=True, filters={"completed_since": Filter.SINCE})
    )
    completion_revision: int = Field(
        sa_column=Column(BigInteger, nullable=False, server_default=text("0"))
    )
    completion_range: int = Field(sa_column=Column(BigInteger))
    created_at: datetime = Field(sa_column=_moment(sort=True))
    updated_at: datetime = Field(
        sa_column=_moment(sort=True, filters={"updated_since": Filter.SINCE})
    )
    deleted_at: datetime | None = Field(sa_column=_moment(nullable=True))
    revision: int = Field(sa_column=Column(BigInteger, nullable=False))
    deletion: int | None = Field(sa_column=Column(BigInteger))
    revision_range: int = Field(sa_column=Column(BigInteger))


class TaskTag(SQLModel, table=True):
    """A tag of a task that is not in the trash.

    A trigger of `tasks` keeps these rows, by `tags` and `tag_keys`. `tag` is the key, `name` is
    what the client wrote. The primary key has the tasks of a tag in the order of creation.
    """

    __tablename__ = "task_tags"
    __table_args__ = (
        PrimaryKeyConstraint(
            *("user_id", "tag", "created_at", "task_id"),
            info={"serves": Serves("created_at", deleted=False, filter="tag")},
        ),
    )

    user_id: UUID = Field(sa_column=Column(Uuid, ForeignKey("users.id", ondelete="CASCADE")))
    tag: str = Field(sa_column=Column(Text(collation="C")))
    created_at: datetime = Field(sa_column=Column(DateTime(timezone=True)))
    task_id: UUID = Field(sa_column=Column(Uuid))
    name: str = Field(max_length=TAG_LENGTH)


class Replay(SQLModel, table=True):
    """A response to a request with a key, to be sent again until it expires.

    The fingerprint distinguishes the request from others; `headers` is JSON: pairs of name and
    value.
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
    size: int = Field(sa_column=Column(Integer, Computed(REPLAY_SIZE, persisted=True)))


class Secret(SQLModel, table=True):
    """A secret that all servers of this database share."""

    __tablename__ = "secrets"

    purpose: str = Field(primary_key=True, max_length=20)
    value: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
