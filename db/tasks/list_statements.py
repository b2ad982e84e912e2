"""The SQL of lists: one statement for each shape.

A page reads one range of an index, in the order of the list. The filters that the index does not
serve are compared with each row, with at most `MOST_SCANNED` rows: so no list sorts or reads all
tasks of a user. If so many rows were scanned, the last of them is returned even if it does not
match: the next page begins after it.
"""

from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    and_,
    any_,
    bindparam,
    case,
    func,
    literal_column,
    or_,
    select,
    true,
    tuple_,
)

from db.owner import OWNER
from db.postgres.statement import Access, Statement
from db.schema.clauses import (
    as_written,
    param,
    revision_range,
    tasks,
    this_owner,
    this_user,
    users,
)
from db.schema.fields import Filter
from db.tasks.list_queries import FILTERS, ListQuery, Order, Shape, Start

MOST_SCANNED = 1000
MOST_SHAPES = 1024


@lru_cache(maxsize=MOST_SHAPES)
def statement_of(shape: Shape) -> Statement:
    """The statement that reads a page of this shape.

    It returns a document: the owner's revision and, from the same snapshot, an array for each field
    of the tasks. Objects would repeat the names of the fields for each task.
    """
    page = _range(shape) if shape.ranged is None else _ranges(shape, tasks.c[shape.ranged])
    found = page.limit(bindparam("limit", type_=Integer)).subquery("page")
    names = [name for name in shape.names if name != OWNER]
    # The arrays keep the order of the page: `array_agg` reads its rows in that order.
    arrays = [func.array_agg(as_written(found.c[name])) for name in names]
    if shape.filters_rows:
        arrays.append(func.array_agg(found.c.edge))
    document = func.json_build_array(_owner_revision, *arrays, type_=JSON)
    # A page by offset has its own statement: no other call waits in its group for skipped rows.
    return Statement(
        shape.statement_name,
        select(document.label("page")).select_from(found),
        Access.READ,
        finds_many=True,
    )


# An aggregate is one value even if the condition on the owner were missing.
_owner_revision = select(func.max(users.c.revision)).where(this_owner).scalar_subquery()


def _range(shape: Shape, also: ColumnElement[bool] = true()) -> Select[Any]:  # noqa: B008
    """The rows of one range of an index, in the order of the list."""
    served = this_user & _served(shape) & _beyond(shape) & also
    ordered = select(*tasks.c).where(served).order_by(*_order_by(shape, tasks))
    unserved = _unserved(shape)
    if shape.start is Start.OFFSET:
        return ordered.where(*unserved).offset(bindparam("offset", type_=Integer))
    if not unserved:
        return ordered
    scanned = ordered.limit(literal_column(str(MOST_SCANNED), Integer)).subquery("scanned")
    position = func.row_number(type_=BigInteger()).over()
    numbered = select(*scanned.c, position.label("position")).subquery("numbered")
    is_last = numbered.c.position == literal_column(str(MOST_SCANNED), Integer)
    matches = and_(*(each.is_(True) for each in _unserved(shape, numbered)))
    # The rows keep their order. ORDER BY here would sort them again, and read all rows for it.
    return select(*numbered.c, case((is_last, matches)).label("edge")).where(matches | is_last)


def _ranges(shape: Shape, column: Any) -> Select[Any]:
    """The rows of several ranges of an index, one for each value of a filter."""
    values = func.unnest(bindparam(shape.ranged, type_=ARRAY(column.type)))
    wanted = values.table_valued("value").render_derived(name="wanted")
    value = literal_column("wanted.value", column.type)
    # A partial index, without the default value: the query must repeat its condition.
    rare = column != literal_column(str(column.server_default.arg), column.type)
    rows = _range(shape, (column == value) & rare).limit(bindparam("limit", type_=Integer))
    found = rows.lateral("found")
    return (
        select(*found.c).select_from(wanted.join(found, true())).order_by(*_order_by(shape, found))
    )


def _served(shape: Shape) -> ColumnElement[bool]:
    """The condition of the index, if it has exactly the tasks of the list."""
    return _of_list(shape, tasks) if shape.is_served else true()


def _unserved(shape: Shape, rows: FromClause = tasks) -> list[ColumnElement[bool]]:
    """The conditions that no index serves."""
    filters = [_matches(each, rows) for each in shape.unserved_filters]
    return filters if shape.is_served else [_of_list(shape, rows), *filters]


def _of_list(shape: Shape, rows: FromClause) -> ColumnElement[bool]:
    deleted_at = rows.c.deleted_at
    return deleted_at.is_not(None) if shape.deleted else deleted_at.is_(None)


def _matches(name: str, rows: FromClause) -> ColumnElement[bool]:
    """Whether a task has the value of the filter, or one of its values."""
    column = rows.c[name]
    if FILTERS[name] is Filter.ANY_OF:
        return column == any_(bindparam(name, type_=ARRAY(column.type)))
    return column == param(name, column)


def _order_by(shape: Shape, rows: FromClause) -> list[ColumnElement[Any]]:
    descending = shape.order.descending is not shape.start.is_backwards
    nulls_last = not shape.start.is_backwards
    ordered: list[ColumnElement[Any]] = []
    for column in _terms(shape.order, rows):
        term = column.desc() if descending else column.asc()
        if _is_nullable(shape.order) and column.key == shape.order.field:
            term = term.nulls_last() if nulls_last else term.nulls_first()
        ordered.append(term)
    return ordered


def _terms(order: Order, rows: FromClause) -> list[ColumnElement[Any]]:
    """The columns by which rows are sorted."""
    if order.field == "updated_at":
        return [rows.c.revision_range, rows.c.revision]
    return [rows.c[order.field], rows.c.id]


def _is_nullable(order: Order) -> bool:
    """Whether the sorted field of a task in the list may be null."""
    return bool(tasks.c[order.field].nullable) and order.field != "deleted_at"


def _beyond(shape: Shape) -> ColumnElement[bool]:
    """Whether a task is on the page's side of the key, or at the key if the page includes it."""
    if shape.start in (Start.FIRST, Start.OFFSET):
        return true()
    key = [param(f"key_{name}", tasks.c[name]) for name in shape.order.key]
    if shape.order.field == "updated_at":
        return _compared(shape, _terms(shape.order, tasks), [revision_range(key[0]), key[0]])
    if not _is_nullable(shape.order):
        return _compared(shape, _terms(shape.order, tasks), key)
    column, no_value = tasks.c[shape.order.field], tasks.c[shape.order.field].is_(None)
    if not shape.key_is_null:
        beyond = _compared(shape, _terms(shape.order, tasks), key)
        return column.is_not(None) & beyond if shape.start.is_backwards else or_(beyond, no_value)
    beyond = no_value & _compared(shape, [tasks.c.id], key[1:])
    return or_(column.is_not(None), beyond) if shape.start.is_backwards else beyond


def _compared(shape: Shape, terms: list[Any], key: list[Any]) -> ColumnElement[bool]:
    descending = shape.order.descending is not shape.start.is_backwards
    sign = ("<" if descending else ">") + ("=" if shape.start.includes_key else "")
    return tuple_(*terms).bool_op(sign)(tuple_(*key))


_NEWEST_FIRST = ListQuery.of({}, None, deleted=False)
LIST, LIST_AFTER = (statement_of(_NEWEST_FIRST.shape(each)) for each in (Start.FIRST, Start.AFTER))

CATALOGUE = (LIST, LIST_AFTER)
"""The statements that every connection prepares: those of the list without parameters."""
