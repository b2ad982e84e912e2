"""The statements about tasks, in the contract's order.

Each is one round trip, and names the owner. Nothing is executed here.
"""

from typing import Any

from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    Boolean,
    Integer,
    Interval,
    Select,
    String,
    Uuid,
    any_,
    bindparam,
    case,
    column,
    func,
    literal_column,
    null,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from db.owner import OWNER
from db.postgres.statement import Access, Statement
from db.schema.changes import MOMENT, changed, completion, latest_completion, merged
from db.schema.clauses import (
    LATER,
    ONE_TASK,
    PLAIN_COLUMNS,
    RFC_3339,
    STORED_COLUMNS,
    TRASH_COLUMNS,
    UTC,
    as_written,
    document,
    due_of,
    from_json,
    lists,
    param,
    range_of,
    secrets,
    tasks,
    these_lists,
    this_id,
    this_owner,
    this_task,
    this_user,
    type_in_json,
    users,
)
from db.schema.digests import TASK_HASH, changed_by, hash_of, total
from db.schema.rare_fields import rare_of

_owner_id = param("user_id", users.c.id)

REVISION = Statement("revision", select(users.c.revision).where(this_owner), Access.READ)

# Of these users, those whose revision is not the one that stands at the same place.
_of_many = func.changed_users(
    bindparam("user_ids", type_=ARRAY(Uuid)), bindparam("known", type_=ARRAY(BigInteger))
).table_valued(column("id", Uuid), column("revision", BigInteger), name="changed")
CHANGED_USERS = Statement("changed_users", select(_of_many.c.id, _of_many.c.revision), Access.READ)

GET = Statement("get_task", select(ONE_TASK).where(this_task), Access.READ)

_merged = {name: merged(tasks.c[name]) for name in PLAIN_COLUMNS}
UPDATE = Statement(
    "update_task",
    changed(
        {
            **_merged,
            "due": due_of(_merged["due_on"], _merged["due_at"]),
            "rare_fields": rare_of({**tasks.c, **_merged}),
            "completed_at": completion(_merged["completed"]),
            **latest_completion(_merged["completed"] & ~tasks.c.completed),
        }
    ),
    Access.WRITE,
)

# What is below the task is deleted with it: see `rules.delete`. This also sees what was committed
# while its statement waited for the lock.
_has_subtasks = func.has_subtasks(users.c.id, param("task_id", tasks.c.id), type_=Boolean())
DELETE = Statement(
    "delete_task",
    changed({"deleted_at": MOMENT}, adds=False, provided=~_has_subtasks),
    Access.WRITE,
)

TOGGLE = Statement(
    "toggle_task",
    changed(
        {
            "completed": ~tasks.c.completed,
            "completed_at": case((tasks.c.completed, null()), else_=MOMENT),
            **latest_completion(~tasks.c.completed),
        }
    ),
    Access.WRITE,
)

# A task or its tombstone.
FIND = Statement("find_task", select(document(TRASH_COLUMNS)).where(this_id), Access.READ)

# A batch first takes the lock that every write of the user takes: so the rows that it then reads do
# not change before it writes. The read is another statement, because a statement does not see what
# was committed while it waited for a lock.
LOCK_USER = Statement(
    "lock_user", select(users.c.revision).where(this_owner).with_for_update(), Access.LOCK
)

# A user who was erased in the meantime is created again; DO NOTHING would not do that.
LOCK_OR_CREATE_USER = Statement(
    "lock_or_create_user",
    insert(users)
    .values(id=param("user_id", users.c.id))
    .on_conflict_do_update(index_elements=["id"], set_={"revision": users.c.revision})
    .returning(users.c.revision),
    Access.WRITE,
)

_task_ids = bindparam("task_ids", type_=ARRAY(Uuid))
# A query of its own, which runs once: with row-level security no function may choose the rows.
_head = users.alias("head")
_family = select(
    func.family_of(_head.c.id, _task_ids, bindparam("parent_ids", type_=ARRAY(Uuid)))
).where(_head.c.id == _owner_id)


def _found(name: str, ids: Any) -> Statement:
    """The tasks with these ids or their tombstones, each with the time and the owner's counters."""
    return Statement(
        name,
        select(
            func.to_char(func.timezone(UTC, LATER), RFC_3339).label("moment"),
            users.c.revision.label("owner_revision"),
            users.c.task_count,
            tasks.c.completion_revision,
            tasks.c.deletion,
            tasks.c.skipped_due,
            *(as_written(tasks.c[name]) for name in TRASH_COLUMNS),
        )
        .select_from(
            users.outerjoin(tasks, (tasks.c.user_id == users.c.id) & (tasks.c.id == any_(ids)))
        )
        .where(this_owner),
        Access.READ,
    )


