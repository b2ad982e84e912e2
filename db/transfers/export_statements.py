"""The statements of an export: the lists, the tasks a page at a time."""

from sqlalchemy import Boolean, Integer, bindparam, select

from db.postgres.statement import Access, Statement
from db.schema.clauses import (
    DELETED_LIST_COLUMNS,
    TRASH_COLUMNS,
    document,
    lists,
    param,
    tasks,
    these_lists,
    this_user,
)

_with_trash = bindparam("with_trash", type_=Boolean)

EXPORT_LISTS = Statement(
    "export_lists",
    select(lists.c.id, document(DELETED_LIST_COLUMNS, lists))
    .where(these_lists, lists.c.deleted_at.is_(None) | _with_trash)
    .order_by(lists.c.id),
    Access.READ,
)

EXPORT_TASKS = Statement(
    "export_tasks",
    select(
        tasks.c.id,
        document(TRASH_COLUMNS),
        tasks.c.completion_revision,
        tasks.c.skipped_due,
        tasks.c.deletion,
    )
    .where(this_user, tasks.c.id >= param("first", tasks.c.id))
    .where(tasks.c.deleted_at.is_(None) | _with_trash)
    .order_by(tasks.c.id)
    .limit(bindparam("limit", type_=Integer)),
    Access.READ,
)

CATALOGUE = (EXPORT_LISTS, EXPORT_TASKS)
"""The statements that a connection prepares."""
