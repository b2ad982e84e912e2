"""The statements about tasks, in the contract's order.

Each is one round trip and leads with the owner; nothing is executed here.
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

from db.postgres.statement import Access, Statement
from db.schema.clauses import (
    AT_LARGE,
    IN_TRASH,
    ONE,
    RFC_3339,
    TASK,
    UTC,
    Listing,
    as_written,
    changed,
    document,
    param,
    secrets,
    tasks,
    this_id,
    this_owner,
    this_task,
    this_tombstone,
    this_user,
    users,
)

REVISION = Statement("revision", select(users.c.revision).where(this_owner), Access.READ)

TASKS = Listing("list_tasks", AT_LARGE, tasks.c.deleted_at.is_(None), newest_by="created_at")
LIST, LIST_BY_OFFSET = TASKS.first, TASKS.by_offset
LIST_AFTER, LIST_BEFORE = TASKS.after, TASKS.before

TRASH = Listing("list_trash", IN_TRASH, tasks.c.deleted_at.is_not(None), newest_by="deleted_at")
LIST_TRASH, LIST_TRASH_BY_OFFSET = TRASH.first, TRASH.by_offset
LIST_TRASH_AFTER, LIST_TRASH_BEFORE = TRASH.after, TRASH.before

ONE_TASK = document(AT_LARGE)

_same_id = this_user & (tasks.c.id == param("id", tasks.c.id))
_next_revision = (
    insert(users)
    .from_select(
        ["id"],
        select(param("user_id", users.c.id)).where(
            ~select(ONE).select_from(tasks).where(_same_id).exists()
        ),
    )
    .on_conflict_do_update(index_elements=["id"], set_={"revision": users.c.revision + ONE})
    .returning(users.c.revision)
    .cte("owner")
)
_brought = {
    name: param(name, tasks.c[name])
    for name in ("user_id", "id", "title", "description", "completed")
}
CREATE = Statement(
    "create_task",
    insert(tasks)
    .from_select([*_brought, "revision"], select(*_brought.values(), _next_revision.c.revision))
    # Two that bring the same id at once both have found it free.
    .on_conflict_do_nothing(index_elements=["user_id", "id"])
    .returning(ONE_TASK),
    Access.WRITE,
)

GET = Statement("get_task", select(ONE_TASK).where(this_task), Access.READ)

UPDATE = Statement(
    "update_task",
    changed(
        title=func.coalesce(param("title", tasks.c.title), tasks.c.title),
        # null is a description like any other, so that its absence needs a word of its own
        description=case(
            (
                param("names_description", tasks.c.completed),
                param("description", tasks.c.description),
            ),
            else_=tasks.c.description,
        ),
        completed=func.coalesce(param("completed", tasks.c.completed), tasks.c.completed),
    ).returning(ONE_TASK),
    Access.WRITE,
)

DELETE = Statement(
    "delete_task", changed(deleted_at=func.clock_timestamp()).returning(ONE_TASK), Access.WRITE
)

TOGGLE = Statement(
    "toggle_task", changed(completed=~tasks.c.completed).returning(ONE_TASK), Access.WRITE
)

RESTORE = Statement(
    "restore_task",
    changed(this_tombstone, deleted_at=null()).returning(ONE_TASK),
    Access.WRITE,
)

# A task, or the tombstone of one.
LOOK = Statement("look_for_task", select(document(IN_TRASH)).where(this_id), Access.READ)

# A batch begins with the lock that every write of the user's takes, so that what it reads after
# that stays true until it writes. To read is a statement of its own, because a statement sees
# nothing that was committed while it waited for a lock.
LOCK_USER = Statement(
    "lock_user", select(users.c.revision).where(this_owner).with_for_update(), Access.LOCK
)

# One who is erased meanwhile is made anew, which DO NOTHING would not do.
LOCK_OR_MAKE_USER = Statement(
    "lock_or_make_user",
    insert(users)
    .values(id=param("user_id", users.c.id))
    .on_conflict_do_update(index_elements=["id"], set_={"revision": users.c.revision})
    .returning(users.c.revision),
    Access.WRITE,
)

# Tasks of these ids, in the trash or not, and beside each its owner's revision and the time.
LOOK_FOR_TASKS = Statement(
    "look_for_tasks",
    select(
        func.to_char(func.timezone(UTC, func.clock_timestamp()), RFC_3339).label("moment"),
        users.c.revision.label("owner_revision"),
        *(as_written(tasks.c[name]) for name in IN_TRASH),
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

_stored = [each.name for each in tasks.c if each.name != "user_id"]
_batch = (
    func.json_to_recordset(bindparam("tasks", type_=JSON))
    .table_valued(*(column(name, tasks.c[name].type) for name in _stored))
    .render_derived("batch", with_types=True)
)
_counted = (
    update(users)
    .where(this_owner)
    .values(revision=param("revision", users.c.revision))
    .returning(users.c.id)
    .cte("owner")
)
_upserted = insert(tasks).from_select(
    ["user_id", *_stored], select(_counted.c.id, *(_batch.c[name] for name in _stored))
)
# Their revisions are beyond all that are there, so that no two tasks have one at any moment.
WRITE_TASKS = Statement(
    "write_tasks",
    _upserted.on_conflict_do_update(
        index_elements=["user_id", "id"],
        set_={name: _upserted.excluded[name] for name in _stored if name != "id"},
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

# Tombstones from before a reader began are of tasks that the reader was never told of.
_changed = (
    select(*TASK, as_written(tasks.c.deleted_at))
    .where(this_user)
    .where(tasks.c.revision > param("after", tasks.c.revision))
    .where(
        tasks.c.deleted_at.is_(None)
        | (tasks.c.revision > func.coalesce(param("began", tasks.c.revision), users.c.revision))
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
    .where(this_owner)
    .order_by(_changed.c.revision),
    Access.READ,
)

SEAL = Statement(
    "get_seal",
    select(secrets.c.value).where(secrets.c.purpose == literal_column("'seal'", String)),
    Access.READ,
)

CATALOGUE = (
    *(REVISION, *TASKS.statements, *TRASH.statements, CREATE, GET, UPDATE, DELETE, TOGGLE, RESTORE),
    *(LOOK, LOCK_USER, LOCK_OR_MAKE_USER, LOOK_FOR_TASKS, WRITE_TASKS, PURGE, CHANGES, SEAL),
)
"""The statements that a connection prepares."""
