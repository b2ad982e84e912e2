"""Pages of the tasks with a tag.

By creation they are a range of the index of tags. In another order, few tasks are sorted as a
whole. If there are many, the list is scanned like any other, and each task is compared.
"""

from typing import Any

from sqlalchemy import (
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
from db.tasks.list_queries import TAG, Shape

MOST_TAGGED = 1000

_tagged = (
    select(task_tags.c.task_id.label("id"), task_tags.c.created_at)
    .where(task_tags.c.user_id == param("user_id", task_tags.c.user_id))
    .where(task_tags.c.tag == Grouping(texts_param(TAG))[ONE])
)
# In this order, so that the index is read, and not the whole table.
_newest = _tagged.order_by(task_tags.c.created_at.desc(), task_tags.c.task_id.desc())
_few = _newest.limit(literal_column(str(MOST_TAGGED + 1), Integer)).cte("tagged")
_count = select(func.count(type_=BigInteger())).select_from(_few).scalar_subquery()
HAS_TOO_MANY_TAGGED = _count > literal_column(str(MOST_TAGGED), Integer)


def newest_tagged(shape: Shape, most: ColumnElement[int]) -> Select[Any]:
    """The rows with the first of the tags, in the order of creation."""
    named = _tagged.subquery("named")
    rows = select(named.c.id).where(beyond(shape, named)).order_by(*order_by(shape, named))
    return _tasks_of(rows.limit(most).subquery("tagged"))


def tagged_rows(shape: Shape) -> Select[Any]:
    """The rows with all of the tags, in the order of the list; none if they are too many."""
    rows = _tasks_of(_few).where(~HAS_TOO_MANY_TAGGED).subquery("rows")
    filters = [of_list(shape, rows), *(matches(each, rows) for each in shape.filters)]
    found = select(*rows.c).where(*filters, beyond_or_null(shape, rows))
    return found.order_by(*order_by(shape, rows))


def _tasks_of(tagged: Any) -> Select[Any]:
    """The tasks of rows of the index of tags, in the order of these rows."""
    # LIMIT keeps PostgreSQL from reading all tasks of the user at once.
    task = select(*tasks.c).where(this_user, tasks.c.id == tagged.c.id).limit(ONE).lateral("task")
    return select(*task.c).select_from(tagged.join(task, true()))
