"""Clauses that several statements use, for the tables of `db.schema.models`."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    Boolean,
    ColumnElement,
    Date,
    DateTime,
    Integer,
    Interval,
    String,
    Table,
    Text,
    Uuid,
    bindparam,
    cast,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine
from sqlmodel import AutoString

from db.owner import OWNER
from db.schema.fields import RARE_FIELDS, Objects, Ranked, TaskFields, Texts
from db.schema.lists import DeletedListRead, ListFields, ListRead, TaskList
from db.schema.models import (
    MICROSECONDS,
    REVISION_RANGE_BITS,
    DeletedTaskRead,
    Replay,
    Secret,
    Task,
    TaskRead,
    TaskTag,
    User,
)

ONE = literal_column("1", Integer)
THIRTEEN = literal_column("13", Integer)
ZERO = literal_column("'0'", Text)
UTC = literal_column("'UTC'", String)
DAY = literal_column("'YYYY-MM-DD'", String)
RFC_3339 = literal_column("""'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'""", String)
TRUE = literal_column("true", Boolean)
FALSE = literal_column("false", Boolean)
NO_OBJECTS = literal_column("'[]'::jsonb", JSONB)
CLAIM_MADE = literal_column("'true'", String)
MICROSECOND = literal_column("interval '1 microsecond'", Interval)

tasks: Table = Task.metadata.tables["tasks"]
lists: Table = TaskList.metadata.tables["lists"]
users: Table = User.metadata.tables["users"]
task_tags: Table = TaskTag.metadata.tables["task_tags"]
replays: Table = Replay.metadata.tables["replays"]
secrets: Table = Secret.metadata.tables["secrets"]


def param(name: str, column: ColumnElement[Any] | Any) -> ColumnElement[Any]:
    """A parameter of a statement, as the column stores it."""
    kind = column.type
    if isinstance(kind, Ranked):
        return as_stored(bindparam(name, type_=Text()), column)
    if isinstance(kind, Texts):
        return func.to_jsonb(texts_param(name), type_=kind)
    if isinstance(kind, String) and kind.collation:
        kind = String(kind.length)  # a parameter has no collation
    return bindparam(name, type_=kind)


def texts_param(name: str) -> ColumnElement[Any]:
    """A parameter that is a list of texts."""
    return bindparam(name, type_=ARRAY(Text))


def as_written(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The column as clients read it: days and moments as RFC 3339 text, ranks as what they mean."""
    if isinstance(column.type, DateTime):
        return func.to_char(func.timezone(UTC, column), RFC_3339).label(column.key)
    if isinstance(column.type, Date):
        return func.to_char(cast(column, DateTime), DAY).label(column.key)
    if isinstance(column.type, Ranked):
        return _values(column.type)[column + ONE].label(column.key)
    if isinstance(column.type, Objects):
        return func.coalesce(column, NO_OBJECTS).label(column.key)
    return column


