"""Parts that statements have in common, written over the tables of `db.schema.models`."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

from sqlalchemy import (
    ARRAY,
    CTE,
    JSON,
    BigInteger,
    Boolean,
    ColumnElement,
    DateTime,
    Integer,
    Interval,
    Select,
    String,
    Table,
    any_,
    bindparam,
    func,
    literal_column,
    select,
    true,
    tuple_,
    update,
)

from db.postgres.statement import Access, Statement
from db.schema.models import Replay, Secret, Task, TaskRead, User

ONE = literal_column("1", Integer)
UTC = literal_column("'UTC'", String)
RFC_3339 = literal_column("""'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'""", String)
TRUE = literal_column("true", Boolean)
CLAIM_MADE = literal_column("'true'", String)
MICROSECOND = literal_column("interval '1 microsecond'", Interval)

tasks: Table = Task.metadata.tables["tasks"]
users: Table = User.metadata.tables["users"]
replays: Table = Replay.metadata.tables["replays"]
secrets: Table = Secret.metadata.tables["secrets"]


def param(name: str, column: ColumnElement[Any] | Any) -> ColumnElement[Any]:
    """A value that comes with the request, of the type of that column."""
    return bindparam(name, type_=column.type)


def as_written(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The column as clients read it: moments as RFC 3339 text in UTC, the rest as it is."""
    if isinstance(column.type, DateTime):
        return func.to_char(func.timezone(UTC, column), RFC_3339).label(column.key)
    return column


IN_TRASH = [*TaskRead.model_fields]
AT_LARGE = [name for name in IN_TRASH if name != "deleted_at"]
TASK = [as_written(tasks.c[name]) for name in AT_LARGE]


def document(names: list[str]) -> ColumnElement[Any]:
    """A task in one column: where there is but one row, the driver's work is with the columns."""
    named: Iterator[tuple[ColumnElement[Any], ...]] = (
        (literal_column(f"'{name}'"), as_written(tasks.c[name])) for name in names
    )
    return func.json_build_object(*chain.from_iterable(named), type_=JSON).label("task")


this_owner = users.c.id == param("user_id", users.c.id)
this_user = tasks.c.user_id == param("user_id", tasks.c.user_id)
this_id = this_user & (tasks.c.id == param("task_id", tasks.c.id))
this_task = this_id & tasks.c.deleted_at.is_(None)
this_tombstone = this_id & tasks.c.deleted_at.is_not(None)

_expected = bindparam("expected", type_=ARRAY(BigInteger))
as_expected = _expected.is_(None) | (tasks.c.revision == any_(_expected))

# The clock may stand still or step back between two changes; `updated_at` may not.
LATER = func.greatest(func.clock_timestamp(), tasks.c.updated_at + MICROSECOND)


def owner_of(condition: ColumnElement[bool]) -> CTE:
    """Take the next revision of the owner's data, under the lock of the owner's row.

    The lock puts a user's writes in order, so that revisions commit in the order they count.
    """
    return (
        update(users)
        .where(this_owner)
        .where(select(ONE).select_from(tasks).where(condition).exists())
        .values(revision=users.c.revision + ONE)
        .returning(users.c.revision)
        .cte("owner")
    )


def changed(which: ColumnElement[bool] = this_task, **values: Any) -> Any:
    """Change this task, if it is there as expected, and stamp it with the owner's next revision."""
    condition = which & as_expected
    owner = owner_of(condition)
    return (
        update(tasks).where(condition).values(**values, updated_at=LATER, revision=owner.c.revision)
    )


class Listing:
    """The pages of a list, newest first: from the top, or beside the place of a cursor."""

    def __init__(
        self, name: str, names: list[str], condition: ColumnElement[bool], newest_by: str
    ) -> None:
        self.newest_by = newest_by
        self._names = [name for name in names if name != "user_id"]
        self._condition = this_user & condition & (_completed.is_(None) | _as_completed)
        place = tuple_(tasks.c[newest_by], tasks.c.id)
        after = self._page(place < _cursor_place)
        before = self._page(place > _cursor_place, backwards=True)
        self.first = _read_many(name, self._page(true()))
        # A statement of its own, so that no first page waits in a group for rows that are skipped.
        self.by_offset = _read_many(f"{name}_by_offset", self._page(true(), skips=True))
        self.after = _read_many(f"{name}_after", after)
        self.before = _read_many(f"{name}_before", before)
        self.statements = (self.first, self.by_offset, self.after, self.before)

    def _page(
        self, beside: ColumnElement[bool], *, skips: bool = False, backwards: bool = False
    ) -> Select[Any]:
        """A document: the owner's revision, and in the same snapshot a page of their tasks.

        Their ids come together, their titles, and so on: names would be as long as what they name.
        """
        found = (
            select(*(tasks.c[name] for name in self._names))
            .where(self._condition)
            .where(beside)
            .order_by(*self._order(backwards))
            .limit(bindparam("limit", type_=Integer))
        )
        if skips:
            found = found.offset(bindparam("offset", type_=Integer))
        page = found.subquery("page")
        # They keep the page's order: it alone is read, so that nothing could change it.
        together = (func.array_agg(as_written(each)) for each in page.c)
        document = func.json_build_array(_owner_revision, *together, type_=JSON)
        return select(document.label("page")).select_from(page)

    def _order(self, backwards: bool) -> list[ColumnElement[Any]]:
        order = tasks.c[self.newest_by], tasks.c.id
        return [column.asc() if backwards else column.desc() for column in order]


def _read_many(name: str, clause: Select[Any]) -> Statement:
    return Statement(name, clause, Access.READ, finds_many=True)


# An aggregate, so that it is one value even where a statement has forgotten its owner.
_owner_revision = select(func.max(users.c.revision)).where(this_owner).scalar_subquery()
_completed = param("completed", tasks.c.completed)
_as_completed = tasks.c.completed == _completed
_cursor_place = tuple_(param("place_time", tasks.c.created_at), param("place_id", tasks.c.id))
