"""The statement of the change feed: the next changes of a user's tasks and lists."""

from typing import Any

from sqlalchemy import Integer, Select, Table, bindparam, func, null, select, true, union_all

from db.postgres.statement import Access, Statement
from db.schema.clauses import (
    LIST_COLUMNS,
    TASK,
    as_written,
    document,
    lists,
    param,
    range_of,
    tasks,
    these_lists,
    this_owner,
    this_user,
    users,
)

_after = param("after", tasks.c.revision)
_began = func.coalesce(param("began", tasks.c.revision), users.c.revision)


def _new(rows: Select[Any], table: Table) -> Select[Any]:
    """Those of the rows that changed after the reader's position; if nothing did, none is read.

    A tombstone older than the reader's begin is left out: the reader never got what was deleted.
    """
    unread = (users.c.revision > _after) & (table.c.revision > _after)
    known = table.c.deleted_at.is_(None) | (table.c.revision > _began)
    return rows.where(unread, known).limit(bindparam("limit", type_=Integer))


_of_lists = {
    "id": lists.c.id,
    "revision": lists.c.revision,
    "deleted_at": as_written(lists.c.deleted_at),
    "list": document(LIST_COLUMNS, lists),
}
_columns = [*TASK, as_written(tasks.c.deleted_at), null().label("list")]
# The few tasks of a revision range are sorted by revision.
_changed_tasks = (
    _new(select(*_columns).where(this_user), tasks)
    .where(tasks.c.revision_range >= range_of(_after))
    .order_by(tasks.c.revision_range, tasks.c.revision)
)
_changed_lists = _new(
    select(*(_of_lists.get(str(each.key), null()).label(each.key) for each in _columns)), lists
)
_changed = union_all(
    _changed_tasks, _changed_lists.where(these_lists).order_by(lists.c.revision)
).lateral("changed")

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

CATALOGUE = (CHANGES,)
"""The statements that a connection prepares."""
