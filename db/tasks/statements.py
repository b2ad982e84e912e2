"""The statements about tasks, in the contract's order.

Each is one round trip, and names the owner. Nothing is executed here.
"""

from sqlalchemy import (
    ARRAY,
    JSON,
    Boolean,
    ColumnElement,
    Integer,
    Interval,
    String,
    Uuid,
    and_,
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
    ACTIVE_COLUMNS,
    KNOWN_COLUMNS,
    LATER,
    MOMENT,
    NEXT,
    ONE,
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
    position_of,
    revision_range,
    secrets,
    tasks,
    this_id,
    this_owner,
    this_task,
    this_tombstone,
    this_user,
    type_in_json,
    users,
)

_owner_id = param("user_id", users.c.id)

REVISION = Statement("revision", select(users.c.revision).where(this_owner), Access.READ)

_new = {name: param(name, tasks.c[name]) for name in ("user_id", "id", *WRITTEN_COLUMNS)}


def _creation(name: str, *conditions: ColumnElement[bool]) -> Statement:
    """A statement that stores a new task and counts it, under the lock of its owner's row."""
    has_room = users.c.task_count < bindparam("max_tasks", type_=Integer)
    owner = (
        insert(users)
        .from_select(["id", "task_count"], select(_owner_id, ONE))
        .on_conflict_do_update(
            index_elements=["id"],
            set_={**NEXT, "task_count": users.c.task_count + ONE},
            where=and_(has_room, *conditions),
        )
        .returning(users.c.revision, users.c.changed_at)
        .cte("owner")
    )
    position = func.coalesce(_new["position"], position_of(owner.c.revision))
    new = {**_new, "position": position}
    stamps = {
        "completed_at": case((_new["completed"], MOMENT)),
        "created_at": MOMENT,
        "updated_at": MOMENT,
        "revision": owner.c.revision,
    }
    return Statement(
        name,
        insert(tasks)
        .from_select([*new, *stamps], select(*new.values(), *stamps.values()))
        # The other fields are as the client sent them: to return them would cost a tenth more.
        .returning(document([name for name in ACTIVE_COLUMNS if name not in KNOWN_COLUMNS])),
        Access.WRITE,
    )


CREATE = _creation("create_task")

# The client's id may already be used. `has_task` also sees what was committed while this statement
# waited for the lock. This check is a sixth of the cost; an id that the server made needs none.
CREATE_WITH_ID = _creation(
    "create_task_with_id", ~func.has_task(_owner_id, _new["id"], type_=Boolean())
)

TASK_COUNT = Statement("count_tasks", select(users.c.task_count).where(this_owner), Access.READ)

GET = Statement("get_task", select(ONE_TASK).where(this_task), Access.READ)

UPDATE = Statement(
    "update_task",
    changed(
        **{name: merged(tasks.c[name]) for name in WRITTEN_COLUMNS},
        completed_at=completion(merged(tasks.c.completed)),
    ),
    Access.WRITE,
)

DELETE = Statement("delete_task", changed(deleted_at=MOMENT), Access.WRITE)

TOGGLE = Statement(
    "toggle_task",
    changed(
        completed=~tasks.c.completed, completed_at=case((tasks.c.completed, null()), else_=MOMENT)
    ),
    Access.WRITE,
)

RESTORE = Statement("restore_task", changed(this_tombstone, deleted_at=null()), Access.WRITE)

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
_counted = (
    update(users)
    .where(this_owner)
    .values(
        revision=param("revision", users.c.revision),
        changed_at=param("moment", users.c.changed_at),
        task_count=users.c.task_count + bindparam("created", type_=Integer),
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
    *(REVISION, CREATE, CREATE_WITH_ID, TASK_COUNT, GET, UPDATE, DELETE, TOGGLE, RESTORE, FIND),
    *(LOCK_USER, LOCK_OR_CREATE_USER, FIND_TASKS, WRITE_TASKS, PURGE, CHANGES, SIGNING_KEY),
)
"""The statements that a connection prepares."""
