"""The conditions and the orders of lists, in SQL.

If the sorted field may be null, a page has two sections: the tasks with a value, from a partial
index, and then those without, by id. Each section ends with a LIMIT: PostgreSQL appends the
sections in their order, and reads the second only if the first does not fill the page.
"""

from collections.abc import Callable
from typing import Any

from sqlalchemy import (
    ARRAY,
    Boolean,
    ColumnElement,
    CompoundSelect,
    FromClause,
    Integer,
    Select,
    any_,
    bindparam,
    select,
    true,
    tuple_,
    union_all,
)

from db.schema.clauses import param, range_of, tasks, this_user
from db.schema.fields import Filter
from db.tasks.list_shapes import COMPLETION, FILTERS, RELEVANCE, Order, Shape, Start
from db.tasks.search_statements import has_words

MADE_OF = {"due": ("due", "due_on", "due_at")}
"""The fields that are null if the sorted one is."""
COMPLETED = "completed"
MAY_BE_NULL = (Filter.EXISTS, Filter.OVERDUE)
"""The filters that a task without a value matches if they are false."""


def matches(name: str, rows: FromClause) -> ColumnElement[bool]:
    """Whether a task has the value of the filter, or one of its values."""
    field, kind = FILTERS[name]
    column = rows.c[field]
    condition: ColumnElement[bool]
    match kind:
        case Filter.ALL_OF:
            condition = column.bool_op("@>")(param(name, column))
        case Filter.ANY_OF:
            condition = column == any_(bindparam(name, type_=ARRAY(column.type)))
        case Filter.BEFORE:
            condition = column < param(name, column)
        case Filter.SINCE:
            condition = column >= param(name, column)
        case Filter.EXISTS:
            condition = column.is_not(None) == bindparam(name, type_=Boolean())
        case Filter.OVERDUE:
            condition = _is_overdue(rows) == bindparam(name, type_=Boolean())
        case Filter.MISSING:
            condition = column.is_(None) == bindparam(name, type_=Boolean())
        case Filter.WORDS:
            condition = has_words(rows)
        case Filter.EQUAL:
            condition = column == param(name, column)
    return condition


def _is_overdue(rows: FromClause) -> ColumnElement[bool]:
    has_passed = rows.c.due_at < param("now", rows.c.due_at)
    has_ended = rows.c.due_on < param("today", rows.c.due_on)
    return (~rows.c.completed & (has_passed | has_ended)).is_(True)


def order_by(shape: Shape, rows: FromClause) -> list[ColumnElement[Any]]:
    """The order of the page, nulls last."""
    ordered = [directed(shape, each) for each in _terms(shape.order, rows)]
    if shape.has_nulls:
        backwards = shape.start.is_backwards
        ordered[0] = ordered[0].nulls_first() if backwards else ordered[0].nulls_last()
    return ordered


def of_list(shape: Shape, rows: FromClause) -> ColumnElement[bool]:
    """Whether a task is in the trash if the list is of the trash, and not otherwise."""
    deleted_at = rows.c.deleted_at
    return deleted_at.is_not(None) if shape.deleted else deleted_at.is_(None)


def directed(shape: Shape, column: ColumnElement[Any]) -> Any:
    """The column in the direction in which the page is read."""
    return column.desc() if shape.descends else column.asc()


def _terms(order: Order, rows: FromClause) -> list[ColumnElement[Any]]:
    """The columns by which rows are sorted."""
    if order.field == "updated_at":
        return [rows.c.revision_range, rows.c.revision]
    if order.field == RELEVANCE:
        return [rows.c[RELEVANCE], rows.c.created_at, rows.c.id]
    return [rows.c[order.field], rows.c.id]


def beyond(shape: Shape, rows: FromClause = tasks) -> ColumnElement[bool]:
    """Whether a task is on the page's side of the key, or at the key if the page includes it."""
    if shape.start in (Start.FIRST, Start.OFFSET):
        return true()
    key = key_of_page(shape)
    if shape.order.field == "updated_at":
        key = [range_of(key[0]), key[0]]
    if shape.order.field == COMPLETION:
        key = key[:2]
    return compared(shape, _terms(shape.order, rows), key)


