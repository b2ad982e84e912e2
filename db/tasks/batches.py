"""Batches: several operations on a user's tasks in one transaction.

The tasks are read, changed in memory, and written back. The read takes the lock of the user's row,
which every write of the user's data holds until it commits: so no other transaction changes the
tasks in between. A hundred operations take as many round trips as one.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from db.database import Session
from db.errors import BatchRefused, DomainError, FieldRefused, Refused, VersionRequired
from db.postgres.connection import Row
from db.postgres.transaction import Transaction
from db.quotas import MAX_CHANGES, MAX_TASKS
from db.schema.clauses import PLACE_COLUMNS, TRASH_COLUMNS
from db.tasks import series, statements, trees
from db.tasks.draft import Draft
from db.tasks.reminders import times_of
from db.tasks.rules import RULES
from db.tasks.tags import keyed
from db.tasks.tasks import Task, Versions, as_read, live_lists

Operation = dict[str, Any]
"""One operation of the batch: its `op`, the task's `id`, `if_match`, fields of the task."""


class Done(NamedTuple):
    """An operation that was done, and the task after it; None if the task was deleted."""

    task: Task | None


Outcome = Done | Refused

_PLACE = frozenset(PLACE_COLUMNS)
_PRIVATE = ["completion_revision", "deletion", "skipped_due"]
CONFLICT_WITHIN_BATCH = "An earlier operation of this batch changed the task. The batch was undone."
TOO_MANY_CHANGES = (
    f"A batch makes at most {MAX_CHANGES:,} changes of tasks, those included that move, go to the "
    "trash or come back with others."
)
FEW = 200
"""So many tasks take no time that other requests would notice."""
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
        draft = await begin(transaction, user_id, operations, max_tasks)
        for index, operation in enumerate(operations):
            if operation.get("recurrence") or len(draft.tasks) > FEW:
                # The search for its days, or a family of tasks, may take milliseconds: other
                # requests go in between.
                await asyncio.sleep(0)
            outcome = _attempt(draft, index, operation, requires_if_match)
            if atomic and isinstance(outcome, Refused):
                raise BatchRefused(_without_undone(draft, outcome))
            outcomes.append(outcome)
        if draft.events:
            await write(transaction, user_id, draft)
    return outcomes


async def run_one(
    database: Session,
    user_id: UUID,
    operation: Operation,
    *,
    expected: Versions = None,
    max_tasks: int = MAX_TASKS,
) -> Task:
    """Do one operation, or raise why it is refused; return the task after it."""
    async with database.transaction(user_id) as transaction:
        draft = await begin(transaction, user_id, [operation], max_tasks)
        task = done(draft, operation["op"], expected, _fields(operation))
        if draft.events:
            await write(transaction, user_id, draft)
    return task


async def begin(
    transaction: Transaction,
    user_id: UUID,
    operations: Sequence[Operation],
    max_tasks: int = MAX_TASKS,
) -> Draft:
    """Lock the user's row, and read the tasks that the operations are about."""
    creates = any(each["op"] == "create" for each in operations)
    moves = any(map(_moves, operations))
    named = _named(operations, "id")
    parents = _named(operations, "parent_id")
    values = {"user_id": user_id, "parent_ids": parents}
    rows = await transaction.fetch(
        statements.LOCK_OR_CREATE_USER if creates else statements.LOCK_USER,
        statements.FIND_FAMILIES if moves else statements.FIND_TASKS,
        task_ids=named,
        **values,
    )
    draft = await _draft(user_id, rows, max_tasks)
    if _recurs(draft, operations):
        ids = set(named)
        # First the successors, then the copies of what is below the tasks.
        while more := {*map(UUID, series.related(draft, [*map(str, named)]))} - ids:
            ids |= more
            rows = await transaction.fetch(statements.FIND_FAMILIES, task_ids=[*ids], **values)
            draft = await _draft(user_id, rows, max_tasks)
        draft.asked = {*map(str, ids)}
    if moves and rows:
        draft.lists = await live_lists(transaction, user_id)
    if moves or draft.asked:
        draft.unread = await _unread(transaction, user_id, draft, named, parents)
    return draft


async def _unread(
    transaction: Transaction, user_id: UUID, draft: Draft, named: list[UUID], parents: list[UUID]
) -> dict[str, int]:
    """How many tasks below each task at the top were not read; of those named all were read."""
    above = (trees.above(draft.tasks, str(each)) for each in (*named, *parents))
    tops = {UUID(each[-1]) for each in above if each}.difference(named)
    if not tops:
        return {}
    unread = {}
    for top, count in await transaction.fetch(
        statements.COUNT_BELOW, user_id=user_id, task_ids=[*tops]
    ):
        await asyncio.sleep(0)
        unread[top] = count - len(draft.below(draft.tasks[top]))
    return unread


