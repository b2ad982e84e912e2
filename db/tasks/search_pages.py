"""Pages of searches: of the candidates, and by relevance."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    DateTime,
    Integer,
    Select,
    bindparam,
    case,
    literal_column,
    select,
    true,
    union_all,
)

from db.schema.clauses import tasks, this_user
from db.tasks.list_orders import (
    beyond_or_null,
    compared,
    directed,
    key_of_page,
    matches,
    of_list,
    order_by,
)
from db.tasks.list_shapes import RELEVANCE, SEARCH, Shape, Start
from db.tasks.search_statements import (
    CANDIDATES,
    HAS_TOO_MANY_CANDIDATES,
    LEAST,
    MOST,
    matches_words,
    relevance,
    relevance_of,
)


def found_rows(shape: Shape) -> Select[Any]:
    """The candidates that match, in the order of the list; none if they are too many."""
    # OFFSET 0 keeps PostgreSQL from reading all tasks of the user at once.
    this_task = (this_user, tasks.c.id == CANDIDATES.c.task_id)
    task = select(*tasks.c).where(*this_task).offset(literal_column("0", Integer)).lateral("task")
    others = [matches(each, task) for each in shape.filters if each != SEARCH]
    rank = relevance(CANDIDATES.c.lexemes).label(RELEVANCE)
    found = (
        select(*task.c, *([rank] if shape.is_by_relevance else []))
        .select_from(CANDIDATES.join(task, true()))
        .where(~HAS_TOO_MANY_CANDIDATES)
        .where(matches_words(CANDIDATES.c.lexemes), of_list(shape, task), *others)
        .subquery("found")
    )
    rows = select(*found.c).where(beyond_or_null(shape, found)).order_by(*order_by(shape, found))
    return skipped(shape, rows) if shape.start is Start.OFFSET else rows


def skipped(shape: Shape, rows: Select[Any]) -> Select[Any]:
    """The rows in the order of the list, after a number of skipped ones."""
    found = rows.subquery("counted")
    ordered = select(*found.c).order_by(*order_by(shape, found))
    return ordered.offset(bindparam("offset", type_=Integer))


def ranked(rows: Select[Any]) -> Select[Any]:
    """Those of the rows of tasks that match the search, each with its relevance."""
    ranked = rows.add_columns(relevance_of(tasks).label(RELEVANCE)).subquery("ranked")
    return select(*ranked.c).where(ranked.c[RELEVANCE].is_not(None))


def rows_by_rank(shape: Shape, scanned: Callable[..., Select[Any]]) -> CompoundSelect[Any]:
    """The rows of a page by relevance: the list is scanned once for each rank, as for nulls."""
    limit = bindparam("limit", type_=Integer)
    ranks = sorted(range(LEAST, MOST + 1), reverse=shape.descends)
    return union_all(
        *(scanned(shape, _newest(shape, rank), rank=rank).limit(limit) for rank in ranks)
    )


def _newest(shape: Shape, rank: int) -> Select[Any]:
    """The list by creation, from the key on if the key has this rank."""
    terms = (tasks.c.created_at, tasks.c.id)
    order = [directed(shape, each) for each in terms]
    rows = select(*tasks.c).where(this_user, of_list(shape, tasks), *_beyond(shape, rank))
    return rows.order_by(*order)


def _beyond(shape: Shape, rank: int) -> list[ColumnElement[bool]]:
    if shape.start is Start.FIRST:
        return []
    key_rank, created_at, task_id = key_of_page(shape)
    this_rank = literal_column(str(rank), Integer)
    end = literal_column(
        f"timestamptz '{'' if shape.descends else '-'}infinity'", DateTime(timezone=True)
    )
    start = case((key_rank == this_rank, created_at), else_=end)
    is_left = this_rank <= key_rank if shape.descends else this_rank >= key_rank
    return [is_left, compared(shape, [tasks.c.created_at, tasks.c.id], [start, task_id])]
