"""Clauses of the statements that change one task, under the lock of its owner's row."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    ARRAY,
    CTE,
    BigInteger,
    Boolean,
    ColumnElement,
    DateTime,
    String,
    Text,
    any_,
    bindparam,
    case,
    func,
    literal_column,
    null,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.dml import ReturningUpdate

from db.schema.clauses import (
    FALSE,
    NEXT,
    ONE_TASK,
    TRUE,
    as_stored,
    range_of,
    stamped,
    tasks,
    this_owner,
    this_task,
    users,
)
from db.schema.digests import NOTHING, changed_by, hash_of

MOMENT = literal_column("owner.changed_at", DateTime(timezone=True))
REVISION = literal_column("owner.revision", BigInteger)
# PostgreSQL writes into a row which transaction has replaced it, and reads that again when a
# statement goes on after it has waited for a lock. It is not 0, either, after a rollback, a lock
# (such as a foreign key's) or an ON CONFLICT DO UPDATE: then the task is read once more in vain.
NOT_REPLACED = literal_column("tasks.xmax = 0", Boolean)

_expected = bindparam("expected", type_=ARRAY(BigInteger))
as_expected = _expected.is_(None) | (tasks.c.revision == any_(_expected))


def changed(
    values: Mapping[str, Any],
    *,
    adds: bool = True,
    provided: ColumnElement[bool] = TRUE,
) -> ReturningUpdate[Any]:
    """Change this task, if it is there as expected, and stamp it with the owner's next revision.

    With `adds` it stays an active task, and is not changed if it recurs or has reminders: the rules
    know what else changes then. `provided` is a condition that is checked under the lock of the
    owner's row.
    """
    condition = this_task & as_expected
    if adds:
        condition &= tasks.c.recurrence.is_(None) & tasks.c.reminders.is_(None)
    owner = _next_of_owner(condition & provided, adds=adds)
    stamps = stamped(owner.c.revision, MOMENT)
    return update(tasks).where(condition).values({**values, **stamps}).returning(ONE_TASK)


def _next_of_owner(condition: ColumnElement[bool], *, adds: bool) -> CTE:
    """Take the owner's next revision and moment, under the lock of the owner's row.

    The lock puts a user's writes in order, so that revisions commit in the order they count. What
    was committed while this waited for the lock is not in the statement's snapshot: if the row of
    the snapshot was replaced, a function reads the task as it is now.
    """
    stored = func.replaced_hash(
        *(tasks.c.user_id, tasks.c.id, FALSE, _expected, NEXT["revision"] if adds else null()),
        type_=BigInteger(),
    )
    removed = case((NOT_REPLACED, hash_of(tasks.c.revision)), else_=stored)
    added = hash_of(NEXT["revision"]) if adds else NOTHING
    return (
        update(users)
        .where(this_owner)
        .where(condition)
        .values({**NEXT, "digest": changed_by(added, removed)})
        .returning(users.c.revision, users.c.changed_at)
        .cte("owner")
    )


def completion(completed: ColumnElement[bool]) -> ColumnElement[Any]:
    """When this task was completed, if a change leaves it `completed` or not."""
    stays = completed == tasks.c.completed
    return case((stays, tasks.c.completed_at), (completed, MOMENT))


def latest_completion(completes: ColumnElement[bool]) -> dict[str, Any]:
    """The revision of this task's latest completion, which may be this change."""
    return {
        "completion_revision": case((completes, REVISION), else_=tasks.c.completion_revision),
        "completion_range": case((completes, range_of(REVISION)), else_=tasks.c.completion_range),
    }


_changes = bindparam("changes", type_=JSONB)


def merged(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The column's value in `changes`, which may be null; without one, the stored value."""
    key = literal_column(f"'{column.key}'", String)
    text = _changes.op("->>", return_type=Text())(key)
    is_named = _changes.op("?", return_type=Boolean())(key)
    return case((is_named, as_stored(text, column)), else_=column)
