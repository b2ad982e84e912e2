"""Every statement that the program asks of its database, in the contract's order.

Each is one round trip, leads with the owner, and is written over the tables of `db.models`;
nothing is executed here.
"""

from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    Boolean,
    ColumnElement,
    DateTime,
    Integer,
    Interval,
    String,
    Table,
    Text,
    bindparam,
    case,
    cast,
    delete,
    func,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from db.compiled import Statement
from db.models import Replay, Task, TaskRead, User

ONE = literal_column("1", Integer)
UTC = literal_column("'UTC'", String)
RFC_3339 = literal_column("""'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'""", String)
TRUE = literal_column("true", Boolean)
CLAIM_MADE = literal_column("'true'", String)
MICROSECOND = literal_column("interval '1 microsecond'", Interval)

tasks: Table = Task.metadata.tables["tasks"]
users: Table = User.metadata.tables["users"]
replays: Table = Replay.metadata.tables["replays"]


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


LIST = Statement(
    "list_tasks",
    select(*TASK)
    .where(this_user)
    .where(tasks.c.deleted_at.is_(None))
    .where(
        given("completed", tasks.c.completed).is_(None)
        | (tasks.c.completed == given("completed", tasks.c.completed))
    )
    .order_by(tasks.c.created_at.desc(), tasks.c.id.desc())
    .limit(bindparam("limit", type_=Integer))
    .offset(bindparam("offset", type_=Integer)),
)

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

# Whether a key was claimed is remembered for the next statement, because that one alone can see
# what was committed before the claim.
CLAIMED = literal_column("'errand.claimed'", String)

CLAIM = Statement(
    "claim_key",
    select(
        func.set_config(
            CLAIMED,
            cast(func.pg_try_advisory_xact_lock(bindparam("lock", type_=BigInteger)), Text),
            TRUE,
        ).label("claimed")
    ),
)

_claim = select((func.current_setting(CLAIMED, TRUE) == CLAIM_MADE).label("claimed")).subquery()
FIND_REPLAY = Statement(
    "find_replay",
    select(
        _claim.c.claimed,
        *(replays.c[name] for name in ("fingerprint", "status", "headers", "body")),
    ).select_from(
        _claim.outerjoin(
            replays,
            (replays.c.user_id == given("user_id", replays.c.user_id))
            & (replays.c.key == given("key", replays.c.key))
            & (replays.c.expires_at > func.now()),
        )
    ),
)

FORGET_REPLAYS = Statement(
    "forget_replays",
    delete(replays)
    .where(replays.c.user_id == given("user_id", replays.c.user_id))
    .where(replays.c.expires_at <= func.now()),
)

KEEP_REPLAY = Statement(
    "keep_replay",
    insert(replays).values(
        user_id=given("user_id", replays.c.user_id),
        key=given("new_key", replays.c.key),
        fingerprint=given("fingerprint", replays.c.fingerprint),
        status=given("status", replays.c.status),
        headers=given("headers", replays.c.headers),
        body=given("body", replays.c.body),
        expires_at=func.now() + bindparam("lifetime", type_=Interval),
    ),
)

PING = Statement("ping", select(ONE.label("answer")))