FIND_TASKS = _found("find_tasks", _task_ids)

# The same, and all that is above or below them, or was deleted with them.
FIND_FAMILIES = _found("find_families", func.array(_family.scalar_subquery()))


def _counts_below() -> Select[Any]:
    """How many tasks are below each of these."""
    is_active = this_user & tasks.c.deleted_at.is_(None)
    children = select(tasks.c.parent_id.label("top"), tasks.c.id)
    of_these = is_active & (tasks.c.parent_id == any_(_task_ids))
    below = children.where(of_these).cte("below", recursive=True)
    # OFFSET 0: each task is found by the index, never all tasks of the user by a join.
    of_each = is_active & (tasks.c.parent_id == below.c.id)
    child = select(tasks.c.id).where(of_each).offset(literal_column("0")).lateral("child")
    below = below.union(select(below.c.top, child.c.id).join_from(below, child, true()))
    return select(as_written(below.c.top), func.count()).group_by(below.c.top)


COUNT_BELOW = Statement("count_below", _counts_below(), Access.READ)

# The lists that are not in the trash.
LIVE_LISTS = Statement(
    "find_live_lists",
    select(lists.c.id).where(these_lists & lists.c.deleted_at.is_(None)),
    Access.READ,
)

_batch = (
    func.json_to_recordset(bindparam("tasks", type_=JSON))
    .table_valued(*(column(name, type_in_json(tasks.c[name])) for name in STORED_COLUMNS))
    .render_derived("batch", with_types=True)
)
_stored = total(
    TASK_HASH, this_user, tasks.c.id.in_(select(_batch.c.id)), tasks.c.deleted_at.is_(None)
)
_new_total = total(hash_of(_batch.c.revision), _batch.c.deleted_at.is_(None))
_counted = (
    update(users)
    .where(this_owner)
    .values(
        revision=param("revision", users.c.revision),
        changed_at=param("moment", users.c.changed_at),
        task_count=users.c.task_count + bindparam("created", type_=Integer),
        digest=changed_by(added=_new_total, removed=_stored),
    )
    .returning(users.c.id)
    .cte("owner")
)
_stored_values = {name: from_json(_batch.c[name], tasks.c[name]) for name in STORED_COLUMNS}
_rows = {
    OWNER: _counted.c.id,
    **_stored_values,
    "rare_fields": rare_of(_stored_values),
    "due": due_of(_batch.c.due_on, _batch.c.due_at),
    "revision_range": range_of(_batch.c.revision),
    "completion_range": range_of(_batch.c.completion_revision),
}
_upserted = insert(tasks).from_select([*_rows], select(*_rows.values()))
# The new revisions are higher than all stored ones, so no two tasks ever have the same one.
WRITE_TASKS = Statement(
    "write_tasks",
    _upserted.on_conflict_do_update(
        index_elements=[OWNER, "id"],
        set_={name: _upserted.excluded[name] for name in _rows if name not in (OWNER, "id")},
    ),
    Access.WRITE,
)

PURGE = Statement(
    "purge_trash",
    select(
        func.purge_trash(
            bindparam("older_than", type_=Interval), bindparam("at_most", type_=Integer)
        ).label("purged")
    ),
    Access.WRITE,
)

STORED_ROWS = Statement(
    "stored_rows", select(func.stored_rows(type_=JSON).label("stored")), Access.READ
)

SIGNING_KEY = Statement(
    "get_signing_key",
    select(secrets.c.value).where(secrets.c.purpose == literal_column("'seal'", String)),
    Access.READ,
)

CATALOGUE = (
    *(
        REVISION,
        CHANGED_USERS,
        GET,
        UPDATE,
        DELETE,
        TOGGLE,
        FIND,
    ),
    *(
        LIVE_LISTS,
        LOCK_USER,
        LOCK_OR_CREATE_USER,
        FIND_TASKS,
        FIND_FAMILIES,
        COUNT_BELOW,
        WRITE_TASKS,
        PURGE,
        STORED_ROWS,
        SIGNING_KEY,
    ),
)
"""The statements that a connection prepares."""