async def _draft(user_id: UUID, rows: list[Row], max_tasks: int) -> Draft:
    if not rows:
        return Draft(user_id)
    moment, revision, task_count, *_ = rows[0]
    found: list[Task] = []
    private: list[Row] = []
    for number, row in enumerate(rows, start=1):
        if number % FEW == 0:
            await asyncio.sleep(0)
        # A row without an id has only the first three columns.
        if row[6]:
            found.append(as_read(dict(zip(TRASH_COLUMNS, row[6:], strict=True))))
            private.append(row[3:6])
    ids = [each["id"] for each in found]
    completions, deletions, skipped_dues = zip(*private, strict=True) if private else ((), (), ())
    return Draft(
        user_id,
        deletions=dict(zip(ids, deletions, strict=True)),
        completions=dict(zip(ids, completions, strict=True)),
        skipped_dues=dict(zip(ids, skipped_dues, strict=True)),
        tasks=found,
        revision=revision,
        moment=moment,
        task_count=task_count,
        max_tasks=max_tasks,
    )


def _recurs(draft: Draft, operations: Sequence[Operation]) -> bool:
    """Whether an operation may complete or reopen a task that recurs."""
    completing = [each for each in operations if each["op"] == "toggle" or "completed" in each]
    stored = (draft.tasks.get(str(UUID(each["id"]))) for each in completing if "id" in each)
    return any(task and task["recurrence"] for task in stored) or (
        bool(completing) and any(each.get("recurrence") for each in operations)
    )


def _moves(operation: Operation) -> bool:
    """Whether the operation may be about a list, or about other tasks than the one it names."""
    return operation["op"] in ("delete", "restore", "skip") or not _PLACE.isdisjoint(operation)


def _named(operations: Sequence[Operation], name: str) -> list[UUID]:
    return [UUID(each[name]) for each in operations if each.get(name) is not None]


def _attempt(draft: Draft, index: int, operation: Operation, requires_if_match: bool) -> Outcome:
    """Do one operation, or return the reason for its refusal."""
    expected = [operation["if_match"]] if "if_match" in operation else None
    try:
        if requires_if_match and expected is None and operation["op"] != "create":
            raise VersionRequired(UNNAMED)
        task = done(draft, operation["op"], expected, _fields(operation), at_most=MAX_CHANGES)
    except DomainError as error:
        return Refused.because_of(error, index)
    return Done(None if "deleted_at" in task else task)


def _fields(operation: Operation) -> Operation:
    """What the operation says of its task; the id as the database writes it."""
    fields = {name: value for name, value in operation.items() if name not in ("op", "if_match")}
    return {**fields, "id": str(UUID(fields["id"]))} if "id" in fields else fields


def done(
    draft: Draft,
    rule: str,
    expected: Versions,
    fields: Mapping[str, Any],
    *,
    at_most: int | None = None,
) -> Task:
    """Apply what the rule says, unless the draft then has more changes; return the task after."""
    events = RULES[rule](draft, expected, fields)
    if at_most is not None and len(draft.events) + len(events) > at_most:
        raise FieldRefused(TOO_MANY_CHANGES)
    for event in events:
        draft.apply(event)
    return events[0].after if events else draft.tasks[fields["id"]]


def _without_undone(draft: Draft, refused: Refused) -> Refused:
    """The refusal with the stored task: the changes of this batch are undone."""
    if refused.current is None or refused.current["id"] not in draft.written:
        return refused
    before = draft.before.get(refused.current["id"])
    return refused._replace(detail=CONFLICT_WITHIN_BATCH, current=before)


async def write(transaction: Transaction, user_id: UUID, draft: Draft) -> None:
    """Store what the events have changed."""
    latest = draft.events[-1]
    stored = []
    for number, each in enumerate(draft.written.values(), start=1):
        if number % FEW == 0:
            await asyncio.sleep(0)
        private = (draft.completions[each["id"]], draft.deletions[each["id"]])
        stored.append(row_of(each, *private, draft.skipped_dues.get(each["id"])))
    await transaction.fetch(
        statements.WRITE_TASKS,
        user_id=user_id,
        revision=latest.revision,
        moment=latest.moment,
        created=draft.created,
        tasks=orjson.dumps(stored).decode(),
    )


def row_of(
    task: Task, completion: int, deletion: int | None, skipped_due: str | None
) -> dict[str, Any]:
    """The task as it is stored, with what clients do not see of it."""
    return {
        **keyed(task),
        **dict(zip(_PRIVATE, (completion, deletion, skipped_due), strict=True)),
        "reminders": task["reminders"] or None,
        "reminder_times": times_of(task, skipped_due),
    }
