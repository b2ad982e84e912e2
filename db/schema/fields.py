"""The fields of a task that clients write: each is declared here, and nowhere else in Python."""

from datetime import date, datetime
from enum import Enum, StrEnum, auto
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import DateTime, SmallInteger, String, TypeDecorator, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

TITLE_LENGTH = 255
DESCRIPTION_LENGTH = 2000
POSITION_LENGTH = 100
RECURRENCE_LENGTHS = (10, 500)
ZONE_LENGTH = 32


class Filter(Enum):
    """How a list can be filtered by a field."""

    EQUAL = auto()
    ANY_OF = auto()
    ALL_OF = auto()
    BEFORE = auto()
    SINCE = auto()
    EXISTS = auto()
    WORDS = auto()
    OVERDUE = auto()
    MISSING = auto()


class Serves(NamedTuple):
    """The list whose tasks an index has in order, without other tasks."""

    order: str
    deleted: bool
    filter: str | None = None


def traits(*, default: str | None = None, **info: Any) -> dict[str, Any]:
    """A field's default in the database, and how lists may use it: `filter`, `sort`.

    A field with `place` refers to another object: a write of it is more than one of this task. One
    with `ruled` is only written by the rules.
    """
    return {"info": info, "server_default": None if default is None else text(default)}


def text_of(length: int) -> Any:
    """Text that is sorted by code points, whatever the database's locale is."""
    return String(length, collation="C")


class Ranked(TypeDecorator[int]):
    """An enumeration, stored as the rank of its value, from 0.

    PostgreSQL's enum types are not used: their comparisons are not leak-proof, so with row-level
    security no index could serve them.
    """

    impl = SmallInteger
    cache_ok = True

    def __init__(self, *values: str) -> None:
        super().__init__()
        self.values = values

    def ranks(self, values: list[str]) -> list[int]:
        """The ranks of several values."""
        return [self.values.index(each) for each in values]


def ranked(values: type[StrEnum]) -> Any:
    """The type of a column that holds one of the values, which are in ascending order."""
    return Ranked(*values)


class Texts(TypeDecorator[list[str]]):
    """Several texts, stored as a JSON array: an array of SQL arrays needs all of one length."""

    impl = JSONB
    cache_ok = True


class Objects(TypeDecorator[list[dict[str, str]]]):
    """Several objects, stored as a JSON array, or null if there are none."""

    impl = JSONB
    cache_ok = True


class Priority(StrEnum):
    """How important a task is, in ascending order."""

    NONE = "none"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    URGENT = "urgent"


class RecursFrom(StrEnum):
    """From where the rule of a task that recurs starts."""

    DUE = "due"
    COMPLETION = "completion"


class TaskFields(SQLModel):
    """What clients write of a task.

    The table, the models, the statements, batches, the feed and lists follow from it by name.
    """

    title: str = Field(
        min_length=1,
        max_length=TITLE_LENGTH,
        sa_type=text_of(TITLE_LENGTH),
        sa_column_kwargs=traits(sort=True, filters={"q": Filter.WORDS}),
    )
    description: str | None = Field(default=None, max_length=DESCRIPTION_LENGTH)
    completed: bool = Field(
        default=False, sa_column_kwargs=traits(default="false", filter=Filter.EQUAL)
    )
    priority: Priority = Field(
        default=Priority.NONE,
        sa_type=ranked(Priority),
        sa_column_kwargs=traits(default="0", filter=Filter.ANY_OF, sort=True),
    )
    due_on: date | None = Field(default=None)
    due_at: datetime | None = Field(
        default=None, sa_type=DateTime(timezone=True), sa_column_kwargs=traits(replaces="due_on")
    )
    start_on: date | None = Field(default=None)
    tags: list[str] = Field(
        default=[], sa_type=Texts, sa_column_kwargs=traits(default="'[]'::jsonb")
    )
    list_id: UUID | None = Field(
        default=None,
        sa_column_kwargs=traits(filter=Filter.EQUAL, filters={"inbox": Filter.MISSING}, place=True),
    )
    parent_id: UUID | None = Field(
        default=None,
        sa_column_kwargs=traits(
            filter=Filter.EQUAL, filters={"top_level": Filter.MISSING}, place=True
        ),
    )
    position: str = Field(
        default=None,
        min_length=2,
        max_length=POSITION_LENGTH,
        sa_type=text_of(POSITION_LENGTH),
        sa_column_kwargs=traits(default="'a0'::character varying", sort=True),
    )
    recurrence: str | None = Field(
        default=None,
        min_length=RECURRENCE_LENGTHS[0],
        max_length=RECURRENCE_LENGTHS[1],
        sa_column_kwargs=traits(ruled=True),
    )
    recurs_from: RecursFrom = Field(
        default=RecursFrom.DUE,
        sa_type=ranked(RecursFrom),
        sa_column_kwargs=traits(default="0"),
    )
    time_zone: str | None = Field(default=None, max_length=ZONE_LENGTH)
    reminders: list[dict[str, str]] = Field(
        default=[],
        sa_type=Objects,
        sa_column_kwargs={**traits(ruled=True), "nullable": True},
    )


DEFAULTS = {
    name: field.default
    for name, field in TaskFields.model_fields.items()
    if not field.is_required()
}
"""What a new task has in the fields that its client leaves out; its position is computed."""

RARE_FIELDS = {
    **{
        name: default
        for name, default in DEFAULTS.items()
        if name not in ("description", "completed", "position")
    },
    "series_id": None,
}
"""The fields in which most tasks have the default, and what that is; see `rare_fields`."""
