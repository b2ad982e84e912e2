"""Batches: several operations on a user's tasks in one transaction.

The tasks are read, changed in memory, and written back. The read takes the lock of the user's row,
which every write of the user's data holds until it commits: so no other transaction changes the
tasks in between. A hundred operations take as many round trips as one.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from db.database import Session
from db.errors import BatchRefused, DomainError, Refused, VersionRequired
from db.postgres.transaction import Transaction
from db.quotas import MAX_TASKS
from db.schema.clauses import TRASH_COLUMNS
from db.tasks import statements
from db.tasks.rules import RULES, Draft
from db.tasks.tags import keyed
from db.tasks.tasks import Task, as_read

Operation = dict[str, Any]
"""One operation of the batch: its `op`, the task's `id`, `if_match`, fields of the task."""


class Done(NamedTuple):
    """An operation that was done, and the task after it; None if the task was deleted."""

    task: Task | None


Outcome = Done | Refused

CONFLICT_WITHIN_BATCH = "An earlier operation of this batch changed the task. The batch was undone."
UNNAMED = "Send the task's `revision` as `if_match` of the operation."


async def run(
    database: Session,
    user_id: UUID,
    operations: Sequence[Operation],
    *,
    atomic: bool,
    requires_if_match: bool,
    max_tasks: int = MAX_TASKS,
) -> list[Outcome]:
    """Do the operations in order; an atomic batch does all, or none and raises `BatchRefused`."""
    outcomes: list[Outcome] = []
    async with database.transaction(user_id) as transaction:
        draft = await _begin(transaction, user_id, operations, max_tasks)
        for index, operation in enumerate(operations):
            outcome = _attempt(draft, index, operation, requires_if_match)
            if atomic and isinstance(outcome, Refused):
                raise BatchRefused(_without_undone(draft, outcome))
            outcomes.append(outcome)
        if draft.events:
            await _write(transaction, user_id, draft)
    return outcomes


async def _begin(
    transaction: Transaction, user_id: UUID, operations: Sequence[Operation], max_tasks: int
) -> Draft:
    """Lock the user's row, and read the tasks that the operations name."""
    creates = any(each["op"] == "create" for each in operations)
    lock = statements.LOCK_OR_CREATE_USER if creates else statements.LOCK_USER
    rows = await transaction.fetch(
        lock,
        statements.FIND_TASKS,
        user_id=user_id,
        task_ids=[UUID(each["id"]) for each in operations if "id" in each],
    )
    if not rows:
        return Draft(user_id)
    moment, revision, task_count, *_ = rows[0]
    # A row without an id has only the first three columns.
    found = (dict(zip(TRASH_COLUMNS, row[3:], strict=True)) for row in rows if row[3])
    return Draft(
        user_id, map(as_read, found), revision, moment, task_count=task_count, max_tasks=max_tasks
    )


def _attempt(draft: Draft, index: int, operation: Operation, requires_if_match: bool) -> Outcome:
    """Do one operation, or return the reason for its refusal."""
    fields = {name: value for name, value in operation.items() if name not in ("op", "if_match")}
    if "id" in fields:
        fields["id"] = str(UUID(fields["id"]))
    expected = [operation["if_match"]] if "if_match" in operation else None
    try:
        if requires_if_match and expected is None and operation["op"] != "create":
            raise VersionRequired(UNNAMED)
        event = RULES[operation["op"]](draft, expected, fields)
    except DomainError as error:
        return Refused.because_of(error, index)
    if event is None:
        return Done(draft.tasks[fields["id"]])
    draft.apply(event)
    return Done(None if "deleted_at" in event.after else event.after)


def _without_undone(draft: Draft, refused: Refused) -> Refused:
    """The refusal with the stored task: the changes of this batch are undone."""
    if refused.current is None or refused.current["id"] not in draft.written:
        return refused
    before = draft.before.get(refused.current["id"])
    return refused._replace(detail=CONFLICT_WITHIN_BATCH, current=before)


async def _write(transaction: Transaction, user_id: UUID, draft: Draft) -> None:
    latest = draft.events[-1]
    await transaction.fetch(
        statements.WRITE_TASKS,
        user_id=user_id,
        revision=latest.revision,
        moment=latest.moment,
        created=draft.created,
        tasks=orjson.dumps([keyed(each) for each in draft.written.values()]).decode(),
    )
