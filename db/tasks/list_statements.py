"""The SQL of lists: one statement for each shape.

A page reads one range of an index, in the order of the list. The filters that the index does not
serve are compared with each row, with at most `MOST_SCANNED` rows: so no list sorts or reads all
tasks of a user. If so many rows were scanned, the last of them is returned even if it does not
match: the next page begins after it.
"""

from collections.abc import Collection
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    ColumnElement,
    CompoundSelect,
    FromClause,
    Integer,
    Select,
    and_,
    bindparam,
    case,
    cast,
    false,
    func,
    literal_column,
    null,
    select,
    true,
)

from db.postgres.statement import Access, Statement
from db.schema.clauses import OWNER_REVISION, UTC, as_written, tasks, this_user
from db.schema.fields import Filter
from db.tasks.dates import MOMENTS
from db.tasks.few_pages import few_rows, has_too_many, newest_tagged
from db.tasks.list_orders import beyond, matches, of_list, order_by, sections
from db.tasks.list_queries import ListQuery
from db.tasks.list_shapes import FILTERS, RELEVANCE, SEARCH, Shape, Start, is_nullable
from db.tasks.search_pages import found_rows, ranked, rows_by_rank, skipped
from db.tasks.search_statements import HAS_TOO_MANY_CANDIDATES, INDEXED_REVISION, relevance_of

MOST_SCANNED = 1000
MOST_SHAPES = 1024

_most_scanned = literal_column(str(MOST_SCANNED), Integer)
_zero = literal_column("0", Integer)


@lru_cache(maxsize=MOST_SHAPES)
def statement_of(shape: Shape) -> Statement:
    """The statement that reads a page of this shape.

    It returns a document: the owner's revision and, from the same snapshot, an array for each usual
    field of the tasks, and one for the rare fields, or null if it is null in all of them. Objects
    would repeat the names of the fields for each task.
    """
    page = _page(shape)
    found = page.limit(bindparam("limit", type_=Integer)).subquery("page")
    # The arrays keep the order of the page: `array_agg` reads its rows in that order.
    arrays = [_array(name, found) for name in (*shape.usual, "rare_fields")]
    if shape.filters_rows:
        arrays.append(func.array_agg(found.c.edge))
    if shape.is_search:
        arrays += [INDEXED_REVISION, HAS_TOO_MANY_CANDIDATES if shape.is_found else false()]
    elif shape.is_found:
        arrays.append(has_too_many(shape))
    document = func.json_build_array(OWNER_REVISION, *arrays, type_=JSON)
    # A page by offset has its own statement: no other call waits in its group for skipped rows.
    return Statement(
        shape.statement_name,
        select(document.label("page")).select_from(found),
        Access.READ,
        finds_many=True,
    )


def _array(name: str, page: FromClause) -> ColumnElement[Any]:
    column = page.c[name]
    # JSON has moments as ISO 8601. `dates.moments_of` completes them in less time than `to_char`.
    array = func.array_agg(func.timezone(UTC, column) if name in MOMENTS else as_written(column))
    return case((func.count(column) > _zero, array)) if is_nullable(name) else array


def _page(shape: Shape) -> Select[Any] | CompoundSelect[Any]:
    if shape.is_found:
        return found_rows(shape) if shape.is_search else few_rows(shape)
    if shape.is_tagged:
        return _scanned(shape, newest_tagged(shape, _most_scanned))
    if shape.ranged is not None:
        return _ranges(shape, shape.ranged)
    if shape.start is Start.OFFSET:
        return _counted(shape)
    if shape.is_by_relevance:
        return rows_by_rank(shape, _scanned)
    return sections(shape, _scanned) if shape.has_nulls else _range(shape)


def _counted(shape: Shape) -> Select[Any]:
    """The rows after a number of skipped ones."""
    filters = [matches(each, tasks) for each in shape.sorted_filters]
    rows = select(*tasks.c).where(this_user, _served(shape), *_unserved(shape), *filters)
    if shape.is_by_relevance:
        return skipped(shape, ranked(rows))
    return skipped(shape, rows)


