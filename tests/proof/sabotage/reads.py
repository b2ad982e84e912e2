"""Bugs of reads: lists, the feed, waits, other users, problem documents."""

import time
from typing import Any
from uuid import UUID

from db.tasks import feed, lists, statements, tasks
from db.tasks.change_notifications import ChangeNotifications, Waiter
from db.tasks.cursors import key_of
from db.tasks.list_queries import ListQuery
from db.tasks.tokens import Signer
from openapi.access.guard import Guard
from openapi.http.problems import Fault
from tests.proof.sabotage.bugs import Bug, replaced, rewritten

FRESH = 0.05
ADDED_HASH = "hash_of(users.revision + 1)"
NOT_REPLACED = "tasks.xmax = 0"
OPEN_POLICY = """
    DO $$
    DECLARE policy text;
    BEGIN
        FOR policy IN SELECT policyname FROM pg_policies WHERE tablename = 'tasks' LOOP
            EXECUTE format('ALTER POLICY %I ON tasks USING (true)', policy);
        END LOOP;
    END $$
"""


def _reads_from_memory() -> None:
    known: dict[UUID, tuple[float, Any]] = {}

    def made(get: Any) -> Any:
        async def remembered(database: Any, user_id: UUID, task_id: UUID) -> Any:
            read_at, task = known.get(task_id, (0.0, None))
            if task is None or time.monotonic() > read_at + FRESH:
                task = await get(database, user_id, task_id)
                known[task_id] = time.monotonic(), task
            return task

        return remembered

    replaced(tasks, "get", made)


def _reads_deleted_tasks() -> None:
    rewritten(statements.GET, "AND tasks.deleted_at IS NULL", "")


def _forgets_the_owner() -> None:
    rewritten(statements.GET, "tasks.user_id = $1::UUID AND", "$1::UUID IS NOT NULL AND")


def _opens_every_path() -> None:
    replaced(Guard, "require_path_owner", lambda _: lambda _guard, _caller, _path: None)


def _signs_for_any_user() -> None:
    def made(mac: Any) -> Any:
        def of_any_user(self: Signer, content: bytes, purpose: str, _: UUID) -> Any:
            return mac(self, content, purpose, UUID(int=0))

        return of_any_user

    replaced(Signer, "_mac", made)


def _ignores_a_filter() -> None:
    def made(of: Any) -> Any:
        def without(filters: Any, *arguments: Any, **options: Any) -> Any:
            kept = {name: value for name, value in filters.items() if name != "due_after"}
            return of(kept, *arguments, **options)

        return without

    replaced(ListQuery, "of", made)


def _leaves_out_the_last_of_a_page() -> None:
    def made(read: Any) -> Any:
        def shorter(*arguments: Any) -> Any:
            found, more_after = read(*arguments)
            return (found[:-1] if more_after and len(found) > 1 else found), more_after

        return shorter

    replaced(lists, "_read", made)


def _repeats_the_last_of_a_page() -> None:
    def made(read: Any) -> Any:
        def overlapping(owner: Any, columns: Any, limit: int, layout: Any, query: Any) -> Any:
            found, more_after = read(owner, columns, limit, layout, query)
            if more_after and len(found) > 2 and not layout.is_backwards:
                more_after = key_of(found, -2, query)
            return found, more_after

        return overlapping

    replaced(lists, "_read", made)


def _misses_toggles_in_the_digest() -> None:
    rewritten(statements.TOGGLE, ADDED_HASH, "0")


def _trusts_an_old_snapshot() -> None:
    for statement in (statements.TOGGLE, statements.UPDATE):
        rewritten(statement, NOT_REPLACED, "true")


def _goes_one_too_far() -> None:
    def made(read: Any) -> Any:
        async def skipping(database: Any, user_id: UUID, reader: Any, limit: int) -> Any:
            page, revision, after = await read(database, user_id, reader, limit)
            if page.more:
                after = after._replace(read_up_to=after.read_up_to + 1)
                page = page._replace(next=await feed._signed(database, after, user_id))
            return feed.Reading(page, revision, after)

        return skipping

    replaced(feed, "read", made)


def _hides_deletions() -> None:
    def made(read: Any) -> Any:
        async def without_tombstones(*arguments: Any) -> Any:
            page, revision, after = await read(*arguments)
            kept = [each for each in page.changes if each["kind"] != feed.TASK_TOMBSTONE_KIND]
            return feed.Reading(page._replace(changes=kept), revision, after)

        return without_tombstones

    replaced(feed, "read", made)


def _wakes_no_request() -> None:
    replaced(ChangeNotifications, "notify", lambda _: lambda _self, _user_id: None)
    replaced(Waiter, "compare", lambda _: lambda _self, _revision: None)


def _wakes_one() -> None:
    def notify(self: ChangeNotifications, user_id: UUID) -> None:
        for waiter in [*self._waiters.get(user_id, ())][:1]:
            waiter.wake()

    replaced(ChangeNotifications, "notify", lambda _: notify)
    replaced(Waiter, "compare", lambda _: lambda _self, _revision: None)


def _points_nowhere() -> None:
    replaced(Fault, "document", lambda _: lambda fault: {"detail": fault.detail})


BUGS = (
    Bug("a read is answered from memory, 50 ms late", _reads_from_memory),
    Bug("a deleted task can be read", _reads_deleted_tasks),
    Bug("a statement and a policy have forgotten the owner", _forgets_the_owner, sql=OPEN_POLICY),
    Bug("a token opens the path of another user", _opens_every_path, with_tokens=True),
    Bug("cursors are signed for any user", _signs_for_any_user),
    Bug("a filter is ignored", _ignores_a_filter),
    Bug("a page leaves its last task out", _leaves_out_the_last_of_a_page),
    Bug("a page begins with the last task of the page before", _repeats_the_last_of_a_page),
    Bug("the digest misses a toggle", _misses_toggles_in_the_digest),
    Bug("the digest is computed from an old snapshot", _trusts_an_old_snapshot, servers=2),
    Bug("a token of the feed goes one change too far", _goes_one_too_far),
    Bug("the feed does not show deletions", _hides_deletions),
    Bug("a write wakes no request", _wakes_no_request),
    Bug("a write wakes one of those who wait", _wakes_one),
    Bug("a problem does not point to its fault", _points_nowhere),
)
