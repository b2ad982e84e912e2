"""Pages of the tasks of a list, of those below a task, or of those with a tag.

By creation they are a range of an index. In another order, few tasks are sorted as a whole. If
there are many, the list is scanned like any other, and each task is compared.
"""

from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy.sql.elements import Grouping

from db.schema.clauses import ONE, param, task_tags, tasks, texts_param, this_user
from db.tasks.list_orders import beyond, beyond_or_null, matches, of_list, order_by
from db.tasks.list_shapes import FINDERS, TAG, Shape

MOST_FOUND = 1000

_one_more = literal_column(str(MOST_FOUND + 1), Integer)
_tagged = (
    select(task_tags.c.task_id.label("id"), task_tags.c.created_at)
    .where(task_tags.c.user_id == param("user_id", task_tags.c.user_id))
    .where(task_tags.c.tag == Grouping(texts_param(TAG))[ONE])
)


def _few(name: str) -> CTE:
    """The tasks that the filter finds, or one more than few, in the order of an index."""
    if name == TAG:
        # In this order, so that the index is read, and not the whole table.
        newest = _tagged.order_by(task_tags.c.created_at.desc(), task_tags.c.task_id.desc())
        return newest.limit(_one_more).cte("few")
    found = select(*tasks.c).where(this_user, tasks.c.deleted_at.is_(None), matches(name, tasks))
    newest = found.order_by(tasks.c.created_at.desc(), tasks.c.id.desc())
    return newest.limit(_one_more).cte("few")


_FEW = {name: _few(name) for name in FINDERS}


def has_too_many(shape: Shape) -> ColumnElement[bool]:
    """Whether there are more tasks than are sorted."""
    count = select(func.count(type_=BigInteger())).select_from(_FEW[str(shape.finder)])
    return count.scalar_subquery() > literal_column(str(MOST_FOUND), Integer)


def newest_tagged(shape: Shape, most: ColumnElement[int]) -> Select[Any]:
    """The rows with the first of the tags, in the order of creation."""
    named = _tagged.subquery("named")
    rows = select(named.c.id).where(beyond(shape, named)).order_by(*order_by(shape, named))
    return _tasks_of(rows.limit(most).subquery("tagged"))


def few_rows(shape: Shape) -> Select[Any]:
    """The rows that match all filters, in the order of the list; none if they are too many."""
    few = _FEW[str(shape.finder)]
    found = _tasks_of(few) if shape.finder == TAG else select(*few.c)
    rows = found.where(~has_too_many(shape)).subquery("rows")
    filters = [of_list(shape, rows), *(matches(each, rows) for each in shape.filters)]
    page = select(*rows.c).where(*filters, beyond_or_null(shape, rows))
    return page.order_by(*order_by(shape, rows))


def _tasks_of(tagged: Any) -> Select[Any]:
    """The tasks of rows of the index of tags, in the order of these rows."""
    # LIMIT keeps PostgreSQL from reading all tasks of the user at once.
    task = select(*tasks.c).where(this_user, tasks.c.id == tagged.c.id).limit(ONE).lateral("task")
    return select(*task.c).select_from(tagged.join(task, true()))
