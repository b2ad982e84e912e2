"""Bugs of writes: versions, locks, revisions, retries, batches."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import count
from typing import Any
from uuid import UUID

from db.database import Session
from db.errors import BatchRefused, Refused
from db.postgres.owner_locks import OwnerLocks
from db.tasks import batches, moves, rules, statements, tasks
from db.tasks.draft import Event
from handlers import tasks as handlers
from handlers.context import Context
from openapi.http.response import Response
from openapi.operations import idempotency
from openapi.operations.idempotency import ARGUMENT, Arguments, Handle, Idempotency
from tests.proof.sabotage.bugs import Bug, replaced, rewritten

FEW = 5
NEXT = "revision=(users.revision + 1)"


def _ignores_if_match() -> None:
    replaced(handlers, "expected_revisions", lambda _: lambda _header: None)


def _compares_before_the_write() -> None:
    def made(update: Any) -> Any:
        async def checked(
            database: Session, user_id: UUID, task_id: UUID, changes: Any, *, expected: Any = None
        ) -> Any:
            tasks.as_expected(await tasks.get(database, user_id, task_id), expected)
            return await update(database, user_id, task_id, changes)

        return checked

    replaced(tasks, "update", made)


def _batches_take_no_lock() -> None:
    @asynccontextmanager
    async def held(_: OwnerLocks, _owner: int, _deadline: float) -> AsyncIterator[None]:
        yield

    replaced(OwnerLocks, "hold", lambda _: held)
    rewritten(statements.LOCK_USER, "FOR UPDATE", "")


def _uses_a_revision_twice() -> None:
    rewritten(statements.TOGGLE, NEXT, "revision=users.revision")


def _goes_back_in_revisions() -> None:
    rewritten(statements.UPDATE, NEXT, "revision=(users.revision - 7)")


def _forgets_some_updates() -> None:
    numbers = count(1)

    def made(update: Any) -> Any:
        async def sometimes(
            database: Session, user_id: UUID, task_id: UUID, changes: Any, **options: Any
        ) -> Any:
            if next(numbers) % FEW:
                return await update(database, user_id, task_id, changes, **options)
            task = await tasks.get(database, user_id, task_id)
            tasks.as_expected(task, options.get("expected"))
            return {**task, **changes, "revision": task["revision"] + 1}

        return sometimes

    replaced(tasks, "update", made)


def _ignores_idempotency_keys() -> None:
    async def respond(
        _: Idempotency, context: Context, arguments: Arguments, handle: Handle
    ) -> Response:
        arguments.pop(ARGUMENT)
        return await handle(context, arguments)

    replaced(Idempotency, "respond", lambda _: respond)


def _takes_any_request_for_a_repeated_one() -> None:
    replaced(idempotency, "_fingerprint", lambda _: lambda _operation, _arguments: b"same")


def _repeats_refusals_anew() -> None:
    def made(process: Any) -> Any:
        async def raising(self: Idempotency, transaction: Any, work: Any, _: str) -> Any:
            async with transaction.savepoint():
                return await work

        del process
        return raising

    replaced(Idempotency, "_process", made)


def _keeps_half_of_a_refused_batch() -> None:
    def made(run: Any) -> Any:
        async def halved(database: Session, *arguments: Any, atomic: bool, **options: Any) -> Any:
            outcomes = await run(database, *arguments, atomic=False, **options)
            for each in outcomes:
                if atomic and isinstance(each, Refused):
                    raise BatchRefused(each)
            return outcomes

        return halved

    replaced(batches, "run", made)


def _loses_tags_in_the_trash() -> None:
    def made(restored: Any) -> Any:
        def without_tags(task: Any, changes: Mapping[str, Any]) -> Event:
            event: Event = restored(task, {**changes, "tags": []})
            return event

        return without_tags

    replaced(rules, "_restored", made)


def _moves_to_the_other_side() -> None:
    def made(placed: Any) -> Any:
        async def mirrored(
            transaction: Any, user_id: UUID, task: Any, side: str | None, named: Any
        ) -> Any:
            other = {moves.BEFORE: moves.AFTER, moves.AFTER: moves.BEFORE}
            return await placed(transaction, user_id, task, other.get(side or ""), named)

        return mirrored

    replaced(moves, "_placed", made)


def _strips_texts() -> None:
    def made(create: Any) -> Any:
        def stripped(database: Session, user_id: UUID, fields: Any, **options: Any) -> Any:
            texts = {name: each.strip() for name, each in fields.items() if isinstance(each, str)}
            return create(database, user_id, {**fields, **texts}, **options)

        return stripped

    replaced(tasks, "create", made)


BUGS = (
    Bug("If-Match is ignored", _ignores_if_match),
    Bug("a version is compared before the write, not with it", _compares_before_the_write),
    Bug("a batch takes no lock", _batches_take_no_lock),
    Bug("a toggle takes the revision of another write", _uses_a_revision_twice),
    Bug("an update takes an earlier revision", _goes_back_in_revisions),
    Bug("one of five updates is confirmed without a write", _forgets_some_updates),
    Bug("Idempotency-Key is ignored", _ignores_idempotency_keys),
    Bug("any request may repeat a key", _takes_any_request_for_a_repeated_one),
    Bug("a refusal is not stored with its key", _repeats_refusals_anew),
    Bug("a refused batch keeps what was done before", _keeps_half_of_a_refused_batch),
    Bug("a restored task has lost its tags", _loses_tags_in_the_trash),
    Bug("a task moves to the other side", _moves_to_the_other_side),
    Bug("spaces around texts are removed", _strips_texts),
)
