"""Soft deletes all completed tasks of a user in one statement, under the lock of the user's row.

A task stays while one below it is open.

Each task gets its own revision and time, as if they were deleted one after the other: so a page of
the change feed can end between any two of them.
"""

from uuid import UUID

from sqlalchemy import CTE, Integer, func, select, update

from db.database import Session
from db.postgres.statement import Access, Statement
from db.schema.clauses import LATER, MICROSECOND, ONE, stamped, tasks, this_owner, this_user, users
from db.schema.digests import TASK_HASH, changed_by, total
from db.tasks.statements import LOCK_USER

_is_active = this_user & tasks.c.deleted_at.is_(None)


def _parents_of_open() -> CTE:
    """The tasks below which a task is open."""
    is_below = _is_active & tasks.c.parent_id.is_not(None)
    found = (
        select(tasks.c.parent_id)
        .where(is_below, ~tasks.c.completed)
        .cte("parents_of_open", recursive=True)
    )
    return found.union(select(tasks.c.parent_id).where(is_below, tasks.c.id == found.c.parent_id))


_is_completed = (
    _is_active & tasks.c.completed & tasks.c.id.not_in(select(_parents_of_open().c.parent_id))
)

_completed = (
    select(tasks.c.id, func.row_number(type_=Integer()).over().label("number"))
    .where(_is_completed)
    .cte("completed")
)
_count = select(func.count(type_=Integer())).select_from(_completed).scalar_subquery()


def _owner() -> CTE:
    """The revision and the moment before the first of them."""
    last = LATER + _count * MICROSECOND
    return (
        update(users)
        .where(this_owner)
        .where(select(ONE).select_from(_completed).exists())
        .values(
            revision=users.c.revision + _count,
            changed_at=last,
            digest=changed_by(removed=total(TASK_HASH, _is_completed)),
        )
        .returning(
            (users.c.revision - _count).label("revision"),
            (users.c.changed_at - _count * MICROSECOND).label("changed_at"),
        )
        .cte("owner")
    )


def _cleared() -> CTE:
    owner = _owner()
    moment = owner.c.changed_at + _completed.c.number * MICROSECOND
    return (
        update(tasks)
        .where(this_user)
        .where(tasks.c.id == _completed.c.id)
        .values(
            deleted_at=moment,
            **stamped(owner.c.revision + _completed.c.number, moment),
        )
        .returning(tasks.c.id)
        .cte("cleared")
    )


CLEAR = Statement("clear_completed", select(func.count()).select_from(_cleared()), Access.WRITE)

CATALOGUE = (CLEAR,)
"""The statements that a connection prepares."""


async def clear_completed(database: Session, user_id: UUID) -> int:
    """Soft delete all completed tasks of the user; return how many."""
    async with database.transaction(user_id) as transaction:
        # A statement does not see which tasks were completed while it waited for the lock.
        [(count,)] = await transaction.fetch(LOCK_USER, CLEAR, user_id=user_id)
    cleared: int = count
    return cleared
