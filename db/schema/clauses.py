"""Clauses that several statements use, for the tables of `db.schema.models`."""

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from sqlalchemy import (
    ARRAY,
    CTE,
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
    any_,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    null,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.dml import ReturningUpdate
from sqlalchemy.types import TypeEngine
from sqlmodel import AutoString

from db.owner import OWNER
from db.schema.digests import NOTHING, changed_by, hash_of
from db.schema.fields import Objects, Ranked, TaskFields, Texts
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


def _in_json(column: ColumnElement[Any]) -> ColumnElement[Any]:
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
COMPUTED_COLUMNS = ["due", "revision_range", "completion_range"]
STORED_COLUMNS = [each.name for each in tasks.c if each.name not in (OWNER, *COMPUTED_COLUMNS)]
# The others of a new task are as the client sent them, or follow from these.
COLUMNS_OF_NEW = [
    *("id", "user_id", "updated_at", "revision"),
    *(name for name in WRITABLE_COLUMNS if not is_read_as_sent(tasks.c[name])),
]
TASK = [as_written(tasks.c[name]) for name in ACTIVE_COLUMNS]
LIST_COLUMNS = [*ListRead.model_fields]
DELETED_LIST_COLUMNS = [*DeletedListRead.model_fields]
WRITABLE_LIST_COLUMNS = [*ListFields.model_fields]


def document(names: list[str], table: Table = tasks) -> ColumnElement[Any]:
    """A row as one JSON column: for a single row the driver's cost is per column."""
    named: Iterator[tuple[ColumnElement[Any], ...]] = (
        (literal_column(f"'{name}'"), _in_json(table.c[name])) for name in names
    )
    return func.json_build_object(*chain.from_iterable(named), type_=JSON).label("document")


def values_of(names: list[str]) -> ColumnElement[Any]:
    """The values of one task as a JSON array; a document with their names costs a fifth more."""
    values = [_in_json(tasks.c[name]) for name in names]
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


ONE_TASK = values_of(ACTIVE_COLUMNS)

_owner_id, _task_id = param("user_id", users.c.id), param("task_id", tasks.c.id)
this_owner = users.c.id == _owner_id
this_user = tasks.c.user_id == _owner_id
these_lists = lists.c.user_id == _owner_id
# An aggregate is one value even if the condition on the owner were missing.
OWNER_REVISION = select(func.max(users.c.revision)).where(this_owner).scalar_subquery()
this_id = this_user & (tasks.c.id == _task_id)
this_task = this_id & tasks.c.deleted_at.is_(None)

_expected = bindparam("expected", type_=ARRAY(BigInteger))
as_expected = _expected.is_(None) | (tasks.c.revision == any_(_expected))

# The clock may stand still or go back between two changes; the times of a user's changes must not.
# So `updated_at` and `revision` give the same order of a user's tasks.
LATER = func.greatest(func.clock_timestamp(), users.c.changed_at + MICROSECOND)
MOMENT = literal_column("owner.changed_at", DateTime(timezone=True))
REVISION = literal_column("owner.revision", BigInteger)
FIRST_REVISION = literal_column(MICROSECONDS, BigInteger)
NEXT = {"revision": users.c.revision + ONE, "changed_at": LATER}


def changed(
    values: Mapping[str, Any],
    *,
    adds: bool = True,
    provided: ColumnElement[bool] = TRUE,
) -> ReturningUpdate[Any]:
    """Change this task, if it is there as expected, and stamp it with the owner's next revision.

    With `adds` it stays an active task, and is not changed if it recurs or has reminders: the rules
    know what else changes then. `provided` is a condition that is checked under the lock of the
    owner's row.
    """
    condition = this_task & as_expected
    if adds:
        condition &= tasks.c.recurrence.is_(None) & tasks.c.reminders.is_(None)
    owner = _next_of_owner(condition & provided, adds=adds)
    stamps = stamped(owner.c.revision, MOMENT)
    return update(tasks).where(condition).values({**values, **stamps}).returning(ONE_TASK)


def _next_of_owner(condition: ColumnElement[bool], *, adds: bool) -> CTE:
    """Take the owner's next revision and moment, under the lock of the owner's row.

    The lock puts a user's writes in order, so that revisions commit in the order they count. What
    was committed while this waited for the lock is not in the statement's snapshot: if the owner's
    revision is not the one of the snapshot, a function reads the task as it is now.
    """
    in_snapshot = users.alias("in_snapshot")
    # LIMIT: it is one value even if the condition on the owner were missing.
    latest = select(in_snapshot.c.revision).where(in_snapshot.c.id == _owner_id).limit(ONE)
    stored = func.replaced_hash(
        *(tasks.c.user_id, tasks.c.id, FALSE, _expected, NEXT["revision"] if adds else null()),
        type_=BigInteger(),
    )
    removed = case(
        (users.c.revision == latest.scalar_subquery(), hash_of(tasks.c.revision)),
        else_=stored,
    )
    added = hash_of(NEXT["revision"]) if adds else NOTHING
    return (
        update(users)
        .where(this_owner)
        .where(condition)
        .values({**NEXT, "digest": changed_by(added, removed)})
        .returning(users.c.revision, users.c.changed_at)
        .cte("owner")
    )


def completion(completed: ColumnElement[bool]) -> ColumnElement[Any]:
    """When this task was completed, if a change leaves it `completed` or not."""
    stays = completed == tasks.c.completed
    return case((stays, tasks.c.completed_at), (completed, MOMENT))


def latest_completion(completes: ColumnElement[bool]) -> dict[str, Any]:
    """The revision of this task's latest completion, which may be this change."""
    return {
        "completion_revision": case((completes, REVISION), else_=tasks.c.completion_revision),
        "completion_range": case((completes, range_of(REVISION)), else_=tasks.c.completion_range),
    }


_changes = bindparam("changes", type_=JSONB)


def merged(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The column's value in `changes`, which may be null; without one, the stored value."""
    key = literal_column(f"'{column.key}'", String)
    text = _changes.op("->>", return_type=Text())(key)
    is_named = _changes.op("?", return_type=Boolean())(key)
    return case((is_named, as_stored(text, column)), else_=column)