def beyond_or_null(shape: Shape, rows: FromClause) -> ColumnElement[bool]:
    """The same for rows in any order, if the sorted field may be null."""
    if not shape.has_nulls or shape.start in (Start.FIRST, Start.OFFSET):
        return beyond(shape, rows)
    column = rows.c[shape.order.field]
    if not shape.key_is_null:
        side = beyond(shape, rows)
        return side if shape.start.is_backwards else side | column.is_(None)
    side = column.is_(None) & compared(shape, [rows.c.id], key_of_page(shape)[1:2])
    return side | column.is_not(None) if shape.start.is_backwards else side


def key_of_page(shape: Shape) -> list[ColumnElement[Any]]:
    """The key at which the page begins, as parameters."""
    return [
        bindparam(f"key_{name}", type_=Integer)
        if name == RELEVANCE
        else param(f"key_{name}", tasks.c[name])
        for name in shape.order.key
    ]


def compared(shape: Shape, terms: list[Any], key: list[Any]) -> ColumnElement[bool]:
    """Whether the terms are on the page's side of the key."""
    sign = ("<" if shape.descends else ">") + ("=" if shape.start.includes_key else "")
    return tuple_(*terms).bool_op(sign)(tuple_(*key))


def sections(
    shape: Shape, scanned: Callable[..., Select[Any]]
) -> Select[Any] | CompoundSelect[Any]:
    """The rows of the page: those with a value in the sorted field, and those without."""
    limit = bindparam("limit", type_=Integer)
    if shape.order.field == COMPLETION:
        with_value = scanned(shape, _completed(shape), completed_only=True).limit(limit)
    else:
        with_value = scanned(shape, _with_value(shape)).limit(limit)
    fields = MADE_OF.get(shape.order.field, (shape.order.field,))
    without = scanned(shape, _without_value(shape), null_fields=fields).limit(limit)
    if _needs_value(shape) or (shape.start.is_backwards and not shape.key_is_null):
        return with_value
    if shape.start.is_backwards:
        return union_all(without, with_value)
    return without if shape.key_is_null else union_all(with_value, without)


def _needs_value(shape: Shape) -> bool:
    """Whether a filter excludes all tasks without a value."""
    about = [FILTERS[each][1] for each in shape.filters if FILTERS[each][0] == shape.order.field]
    return any(each not in MAY_BE_NULL for each in about)


def _with_value(shape: Shape) -> Select[Any]:
    column = tasks.c[shape.order.field]
    side = true() if shape.key_is_null else beyond(shape)
    filters = [_bound(each, column) for each in shape.sorted_filters]
    served = this_user & column.is_not(None) & side
    order = [directed(shape, each) for each in _terms(shape.order, tasks)]
    return select(*tasks.c).where(served, *filters).order_by(*order)


def _completed(shape: Shape) -> Select[Any]:
    """The tasks by their latest completion; some of them are open again, or still."""
    terms = [tasks.c.completion_range, tasks.c.completion_revision]
    side: ColumnElement[bool] = true()
    if shape.start is not Start.FIRST and not shape.key_is_null:
        latest = key_of_page(shape)[2]
        side = compared(shape, terms, [range_of(latest), latest])
    wanted = [bindparam(COMPLETED, type_=Boolean())] if COMPLETED in shape.filters else []
    ordered = select(*tasks.c).where(this_user, side, *wanted)
    return ordered.order_by(*(directed(shape, each) for each in terms))


def _bound(name: str, column: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether a task with a value is in the range of the filter."""
    match FILTERS[name][1]:
        case Filter.EXISTS:
            return bindparam(name, type_=Boolean())  # on no row: if it is false, none is read
        case Filter.OVERDUE:
            return column < param("due_until", column)
    return matches(name, tasks)


def _without_value(shape: Shape) -> Select[Any]:
    side = compared(shape, [tasks.c.id], key_of_page(shape)[1:2]) if shape.key_is_null else true()
    excluding = [each for each in shape.sorted_filters if FILTERS[each][1] in MAY_BE_NULL]
    if shape.order.field == COMPLETION and COMPLETED in shape.filters:
        excluding = [COMPLETED]
    wanted = [~bindparam(each, type_=Boolean()) for each in excluding]
    ordered = select(*tasks.c).where(this_user, side, *wanted)
    return ordered.order_by(directed(shape, tasks.c.id))
