"""The statements about tasks, in the contract's order.

Each is one round trip, and names the owner. Nothing is executed here.
"""

from sqlalchemy import (
    ARRAY,
    JSON,
    Integer,
    Interval,
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
from db.schema.clauses import (
    LATER,
    MOMENT,
    ONE_TASK,
    RFC_3339,
    STORED_COLUMNS,
    TASK,
    TRASH_COLUMNS,
    UTC,
    WRITTEN_COLUMNS,
    as_written,
    changed,
    completion,
    document,
    from_json,
    merged,
    param,
    revision_range,
    secrets,
    tasks,
    this_id,
    this_owner,
    this_task,
    this_user,
    type_in_json,
    users,
)
from db.schema.digests import TASK_HASH, changed_by, hash_of, total

_owner_id = param("user_id", users.c.id)

REVISION = Statement("revision", select(users.c.revision).where(this_owner), Access.READ)

GET = Statement("get_task", select(ONE_TASK).where(this_task), Access.READ)

UPDATE = Statement(
    "update_task",
    changed(
        {
            **{name: merged(tasks.c[name]) for name in WRITTEN_COLUMNS},
            "completed_at": completion(merged(tasks.c.completed)),
        }
    ),
    Access.WRITE,
)

DELETE = Statement("delete_task", changed({"deleted_at": MOMENT}, adds=False), Access.WRITE)

TOGGLE = Statement(
    "toggle_task",
    changed(
        {
            "completed": ~tasks.c.completed,
            "completed_at": case((tasks.c.completed, null()), else_=MOMENT),
        }
    ),
    Access.WRITE,
)

RESTORE = Statement("restore_task", changed({"deleted_at": null()}, deleted=True), Access.WRITE)

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

# The tasks with these ids, in the trash or not, each with the time and its owner's counters.
FIND_TASKS = Statement(
    "find_tasks",
    select(
        func.to_char(func.timezone(UTC, LATER), RFC_3339).label("moment"),
        users.c.revision.label("owner_revision"),
        users.c.task_count,
        *(as_written(tasks.c[name]) for name in TRASH_COLUMNS),
    )
    .select_from(
        users.outerjoin(
            tasks,
            (tasks.c.user_id == users.c.id)
            & (tasks.c.id == any_(bindparam("task_ids", type_=ARRAY(Uuid)))),
        )
    )
    .where(this_owner),
    Access.READ,
)

_batch = (
    func.json_to_recordset(bindparam("tasks", type_=JSON))
    .table_valued(*(column(name, type_in_json(tasks.c[name])) for name in STORED_COLUMNS))
    .render_derived("batch", with_types=True)
)
_rows = [from_json(_batch.c[name], tasks.c[name]) for name in STORED_COLUMNS]
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
_upserted = insert(tasks).from_select([OWNER, *STORED_COLUMNS], select(_counted.c.id, *_rows))
# The new revisions are higher than all stored ones, so no two tasks ever have the same one.
WRITE_TASKS = Statement(
    "write_tasks",
    _upserted.on_conflict_do_update(
        index_elements=[OWNER, "id"],
        set_={name: _upserted.excluded[name] for name in STORED_COLUMNS if name != "id"},
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

# The few tasks of a revision range are sorted by revision. If nothing is new, none is read.
# A tombstone older than the reader's begin is left out: the reader never got that task.
_after = param("after", tasks.c.revision)
_changed = (
    select(*TASK, as_written(tasks.c.deleted_at))
    .where(this_user)
    .where(users.c.revision > _after)
    .where(tasks.c.revision_range >= revision_range(_after))
    .where(tasks.c.revision > _after)
    .where(
        tasks.c.deleted_at.is_(None)
        | (tasks.c.revision > func.coalesce(param("began", tasks.c.revision), users.c.revision))
    )
    .order_by(tasks.c.revision_range, tasks.c.revision)
    .limit(bindparam("limit", type_=Integer))
    .lateral("changed")
)
CHANGES = Statement(
    "list_changes",
    select(
        as_written(users.c.created_at).label("user_created_at"),
        users.c.revision.label("user_revision"),
        users.c.purged_revision,
        users.c.digest,
        *_changed.c,
    )
    .select_from(users.outerjoin(_changed, true()))
    .where(this_owner)
    .order_by(_changed.c.revision),
    Access.READ,
)

SIGNING_KEY = Statement(
    "get_signing_key",
    select(secrets.c.value).where(secrets.c.purpose == literal_column("'seal'", String)),
    Access.READ,
)

CATALOGUE = (
    *(
        REVISION,
        GET,
        UPDATE,
        DELETE,
        TOGGLE,
        RESTORE,
        FIND,
    ),
    *(LOCK_USER, LOCK_OR_CREATE_USER, FIND_TASKS, WRITE_TASKS, PURGE, CHANGES, SIGNING_KEY),
)
"""The statements that a connection prepares."""
