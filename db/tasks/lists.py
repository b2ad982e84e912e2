"""Pages of a user's tasks."""

from typing import Any, NamedTuple
from uuid import UUID

from db.database import Session
from db.errors import CursorRefused
from db.owner import OWNER
from db.records import Records
from db.schema.rare_fields import rare_columns
from db.tasks import cursors
from db.tasks.cursors import Key, key_of
from db.tasks.dates import MOMENTS, moments_of
from db.tasks.list_queries import ListQuery, Shape, Start
from db.tasks.list_statements import statement_of, usual_names
from db.tasks.search_index import search
from db.tasks.tasks import NO_REVISION

CURSOR_AND_OFFSET = "Send either `cursor` or `offset`: both say where the page begins."

NO_TASKS = Records(0, {}, {}, ())


class TaskPage(NamedTuple):
    """Tasks, the cursors of the previous and the next page, and the user's revision."""

    tasks: Records
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
    if current == cursors.FIRST_PAGE:
        current = None
    if current is not None:
        shape = query.shape(current.start, key_is_null=current.key[0] is None)
        values.update(current.values(query))
    elif offset:
        shape = query.shape(Start.OFFSET)
        values["offset"] = offset
    else:
        shape = query.shape(Start.FIRST)
    values.update(query.parameters(user_id))
    if query.is_search:
        found = await search(database, user_id, query, shape, values)
        if found is None:
            here = await cursors.signed(database, current or cursors.FIRST_PAGE, user_id, query)
            return TaskPage(NO_TASKS, None, here, NO_REVISION)
        shape, (revision, *columns) = found
    elif query.sorts_few(shape):
        shape, (revision, *columns) = await _few(database, user_id, shape, values)
    else:
        revision, *columns = await database.fetch_document(
            statement_of(shape), user_id=user_id, **values
        )
    tasks, more_after = _read(str(user_id), columns, limit, shape, query)
    previous, following = [
        each and await cursors.signed(database, each, user_id, query)
        for each in cursors.neighbour_cursors(tasks, more_after, current, query)
    ]
    for name in shape.private:
        tasks = tasks.without(name)
    return TaskPage(tasks, previous, following, revision or NO_REVISION)


async def _few(
    database: Session, user_id: UUID, shape: Shape, values: dict[str, Any]
) -> tuple[Shape, list[Any]]:
    """The document of a page: the few tasks are sorted, or if they are many, scanned."""
    found = shape._replace(is_found=True)
    *document, are_too_many = await database.fetch_document(
        statement_of(found), user_id=user_id, **values
    )
    if not are_too_many:
        return found, document
    return shape, await database.fetch_document(statement_of(shape), user_id=user_id, **values)


def _read(
    owner: str, columns: list[Any], limit: int, shape: Shape, query: ListQuery
) -> tuple[Records, Key | None]:
    """The tasks of one array per field; and the key after which there may be more tasks."""
    edges = columns.pop() if shape.filters_rows else None
    tasks = _records(owner, columns, shape)
    more_after = None
    if edges is not None and tasks:
        tasks, more_after = _up_to_last_row(tasks, edges, query)
    if len(tasks) > limit:
        more_after = key_of(tasks, limit - 1, query)
        tasks = tasks[:limit]
    if shape.start.is_backwards:
        tasks = tasks[::-1]
    return tasks, more_after


def _records(owner: str, columns: list[Any], shape: Shape) -> Records:
    """The tasks of one array per field; a field that is empty in all of them has none."""
    if columns[0] is None:
        return NO_TASKS
    *usual, rare = columns
    names = shape.names
    varying, constants = rare_columns(rare)
    constants[OWNER] = owner
    for name, values in zip(usual_names(names), usual, strict=True):
        if values is None:
            constants[name] = None
        else:
            varying[name] = moments_of(values) if name in MOMENTS else values
    return Records(len(columns[0]), varying, constants, names)


def _up_to_last_row(
    tasks: Records, edges: list[bool | None], query: ListQuery
) -> tuple[Records, Key | None]:
    """The tasks up to the last row that the statement scanned, and the key of that row.

    `edges` is not null for that row only: whether it matches the filters. If the statement scanned
    several ranges, each has such a row; the next page begins after the first of them.
    """
    for index, matches in enumerate(edges):
        if matches is not None:
            return tasks[: index + matches], key_of(tasks, index, query)
    return tasks, None