def in_json(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The same in a JSON document, where PostgreSQL writes days so by itself."""
    return column if isinstance(column.type, Date) else as_written(column)


def as_stored(value: ColumnElement[Any], column: ColumnElement[Any]) -> ColumnElement[Any]:
    """A text from JSON, as the column stores it."""
    if isinstance(column.type, Ranked):
        return func.array_position(_values(column.type), value, type_=Integer()) - ONE
    return value if is_text(column) else cast(value, column.type)


def type_in_json(column: ColumnElement[Any]) -> TypeEngine[Any]:
    """The type of the column's values in a set of rows that is read from JSON."""
    return Text() if isinstance(column.type, Ranked) else column.type


def from_json(value: ColumnElement[Any], column: ColumnElement[Any]) -> ColumnElement[Any]:
    """A value from such a row, as the column stores it."""
    return as_stored(value, column) if isinstance(column.type, Ranked) else value


def _values(kind: Ranked) -> ColumnElement[Any]:
    values = ", ".join(f"'{each}'" for each in kind.values)
    return literal_column(f"(ARRAY[{values}])", ARRAY(Text))


def is_text(column: ColumnElement[Any]) -> bool:
    """Whether the column holds any text."""
    return isinstance(column.type, String | AutoString)


def is_read_as_sent(column: ColumnElement[Any]) -> bool:
    """Whether clients read the column's values exactly as the statement of a new task has them."""
    return is_text(column) or isinstance(
        column.type, Boolean | Ranked | Date | DateTime | Texts | Objects | Uuid
    )


ACTIVE_COLUMNS = [*TaskRead.model_fields]
TRASH_COLUMNS = [*DeletedTaskRead.model_fields]
WRITABLE_COLUMNS = [*TaskFields.model_fields]
WRITTEN_COLUMNS = [*WRITABLE_COLUMNS, "tag_keys"]
PLACE_COLUMNS = [name for name in WRITABLE_COLUMNS if "place" in tasks.c[name].info]
RULED_COLUMNS = [
    *PLACE_COLUMNS,
    *(name for name in WRITABLE_COLUMNS if "ruled" in tasks.c[name].info),
]
PLAIN_COLUMNS = [name for name in WRITTEN_COLUMNS if name not in RULED_COLUMNS]
COMPUTED_COLUMNS = ["due", "rare_fields", "revision_range", "completion_range"]
STORED_COLUMNS = [each.name for each in tasks.c if each.name not in (OWNER, *COMPUTED_COLUMNS)]
# The others of a new task are as the client sent them, or follow from these.
COLUMNS_OF_NEW = [
    *("id", "user_id", "updated_at", "revision"),
    *(name for name in WRITABLE_COLUMNS if not is_read_as_sent(tasks.c[name])),
]
# Those of a task with all rare fields as one.
BRIEF_COLUMNS = [*(name for name in ACTIVE_COLUMNS if name not in RARE_FIELDS), "rare_fields"]
TASK = [as_written(tasks.c[name]) for name in ACTIVE_COLUMNS]
LIST_COLUMNS = [*ListRead.model_fields]
DELETED_LIST_COLUMNS = [*DeletedListRead.model_fields]
WRITABLE_LIST_COLUMNS = [*ListFields.model_fields]


def document(names: list[str], table: Table = tasks) -> ColumnElement[Any]:
    """A row as one JSON column: for a single row the driver's cost is per column."""
    named: Iterator[tuple[ColumnElement[Any], ...]] = (
        (literal_column(f"'{name}'"), in_json(table.c[name])) for name in names
    )
    return func.json_build_object(*chain.from_iterable(named), type_=JSON).label("document")


def values_of(names: list[str]) -> ColumnElement[Any]:
    """The values of one task as a JSON array; a document with their names costs a fifth more."""
    values = [in_json(tasks.c[name]) for name in names]
    return func.json_build_array(*values, type_=JSON).label("document")


def range_of(revision: ColumnElement[int]) -> ColumnElement[int]:
    """The range of a revision: the column `revision_range` or `completion_range`."""
    return revision.op(">>")(literal_column(str(REVISION_RANGE_BITS), Integer))


def stamped(revision: ColumnElement[int], moment: ColumnElement[Any]) -> dict[str, Any]:
    """What every write of a task sets."""
    return {"updated_at": moment, "revision": revision, "revision_range": range_of(revision)}


def due_of(due_on: ColumnElement[Any], due_at: ColumnElement[Any]) -> ColumnElement[Any]:
    """When a task with these dates is due: the column `due`; a day begins at midnight in UTC."""
    begins = func.timezone(UTC, cast(due_on, DateTime), type_=DateTime(timezone=True))
    return func.coalesce(due_at, begins)


def position_of(revision: ColumnElement[int]) -> ColumnElement[str]:
    """The position of a new task with this revision, as `positions.of_revision` has it."""
    digits = func.lpad(func.to_hex(revision), THIRTEEN, ZERO, type_=Text())
    return literal_column("'m'", Text()) + digits


ONE_TASK = values_of(BRIEF_COLUMNS)

_owner_id, _task_id = param("user_id", users.c.id), param("task_id", tasks.c.id)
this_owner = users.c.id == _owner_id
this_user = tasks.c.user_id == _owner_id
these_lists = lists.c.user_id == _owner_id
# An aggregate is one value even if the condition on the owner were missing.
OWNER_REVISION = select(func.max(users.c.revision)).where(this_owner).scalar_subquery()
this_id = this_user & (tasks.c.id == _task_id)
this_task = this_id & tasks.c.deleted_at.is_(None)

# The clock may stand still or go back between two changes; the times of a user's changes must not.
# So `updated_at` and `revision` give the same order of a user's tasks.
LATER = func.greatest(func.clock_timestamp(), users.c.changed_at + MICROSECOND)
FIRST_REVISION = literal_column(MICROSECONDS, BigInteger)
NEXT = {"revision": users.c.revision + ONE, "changed_at": LATER}
