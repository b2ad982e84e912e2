"""An import: the lists and tasks of a file are written in one transaction, or none is.

A user who has nothing gets what the file has, with its revisions: so the digest is that of the
export. Otherwise each list and task that is new, or not as in the file, is a change of its own,
with the next revision and microsecond; what is as in the file does not change. So the same file
changes nothing the second time.
"""

from contextlib import suppress
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from db.database import Database
from db.errors import LineFault, LinesRefused
from db.postgres.transaction import Transaction
from db.quotas import MAX_BELOW, MAX_DEPTH
from db.tasks.dates import in_utc
from db.tasks.draft import MICROSECOND
from db.tasks.feed import EPOCH
from db.tasks.statements import LOCK_OR_CREATE_USER
from db.transfers.import_statements import (
    BEGIN_ANEW,
    COMPLETIONS,
    MISPLACED,
    OVERGROWN,
    RENUMBER_COMPLETIONS,
    STATE,
    WITHOUT_LOOPS,
)
from db.transfers.lines import Line
from db.transfers.staging import MOST_FAULTS, Stage, fault_at
from db.transfers.stamps import Counts, Limits, Stamps
from db.transfers.writing import Writing

CLOCKS_DIFFER = timedelta(hours=1)
REASONS = {
    "list": ("list_id", "There is no such list, or it is in the trash."),
    "parent": ("parent_id", "There is no such task, or it is in the trash."),
    "other_list": ("parent_id", "The parent is in another list."),
    "deep": ("parent_id", "It is below itself, or has too many tasks above it."),
    "wide": ("", "It has too many tasks below it."),
}


class Result(NamedTuple):
    """What an import has done, or would do."""

    lists: Counts
    tasks: Counts


class _Undone(Exception):
    """A dry run ends."""


async def run(
    database: Database, user_id: UUID, stage: Stage, limits: Limits, *, dry_run: bool
) -> Result:
    """Write what is staged; a dry run undoes it."""
    with suppress(_Undone):
        async with database.transaction(user_id) as transaction:
            result = await _write(transaction, user_id, stage, limits)
            if dry_run:
                raise _Undone
    return result


async def _write(transaction: Transaction, user_id: UUID, stage: Stage, limits: Limits) -> Result:
    rows = await transaction.fetch(LOCK_OR_CREATE_USER, STATE, user_id=user_id)
    _, revision, moment, task_count, is_empty = rows[0]
    restores = is_empty and stage.has_revisions and _is_of_the_past(stage, moment)
    if restores:
        await transaction.fetch(BEGIN_ANEW, user_id=user_id)
        stamps = Stamps(max(revision, stage.highest) + 1, max(moment, stage.latest))
    else:
        stamps = Stamps(revision, moment)
    writing = Writing(transaction, user_id, stamps, limits, stage, restores=restores)
    await writing.write_lists()
    await writing.write_tasks(task_count)
    await writing.rename_deletions()
    if writing.tasks.written:
        await _check(transaction, user_id, stage)
        [[_, wrong]] = await transaction.fetch(COMPLETIONS, user_id=user_id)
        if wrong:
            await transaction.fetch(RENUMBER_COMPLETIONS, user_id=user_id)
    return Result(writing.lists, writing.tasks)


def _is_of_the_past(stage: Stage, moment: str) -> bool:
    """Whether revisions and times are not from the future, but for clocks that differ.

    Revisions begin with the time, so the user's next ones are above them.
    """
    latest = datetime.fromisoformat(moment) + CLOCKS_DIFFER
    microseconds = (latest - EPOCH) // MICROSECOND
    return stage.highest <= microseconds and stage.latest <= in_utc(latest.isoformat())


async def _check(transaction: Transaction, user_id: UUID, stage: Stage) -> None:
    """Raise if a task cannot be where it is now, in its list and below its parent."""
    most = {"most_above": MAX_DEPTH, "most_below": MAX_BELOW, "limit": MOST_FAULTS}
    for statement in (MISPLACED, OVERGROWN):
        rows = await transaction.fetch(WITHOUT_LOOPS, statement, user_id=user_id, **most)
        if rows:
            lines = stage.places_of({task_id for task_id, _ in rows})
            faults = [_fault(task_id, reason, lines) for task_id, reason in rows]
            raise LinesRefused(sorted(faults, key=lambda each: each.line or 0))


def _fault(task_id: str, reason: str, lines: dict[str, Line]) -> LineFault:
    field, detail = REASONS[reason]
    if task_id in lines:
        return fault_at(lines[task_id], detail, field)
    return LineFault(f"The stored task {task_id} would be in a wrong place: {detail}")