def _range(shape: Shape, also: ColumnElement[bool] = true()) -> Select[Any]:  # noqa: B008
    """The rows of one range of an index, in the order of the list."""
    served = this_user & _served(shape) & beyond(shape) & also
    ordered = select(*tasks.c).where(served).order_by(*order_by(shape, tasks))
    return _scanned(shape, ordered) if _unserved(shape) else ordered


def _scanned(
    shape: Shape,
    ordered: Select[Any],
    *,
    null_fields: Collection[str] = (),
    rank: int | None = None,
    completed_only: bool = False,
) -> Select[Any]:
    """The first of these rows that match the filters; only those with null in the fields.

    With a rank, only those of this relevance. If `completed_only`, only completed ones.
    """
    scanned = ordered.limit(_most_scanned).subquery("scanned")
    number = func.row_number(type_=BigInteger()).over()
    numbered = select(*scanned.c, number.label("number")).subquery("numbered")
    is_last = numbered.c.number == _most_scanned
    are_null = and_(true(), *(numbered.c[each].is_(None) for each in null_fields))
    conditions = [
        *_unserved(shape, numbered),
        are_null,
        *([numbered.c.completed_at.is_not(None)] if completed_only else []),
        *([] if rank is None else [relevance_of(numbered) == literal_column(str(rank), Integer)]),
    ]
    match = and_(*(each.is_(True) for each in conditions))
    # The last row need not match: its key is one of this section nevertheless.
    replaced: dict[str, ColumnElement[Any]] = {
        name: cast(null(), numbered.c[name].type) for name in null_fields
    }
    if null_fields:
        replaced["rare_fields"] = case((are_null, numbered.c.rare_fields))
    if completed_only:
        replaced["completed_at"] = func.coalesce(numbered.c.completed_at, numbered.c.updated_at)
    columns = [
        replaced[each.key].label(each.key) if each.key in replaced else each for each in numbered.c
    ]
    if rank is not None:
        columns.append(literal_column(str(rank), Integer).label(RELEVANCE))
    # The rows keep their order. ORDER BY here would sort them again, and read all rows for it.
    return select(*columns, case((is_last, match)).label("edge")).where(match | is_last)


def _ranges(shape: Shape, name: str) -> Select[Any]:
    """The rows of several ranges of an index, one for each value of a filter."""
    if FILTERS[name][1] is Filter.EQUAL:
        return _range(shape, matches(name, tasks))
    column: Any = tasks.c[name]
    values = func.unnest(bindparam(shape.ranged, type_=ARRAY(column.type)))
    wanted = values.table_valued("value").render_derived(name="wanted")
    value = literal_column("wanted.value", column.type)
    # A partial index, without the default value: the query must repeat its condition.
    is_not_default = column != literal_column(str(column.server_default.arg), column.type)
    rows = _range(shape, (column == value) & is_not_default).limit(
        bindparam("limit", type_=Integer)
    )
    found = rows.lateral("found")
    return (
        select(*found.c).select_from(wanted.join(found, true())).order_by(*order_by(shape, found))
    )


def _served(shape: Shape) -> ColumnElement[bool]:
    """The condition of the index, if it has exactly the tasks of the list."""
    return of_list(shape, tasks) if shape.is_served else true()


def _unserved(shape: Shape, rows: FromClause = tasks) -> list[ColumnElement[bool]]:
    """The conditions that no index serves."""
    filters = [
        matches(each, rows)
        for each in shape.unserved_filters
        if each != SEARCH or not shape.is_by_relevance  # the relevance says whether it matches
    ]
    return filters if shape.is_served else [of_list(shape, rows), *filters]


_NEWEST_FIRST = ListQuery.of({}, None, deleted=False)
LIST, LIST_AFTER = (statement_of(_NEWEST_FIRST.shape(each)) for each in (Start.FIRST, Start.AFTER))

CATALOGUE = (LIST, LIST_AFTER)
"""The statements that every connection prepares: those of the list without parameters."""
