"""The statements that store a new task: each also counts it, under the lock of its owner's row."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Integer,
    bindparam,
    case,
    func,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.dml import ReturningInsert, ReturningUpdate

from db.postgres.statement import Access, Statement
from db.schema.changes import MOMENT
from db.schema.clauses import (
    COLUMNS_OF_NEW,
    FIRST_REVISION,
    NEXT,
    ONE,
    PLAIN_COLUMNS,
    due_of,
    param,
    position_of,
    range_of,
    stamped,
    tasks,
    this_owner,
    users,
    values_of,
)
from db.schema.digests import changed_by, hash_of
from db.schema.fields import RARE_FIELDS
from db.schema.rare_fields import rare_of

_owner_id = param("user_id", users.c.id)
_new = {name: param(name, tasks.c[name]) for name in ("user_id", "id", *PLAIN_COLUMNS)}
_all = {**_new, "due": due_of(_new["due_on"], _new["due_at"])}

# Most tasks are created with no other fields. A statement with these columns alone costs PostgreSQL
# a seventh less.
BRIEF_COLUMNS = ("title", "description", "completed")
_brief = {name: _new[name] for name in ("user_id", "id", *BRIEF_COLUMNS)}

_list_id = param("list_id", tasks.c.list_id)

_has_room = users.c.task_count < bindparam("max_tasks", type_=Integer)
# `has_task` also sees what was committed while this statement waited for the lock. This check is a
# sixth of the cost; an id that the server made needs none.
_id_is_new = ~func.has_task(users.c.id, _new["id"], type_=Boolean())
_one_more = {
    **NEXT,
    "task_count": users.c.task_count + ONE,
    "digest": changed_by(added=hash_of(NEXT["revision"])),
}


def _creation(
    name: str,
    owner: ReturningInsert[Any] | ReturningUpdate[Any],
    fields: Mapping[str, ColumnElement[Any]] = _all,
) -> Statement:
    """A statement that stores a new task and counts it, under the lock of its owner's row.

    It sets these fields; the others have their defaults.
    """
    counted = owner.cte("owner")
    revision = counted.c.revision
    position = position_of(revision)
    if "position" in fields:
        position = func.coalesce(fields["position"], position)
    rare = {"rare_fields": rare_of(fields)} if RARE_FIELDS.keys() & fields.keys() else {}
    stored = {
        **fields,
        **rare,
        "user_id": counted.c.id,
        "position": position,
        "completed_at": case((_new["completed"], MOMENT)),
        "created_at": MOMENT,
        "completion_revision": revision,
        "completion_range": range_of(revision),
        **stamped(revision, MOMENT),
    }
    return Statement(
        name,
        insert(tasks)
        .from_select(
            [*stored],
            select(*stored.values()),
            include_defaults=False,  # those of the table are the same
        )
        .returning(values_of(COLUMNS_OF_NEW)),
        Access.WRITE,
    )


def _counted_by_owner(*conditions: ColumnElement[bool]) -> ReturningUpdate[Any]:
    return (
        update(users)
        .where(this_owner, _has_room, *conditions)
        .values(_one_more)
        .returning(users.c.id, users.c.revision, users.c.changed_at)
    )


def _counted_by_new_owner() -> ReturningInsert[Any]:
    """The same for a user who has no row; meanwhile another request may have created it."""
    first = select(FIRST_REVISION.label("revision")).subquery("first")
    new_user = {
        "id": _owner_id,
        "revision": first.c.revision,
        "task_count": ONE,
        "digest": hash_of(first.c.revision),
    }
    return (
        insert(users)
        .from_select([*new_user], select(*new_user.values()))
        .on_conflict_do_update(index_elements=["id"], set_=_one_more, where=_has_room & _id_is_new)
        .returning(users.c.id, users.c.revision, users.c.changed_at)
    )


CREATE = _creation("create_task", _counted_by_owner())

CREATE_BRIEF = _creation("create_brief_task", _counted_by_owner(), _brief)

# The client's id may already be used.
CREATE_WITH_ID = _creation("create_task_with_id", _counted_by_owner(_id_is_new))

# A user who has a list has a row.
CREATE_IN_LIST = _creation(
    "create_task_in_list",
    _counted_by_owner(_id_is_new, func.has_list(users.c.id, _list_id, type_=Boolean())),
    {**_all, "list_id": _list_id},
)

CREATE_WITH_USER = _creation("create_task_with_user", _counted_by_new_owner())

TASK_COUNT = Statement("count_tasks", select(users.c.task_count).where(this_owner), Access.READ)

CATALOGUE = (CREATE, CREATE_BRIEF, CREATE_WITH_ID, CREATE_IN_LIST, CREATE_WITH_USER, TASK_COUNT)
"""The statements that a connection prepares."""
