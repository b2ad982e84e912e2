"""Every statement that the program asks of its database, in the contract's order.

Each is one round trip, leads with the owner, and is written over the tables of `db.models`;
nothing is executed here.
"""

from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    DateTime,
    Integer,
    Interval,
    String,
    Table,
    bindparam,
    case,
    delete,
    func,
    literal_column,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from db.compiled import Statement
from db.models import Secret, Task, TaskRead, User

ONE = literal_column("1", Integer)
UTC = literal_column("'UTC'", String)
RFC_3339 = literal_column("""'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'""", String)
MICROSECOND = literal_column("interval '1 microsecond'", Interval)

tasks: Table = Task.metadata.tables["tasks"]
users: Table = User.metadata.tables["users"]
secrets: Table = Secret.metadata.tables["secrets"]


def given(name: str, column: ColumnElement[Any] | Any) -> ColumnElement[Any]:
    """A value that comes with the request, of the type of that column."""
    return bindparam(name, type_=column.type)


def as_written(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The column as clients read it: moments as RFC 3339 text in UTC, the rest as it is."""
    if isinstance(column.type, DateTime):
        return func.to_char(func.timezone(UTC, column), RFC_3339).label(column.key)
    return column


TASK = [as_written(tasks.c[name]) for name in TaskRead.model_fields]

this_user = tasks.c.user_id == given("user_id", tasks.c.user_id)
this_task = this_user & (tasks.c.id == given("task_id", tasks.c.id)) & tasks.c.deleted_at.is_(None)

# The clock may stand still or step back between two changes; `updated_at` may not.
LATER = func.greatest(func.clock_timestamp(), tasks.c.updated_at + MICROSECOND)


def owner_of(condition: ColumnElement[bool]) -> CTE:
    """Take the next revision of the owner's data, under the lock of the owner's row.

    The lock puts a user's writes in order, so that revisions commit in the order they count.
    """
    return (
        update(users)
        .where(users.c.id == given("user_id", users.c.id))
        .where(select(ONE).select_from(tasks).where(condition).exists())
        .values(revision=users.c.revision + ONE)
        .returning(users.c.revision)
        .cte("owner")
    )


def changed(**values: Any) -> Any:
    """Change this task, if it is there, and stamp it with the owner's next revision."""
    owner = owner_of(this_task)
    return (
        update(tasks).where(this_task).values(**values, updated_at=LATER, revision=owner.c.revision)
    )


_listed = (
    select(*TASK)
    .where(this_user)
    .where(tasks.c.deleted_at.is_(None))
    .where(
        given("completed", tasks.c.completed).is_(None)
        | (tasks.c.completed == given("completed", tasks.c.completed))
    )
    .limit(bindparam("limit", type_=Integer))
)
_newest_first = _listed.order_by(tasks.c.created_at.desc(), tasks.c.id.desc())
_oldest_first = _listed.order_by(tasks.c.created_at, tasks.c.id)
_place = tuple_(tasks.c.created_at, tasks.c.id)
_given_place = tuple_(given("place_time", tasks.c.created_at), given("place_id", tasks.c.id))

LIST = Statement("list_tasks", _newest_first.offset(bindparam("offset", type_=Integer)))

LIST_AFTER = Statement("list_tasks_after", _newest_first.where(_place < _given_place))

LIST_BEFORE = Statement("list_tasks_before", _oldest_first.where(_place > _given_place))

_next_revision = (
    insert(users)
    .values(id=given("user_id", users.c.id))
    .on_conflict_do_update(index_elements=["id"], set_={"revision": users.c.revision + ONE})
    .returning(users.c.revision)
    .cte("owner")
)
_brought = {
    name: given(name, tasks.c[name])
    for name in ("user_id", "id", "title", "description", "completed")
}
CREATE = Statement(
    "create_task",
    insert(tasks)
    .from_select([*_brought, "revision"], select(*_brought.values(), _next_revision.c.revision))
    .returning(*TASK),
)

GET = Statement("get_task", select(*TASK).where(this_task))

UPDATE = Statement(
    "update_task",
    changed(
        title=func.coalesce(given("title", tasks.c.title), tasks.c.title),
        # null is a description like any other, so that its absence needs a word of its own
        description=case(
            (
                given("names_description", tasks.c.completed),
                given("description", tasks.c.description),
            ),
            else_=tasks.c.description,
        ),
        completed=func.coalesce(given("completed", tasks.c.completed), tasks.c.completed),
    ).returning(*TASK),
)

DELETE = Statement(
    "delete_task", changed(deleted_at=func.clock_timestamp()).returning(tasks.c.revision)
)

TOGGLE = Statement("toggle_task", changed(completed=~tasks.c.completed).returning(*TASK))

# Every table of users' data refers to the user's row, and goes with it.
ERASE = Statement(
    "erase_user",
    delete(users).where(users.c.id == given("user_id", users.c.id)).returning(users.c.id),
)

PING = Statement("ping", select(ONE.label("answer")))

# Tombstones from before a reader began are of tasks that the reader was never told of.
_changed = (
    select(*TASK, as_written(tasks.c.deleted_at))
    .where(this_user)
    .where(tasks.c.revision > given("after", tasks.c.revision))
    .where(
        tasks.c.deleted_at.is_(None)
        | (tasks.c.revision > func.coalesce(given("began", tasks.c.revision), users.c.revision))
    )
    .order_by(tasks.c.revision)
    .limit(bindparam("limit", type_=Integer))
    .lateral("changed")
)
CHANGES = Statement(
    "list_changes",
    select(
        as_written(users.c.created_at).label("user_created_at"),
        users.c.revision.label("user_revision"),
        users.c.purged_revision,
        *_changed.c,
    )
    .select_from(users.outerjoin(_changed, true()))
    .where(users.c.id == given("user_id", users.c.id))
    .order_by(_changed.c.revision),
)

REVISION = Statement(
    "revision", select(users.c.revision).where(users.c.id == given("user_id", users.c.id))
)

SEAL = Statement(
    "get_seal", select(secrets.c.value).where(secrets.c.purpose == literal_column("'seal'", String))
)
