"""Several operations on a user's tasks in one step: read, done in memory, and written back.

What is read could not be written back like this, had it not been read under the lock of the user's
row, which every write of the user's data takes first and holds until it is committed: nobody else
changes it in between. In return a hundred operations take the round trips of one.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from db.database import Session
from db.errors import BatchRefused, DomainError, IdTaken, Refused, VersionRequired
from db.postgres.transaction import Transaction
from db.schema.clauses import IN_TRASH
from db.tasks import statements
from db.tasks.tasks import NO_REVISION, TaskFields, as_expected, shown, unknown, uuid7

Operation = dict[str, Any]
"""One of the contract's operations: its `op`, the task's `id`, `if_match`, fields of the task."""


class Done(NamedTuple):
    """An operation that was done, and the task as it left it; none if the task was deleted."""

    task: TaskFields | None


Outcome = Done | Refused

MICROSECOND = timedelta(microseconds=1)
CONTRADICTS_ITSELF = "An operation before it, undone like all others, stands against it."
UNNAMED = "Send the task's `revision` as `if_match` of the operation."


async def run(
    database: Session,
    user_id: UUID,
    operations: Sequence[Operation],
    *,
    atomic: bool,
    requires_if_match: bool,
) -> list[Outcome]:
    """Do one after the other; if it is atomic, all of them, or none and raise `BatchRefused`."""
    outcomes: list[Outcome] = []
    async with database.transaction() as transaction:
        draft = await _begin(transaction, user_id, operations)
        for index, operation in enumerate(operations):
            outcome = _attempt(draft, index, operation, requires_if_match)
            if atomic and isinstance(outcome, Refused):
                raise BatchRefused(_without_undone(draft, outcome))
            outcomes.append(outcome)
        if draft.written:
            await transaction.fetch(
                statements.WRITE_TASKS,
                user_id=user_id,
                revision=draft.revision,
                tasks=orjson.dumps(list(draft.written.values())).decode(),
            )
    return outcomes


class Draft:
    """A user's tasks as the operations so far leave them, those in the trash among them."""

    def __init__(
        self,
        user_id: UUID,
        tasks: Iterable[TaskFields] = (),
        revision: int = NO_REVISION,
        moment: str | None = None,
    ) -> None:
        self.before: dict[str, TaskFields] = {task["id"]: task for task in tasks}
        self.tasks = dict(self.before)
        self.written: dict[str, TaskFields] = {}
        self.revision = revision
        self._user_id = user_id
        self._moment = datetime.fromisoformat(moment) if moment else datetime.min

    def at_large(self, task_id: str) -> TaskFields:
        """The task, if it is there and not in the trash."""
        task = self.tasks.get(task_id)
        if task is None or "deleted_at" in task:
            raise unknown(UUID(task_id))
        return task

    def write(self, task: TaskFields) -> TaskFields:
        """Let the task be so from the next revision on, and a little later than all before."""
        self.revision += 1
        self._moment += MICROSECOND
        if "updated_at" in task:
            before = datetime.fromisoformat(task["updated_at"])
            self._moment = max(self._moment, before + MICROSECOND)
        moment = self._moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
        task = {
            **task,
            "user_id": str(self._user_id),
            "created_at": task.get("created_at", moment),
            "updated_at": moment,
            "revision": self.revision,
        }
        if "deleted_at" in task:
            task["deleted_at"] = moment
        self.tasks[task["id"]] = self.written[task["id"]] = task
        return task


async def _begin(transaction: Transaction, user_id: UUID, operations: Sequence[Operation]) -> Draft:
    """Lock the user's row, and read what the operations are about."""
    creates = any(each["op"] == "create" for each in operations)
    lock = statements.LOCK_OR_MAKE_USER if creates else statements.LOCK_USER
    rows = await transaction.fetch(
        lock,
        statements.LOOK_FOR_TASKS,
        user_id=user_id,
        task_ids=[UUID(each["id"]) for each in operations if "id" in each],
    )
    if not rows:
        return Draft(user_id)
    moment, revision, *_ = rows[0]
    # A row without an id brings the other two alone.
    found = (dict(zip(IN_TRASH, row[2:], strict=True)) for row in rows if row[2])
    return Draft(user_id, map(shown, found), revision, moment)


def _attempt(draft: Draft, index: int, operation: Operation, requires_if_match: bool) -> Outcome:
    """Do one operation, or say why it is refused."""
    named = {name: value for name, value in operation.items() if name not in ("op", "if_match")}
    if "id" in named:
        named["id"] = str(UUID(named["id"]))
    expected = [operation["if_match"]] if "if_match" in operation else None
    try:
        if operation["op"] == "create":
            return Done(_create(draft, **named))
        if requires_if_match and expected is None:
            raise VersionRequired(UNNAMED)
        return Done(CHANGES[operation["op"]](draft, expected, **named))
    except DomainError as error:
        return Refused.because_of(error, index)


def _without_undone(draft: Draft, refused: Refused) -> Refused:
    """The same, but it shows no version of a task that is undone with the batch."""
    if refused.current is None or refused.current["id"] not in draft.written:
        return refused
    before = draft.before.get(refused.current["id"])
    return refused._replace(detail=CONTRADICTS_ITSELF, current=before)


def _create(
    draft: Draft,
    *,
    title: str,
    description: str | None = None,
    completed: bool = False,
    id: str | None = None,  # noqa: A002
) -> TaskFields:
    task_id = id or str(uuid7())
    if task_id in draft.tasks:
        raise IdTaken(f"This user has used the id {task_id}.", draft.tasks[task_id])
    return draft.write(
        {"id": task_id, "title": title, "description": description, "completed": completed}
    )


def _update(draft: Draft, expected: list[int] | None, *, id: str, **changes: Any) -> TaskFields:  # noqa: A002
    task = as_expected(draft.at_large(id), expected)
    return draft.write({**task, **changes}) if changes else task


def _toggle(draft: Draft, expected: list[int] | None, *, id: str) -> TaskFields:  # noqa: A002
    task = as_expected(draft.at_large(id), expected)
    return draft.write({**task, "completed": not task["completed"]})


def _delete(draft: Draft, expected: list[int] | None, *, id: str) -> None:  # noqa: A002
    task = as_expected(draft.at_large(id), expected)
    draft.write({**task, "deleted_at": None})


def _restore(draft: Draft, expected: list[int] | None, *, id: str) -> TaskFields:  # noqa: A002
    if id not in draft.tasks:
        raise unknown(UUID(id))
    task = as_expected(draft.tasks[id], expected)
    if "deleted_at" not in task:
        return task
    return draft.write({name: value for name, value in task.items() if name != "deleted_at"})


CHANGES: dict[str, Callable[..., TaskFields | None]] = {
    "update": _update,
    "toggle": _toggle,
    "delete": _delete,
    "restore": _restore,
}
