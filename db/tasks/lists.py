"""Pages of a user's tasks."""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from db.database import Session
from db.errors import CursorRefused
from db.owner import OWNER
from db.tasks import cursors
from db.tasks.cursors import Key, key_of
from db.tasks.list_queries import ListQuery, Page, Shape
from db.tasks.list_statements import statement_of
from db.tasks.tasks import NO_REVISION, Task

CURSOR_AND_OFFSET = "Send either `cursor` or `offset`: both say where the page begins."


class TaskPage(NamedTuple):
    """Some of a user's tasks, tokens of the pages beside it, and the user's revision."""

    tasks: list[Task]
    previous: str | None
    next: str | None
    revision: int


async def page(
    database: Session,
    user_id: UUID,
    query: ListQuery,
    *,
    limit: int,
    offset: int = 0,
    cursor: str | None = None,
) -> TaskPage:
    """A page of the list: the first, the one at the cursor, or the one after `offset` tasks."""
    if cursor is not None and offset:
        raise CursorRefused(CURSOR_AND_OFFSET)
    current = None
    values: dict[str, Any] = {"limit": limit + 1}
    if cursor is not None:
        current = await cursors.verified(database, cursor, user_id, query)
        shape = query.shape(current.page, key_is_null=current.key[0] is None)
        values.update(current.values(query))
    elif offset:
        shape = query.shape(Page.OFFSET)
        values["offset"] = offset
    else:
        shape = query.shape(Page.FIRST)
    revision, *columns = await database.fetch_document(
        statement_of(shape), user_id=user_id, **query.parameters, **values
    )
    tasks, goes_on_at = _read(str(user_id), columns, limit, shape, query)
    previous, following = [
        each and await cursors.signed(database, each, user_id, query)
        for each in cursors.neighbour_cursors(tasks, goes_on_at, current, query)
    ]
    return TaskPage(tasks, previous, following, revision or NO_REVISION)


def _read(
    owner: str, columns: list[Any], limit: int, shape: Shape, query: ListQuery
) -> tuple[list[Task], Key | None]:
    """The tasks, from one column for each field; and the key behind which there may be more."""
    edges = columns.pop() if shape.looks_through else None
    tasks = _from_columns(owner, columns, shape)
    goes_on_at = None
    if edges is not None and tasks:
        tasks, goes_on_at = _until_edge(tasks, edges, query)
    if len(tasks) > limit:
        tasks = tasks[:limit]
        goes_on_at = key_of(tasks[-1], query)
    if shape.page.is_backwards:
        tasks.reverse()
    return tasks, goes_on_at


def _from_columns(owner: str, columns: list[Any], shape: Shape) -> list[Task]:
    if columns[0] is None:
        return []
    return _reader(tuple(shape.names))(owner, columns)


@cache
def _reader(names: tuple[str, ...]) -> Callable[[str, list[Any]], list[Task]]:
    """A function that makes tasks with these fields of their columns.

    It is compiled from a text: a literal dictionary is made in half the time of any other.
    """
    variables = [f"field_{number}" for number, name in enumerate(names) if name != OWNER]
    fields = ", ".join(
        f"{name!r}: {OWNER if name == OWNER else f'field_{number}'}"
        for number, name in enumerate(names)
    )
    rows = f"for {', '.join(variables)} in zip(*columns, strict=True)"
    reader: Callable[[str, list[Any]], list[Task]] = eval(  # noqa: S307
        f"lambda {OWNER}, columns: [{{{fields}}} {rows}]"
    )
    return reader


def _until_edge(
    tasks: list[Task], edges: list[bool | None], query: ListQuery
) -> tuple[list[Task], Key | None]:
    """The tasks up to the last row that the statement read, and the key of that row.

    `edges` has a value for that row alone: whether it matches the filters. Where the statement
    read several ranges, each has such a row; the list goes on behind the first of them.
    """
    for index, matches in enumerate(edges):
        if matches is not None:
            return tasks[: index + matches], key_of(tasks[index], query)
    return tasks, None
