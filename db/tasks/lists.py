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
from db.tasks.dates import moments_of
from db.tasks.list_queries import ListQuery
from db.tasks.list_shapes import Shape, Start
from db.tasks.page_layouts import PageLayout, layout_of
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
        layout, (revision, *columns) = layout_of(found.shape), found.columns
    else:
        layout, (revision, *columns) = await _fetched(database, user_id, shape, values)
    tasks, more_after = _read(str(user_id), columns, limit, layout, query)
    previous, following = cursors.neighbour_cursors(tasks, more_after, current, query)
    for name in layout.private:
        tasks = tasks.without(name)
    return TaskPage(
        tasks,
        previous and await cursors.signed(database, previous, user_id, query),
        following and await cursors.signed(database, following, user_id, query),
        revision or NO_REVISION,
    )


async def _fetched(
    database: Session, user_id: UUID, shape: Shape, values: dict[str, Any]
) -> tuple[PageLayout, list[Any]]:
    """The document of a page, and its layout: few tasks of a finder are sorted, many scanned."""
    layout = layout_of(shape)
    if layout.sorts_few:
        few = layout_of(shape._replace(is_found=True, ranged=None))
        *document, are_too_many = await database.fetch_document(
            few.statement, user_id=user_id, **values
        )
        if not are_too_many:
            return few, document
    return layout, await database.fetch_document(layout.statement, user_id=user_id, **values)


def _read(
    owner: str, columns: list[Any], limit: int, layout: PageLayout, query: ListQuery
) -> tuple[Records, Key | None]:
    """The tasks of one array per field; and the key after which there may be more tasks."""
    edges = columns.pop() if layout.has_edges else None
    if columns[0] is None:
        return NO_TASKS, None
    tasks = _records(owner, columns, layout)
    last, size = _last_row(edges, len(tasks))
    if size > limit:
        last, size = limit - 1, limit
    more_after = None if last is None else key_of(tasks, last, query)
    tasks.cut(size)
    if layout.is_backwards:
        tasks = tasks[::-1]
    return tasks, more_after


def _records(owner: str, columns: list[Any], layout: PageLayout) -> Records:
    """The tasks of one array per field; it is null for a field that is null in all of them."""
    *usual, rare = columns
    varying = dict(zip(layout.usual, usual, strict=True))
    varying_rare, constants = rare_columns(rare)
    constants[OWNER] = owner
    for name in layout.nullable:
        if varying[name] is None:
            constants[name] = varying.pop(name)
    for name in layout.moments:
        if name in varying:
            varying[name] = moments_of(varying[name])
    return Records(len(usual[0]), {**varying, **varying_rare}, constants, layout.names)


def _last_row(edges: list[bool | None] | None, size: int) -> tuple[int | None, int]:
    """The place of the last row that the statement scanned, and how many tasks there are up to it.

    `edges` is not null for that row only: whether it matches the filters. If the statement scanned
    several ranges, each has such a row; the next page begins after the first of them.
    """
    for place, matches in enumerate(edges or ()):
        if matches is not None:
            return place, place + matches
    return None, size
