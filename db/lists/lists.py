"""The operations on a user's lists.

Each write is a transaction: its first statement takes the lock that every write of the user takes,
so that what the next one reads does not change.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from db.database import Session
from db.errors import ListChanged, ListExists, ListIdTaken, ListNotFound, TooManyLists
from db.lists import cascades, statements
from db.postgres.statement import Statement
from db.postgres.transaction import Transaction
from db.quotas import MAX_LISTS
from db.tasks.statements import LOCK_OR_CREATE_USER, LOCK_USER
from db.tasks.tasks import NO_REVISION, Versions, id_taken, uuid7

List = dict[str, Any]
"""A list by the names of `ListRead` or `DeletedListRead`, its values as JSON writes them."""


async def every(database: Session, user_id: UUID) -> tuple[list[List], int]:
    """All lists that are not in the trash, in their order, and the user's revision."""
    revision, found = await database.fetch_document(statements.EVERY, user_id=user_id)
    return found or [], revision or NO_REVISION


async def get(database: Session, user_id: UUID, list_id: UUID) -> List:
    """The list, unless it is in the trash."""
    found: List | None = await database.fetch_document(
        statements.GET, user_id=user_id, list_id=list_id
    )
    if found is None:
        raise _unknown(list_id)
    return found


async def create(
    database: Session,
    user_id: UUID,
    fields: Mapping[str, Any],
    *,
    must_be_new: bool = False,
    max_lists: int = MAX_LISTS,
) -> List:
    """Store a new list; the first write also creates the user's row."""
    values = {"id": uuid7(), "position": None, **fields}
    async with database.transaction(user_id) as transaction:
        created: List | None = await _fetch(
            transaction,
            LOCK_OR_CREATE_USER,
            statements.CREATE,
            user_id=user_id,
            max_lists=max_lists,
            **values,
        )
        if created is not None:
            return created
        current = await _find(transaction, user_id, values["id"])
        if current is not None:
            kind = ListExists if must_be_new else ListIdTaken
            raise kind(id_taken(values["id"]), current)
        raise TooManyLists(
            f"This server stores {max_lists:,} lists of a user, those in the trash included."
        )


async def patch(
    database: Session,
    user_id: UUID,
    list_id: UUID,
    changes: Mapping[str, Any],
    *,
    expected: Versions = None,
) -> List:
    """Change the fields that are named, and no other; if none is, only read the list."""
    if not changes:
        return _as_expected(await get(database, user_id, list_id), expected)
    return await _change(
        database, statements.PATCH, user_id, list_id, expected, changes=dict(changes)
    )


async def delete(
    database: Session, user_id: UUID, list_id: UUID, *, expected: Versions = None
) -> None:
    """Soft delete the list, and its tasks with it."""
    await _change(database, cascades.DELETE, user_id, list_id, expected)


async def restore(
    database: Session, user_id: UUID, list_id: UUID, *, expected: Versions = None
) -> List:
    """Restore a list from the trash, with the tasks that its deletion took along.

    A list that is not in the trash does not change.
    """
    async with database.transaction(user_id) as transaction:
        restored: List | None = await _fetch(
            transaction,
            LOCK_USER,
            cascades.RESTORE,
            user_id=user_id,
            list_id=list_id,
            expected=expected,
        )
        if restored is not None:
            return restored
        current = await _find(transaction, user_id, list_id)
    if current is None:
        raise _unknown(list_id)
    return _as_expected(current, expected)


async def _change(
    database: Session,
    statement: Statement,
    user_id: UUID,
    list_id: UUID,
    expected: Versions,
    **values: Any,
) -> List:
    """Change the list, if its revision is expected; if no row changed, find the reason."""
    async with database.transaction(user_id) as transaction:
        changed: List | None = await _fetch(
            transaction,
            LOCK_USER,
            statement,
            user_id=user_id,
            list_id=list_id,
            expected=expected,
            **values,
        )
        if changed is not None:
            return changed
        current = await _find(transaction, user_id, list_id)
    if current is None or "deleted_at" in current:
        raise _unknown(list_id)
    raise _conflict(current)


async def _fetch(transaction: Transaction, *both: Statement, **values: Any) -> List | None:
    """Run the lock and the write; return the document of the second."""
    rows = await transaction.fetch(*both, **values)
    return rows[0][0] if rows else None


async def _find(transaction: Transaction, user_id: UUID, list_id: UUID) -> List | None:
    """The list, with `deleted_at` only in the trash."""
    found: List | None = await transaction.fetch_document(
        statements.FIND, user_id=user_id, list_id=list_id
    )
    if found is not None and found["deleted_at"] is None:
        del found["deleted_at"]
    return found


def _as_expected(current: List, expected: Versions) -> List:
    """The list, if its revision is expected."""
    if expected is not None and current["revision"] not in expected:
        raise _conflict(current)
    return current


def _unknown(list_id: UUID) -> ListNotFound:
    return ListNotFound(f"This user has no list {list_id}.")


def _conflict(current: List) -> ListChanged:
    return ListChanged(f"The list is at revision {current['revision']}.", current)
