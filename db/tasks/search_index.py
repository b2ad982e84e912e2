"""The index of words, which searches bring up to date.

A write of a task does not write its words: that would nearly double its cost. A search first
adds the words of what was written since the last one, under the lock of the user's row, a batch in
each transaction. So a search never finds less than what is stored.
"""

from typing import Any, NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import JSON, Integer, Text, Uuid, cast, column, func, select, true, update
from sqlalchemy.dialects.postgresql import TSVECTOR, insert
from sqlalchemy.sql.expression import bindparam

from db.database import Session
from db.owner import OWNER
from db.postgres.connection import Row
from db.postgres.statement import Access, Statement
from db.postgres.transaction import Transaction
from db.schema.clauses import param, range_of, tasks, this_owner, this_user, users
from db.tasks.list_queries import ListQuery
from db.tasks.list_shapes import Shape, Start
from db.tasks.list_statements import statement_of
from db.tasks.search_statements import task_texts
from db.tasks.statements import LOCK_USER
from db.tasks.words import mark_of, vector_of

MOST_TASKS, MOST_CHARACTERS = 200, 32 * 1024
"""Of a batch: the server does nothing else while it divides them into words."""
MOST_BATCHES = 50

# Toggles count, too: which tasks have other words than before is found only when they are written.
_written = (
    select(tasks.c.id, tasks.c.title, tasks.c.description, tasks.c.revision)
    .where(this_user)
    .where(users.c.revision > users.c.indexed_revision)
    .where(tasks.c.revision_range >= range_of(users.c.indexed_revision))
    .where(tasks.c.revision > users.c.indexed_revision)
    .order_by(tasks.c.revision_range, tasks.c.revision)
    .limit(bindparam("limit", type_=Integer))
    .lateral("written")
)
UNINDEXED = Statement(
    "list_unindexed",
    select(users.c.revision.label("user_revision"), *_written.c)
    .select_from(users.outerjoin(_written, true()))
    .where(this_owner)
    .order_by(_written.c.revision),
    Access.READ,
)

_new = (
    func.json_to_recordset(bindparam("texts", type_=JSON))
    .table_valued(column("task_id", Uuid), column("lexemes", Text))
    .render_derived("new", with_types=True)
)
_owner = (
    update(users)
    .where(this_owner)
    .values(indexed_revision=param("indexed_revision", users.c.indexed_revision))
    .returning(users.c.id)
    .cte("owner")
)
_lexemes = cast(_new.c.lexemes, TSVECTOR)
_same = (
    select(task_texts.c.task_id)
    .where(task_texts.c.user_id == _owner.c.id, task_texts.c.task_id == _new.c.task_id)
    .where(task_texts.c.lexemes == _lexemes)
    .exists()
)
_inserted = insert(task_texts).from_select(
    [OWNER, "task_id", "lexemes"], select(_owner.c.id, _new.c.task_id, _lexemes).where(~_same)
)
INDEX = Statement(
    "index_texts",
    _inserted.on_conflict_do_update(
        index_elements=[OWNER, "task_id"], set_={"lexemes": _inserted.excluded.lexemes}
    ),
    Access.WRITE,
)

CATALOGUE = (UNINDEXED, INDEX)
"""The statements that a connection prepares."""


class Found(NamedTuple):
    """What the statement of a page has returned, and the shape of that page."""

    shape: Shape
    columns: list[Any]


async def search(
    database: Session, user_id: UUID, query: ListQuery, shape: Shape, values: dict[str, Any]
) -> Found | None:
    """A page of a search; None if too much was written since the last one to index it now.

    A page by offset has no `next` that leads to it again: it waits.
    """
    found = await _read(database, user_id, query, shape, values)
    batches = 0
    while found is None and (batches < MOST_BATCHES or shape.start is Start.OFFSET):
        batches += 1
        async with database.transaction(user_id) as transaction:
            if await _index_batch(transaction, user_id):
                # Nothing is written before the transaction ends: the index is up to date.
                found = await _read(transaction, user_id, query, shape, values)
    return found


async def _read(
    session: Session, user_id: UUID, query: ListQuery, shape: Shape, values: dict[str, Any]
) -> Found | None:
    """The page, by the index if it finds few candidates; None if it lacks what was written."""
    search = query.search(user_id)
    by_index = [shape._replace(is_found=True, ranged=None)] if search.has_candidates else []
    for each in (*by_index, shape):
        document = await session.fetch_document(statement_of(each), user_id=user_id, **values)
        *columns, indexed_revision, has_too_many = document
        if columns[0] != indexed_revision:
            return None
        if not has_too_many:
            return Found(each, columns)
    raise AssertionError("a scan never has too many")


async def _index_batch(transaction: Transaction, user_id: UUID) -> bool:
    """Index the words of some of the tasks; whether those were the last."""
    rows = await transaction.fetch(LOCK_USER, UNINDEXED, user_id=user_id, limit=MOST_TASKS)
    if not rows:
        return True
    batch = rows[: _batch_size(rows)]
    user_revision, *_, revision = batch[-1]
    is_last = len(batch) == len(rows) < MOST_TASKS
    mark = mark_of(user_id)
    texts = [
        {"task_id": str(task_id), "lexemes": vector_of(mark, title, description)}
        for _, task_id, title, description, _ in batch
        if task_id is not None
    ]
    await transaction.fetch(
        INDEX,
        user_id=user_id,
        indexed_revision=user_revision if is_last else revision,
        texts=orjson.dumps(texts).decode(),
    )
    return is_last


def _batch_size(rows: list[Row]) -> int:
    """How many of the tasks make a batch: at least one, and not too many characters."""
    characters = 0
    for size, (_, _, title, description, _) in enumerate(rows):
        characters += len(title or "") + len(description or "")
        if characters > MOST_CHARACTERS and size:
            return size
    return len(rows)
