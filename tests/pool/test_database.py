"""The database as the data layer sees it: transactions, savepoints, observers and constants."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import pytest

from db.catalogue import CATALOGUE
from db.database import Database, Session
from db.errors import TaskNotFound
from db.postgres.connection import Connection
from db.tasks import batches, lists, statements, tasks, writes
from db.tasks.list_queries import ListQuery
from openapi.settings import load_settings
from tests.pool.scenes import on_both_loops
from tests.support.servers import PATIENT


@asynccontextmanager
async def open_database(url: str) -> AsyncIterator[Database]:
    async with Database(
        load_settings(database_url=url, pool_size=2, **PATIENT).pool_options(), CATALOGUE
    ) as it:
        yield it


@pytest.fixture(scope="module")
def url(new_database: Callable[[], str]) -> str:
    return new_database()


async def titles(database: Session, user_id: UUID) -> set[str]:
    query = ListQuery.of({}, None, deleted=False)
    page = await lists.page(database, user_id, query, limit=100)
    return {task["title"] for task in page.tasks.as_dicts()}


@on_both_loops
async def test_a_transaction_takes_effect_as_a_whole_and_is_no_concern_of_others(url: str) -> None:
    user_id = uuid4()
    async with open_database(url) as database:
        async with database.transaction(user_id) as transaction:
            await tasks.create(transaction, user_id, {"title": "x"})
            assert await titles(transaction, user_id) == {"x"}
            assert await titles(database, user_id) == set()

        assert await titles(database, user_id) == {"x"}


@on_both_loops
async def test_a_transaction_within_a_transaction_is_a_savepoint(url: str) -> None:
    user_id = uuid4()
    async with open_database(url) as database, database.transaction(user_id) as transaction:
        await tasks.create(transaction, user_id, {"title": "before"})
        with pytest.raises(TaskNotFound):
            async with transaction.transaction(user_id) as part:
                await tasks.create(part, user_id, {"title": "undone"})
                await tasks.get(part, user_id, uuid4())
        async with transaction.transaction(user_id) as part:
            await tasks.create(part, user_id, {"title": "after"})

        assert await titles(transaction, user_id) == {"before", "after"}


@on_both_loops
async def test_a_batch_of_rules_without_any_day_lets_other_requests_go_between(url: str) -> None:
    hopeless = {"op": "create", "title": "x", "due_on": "2024-01-01"}
    operations = [
        {**hopeless, "recurrence": f"FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30;COUNT={number}"}
        for number in range(2, 42)
    ]

    async with open_database(url) as database:
        outcomes, longest = await run_and_measure(database, uuid4(), operations)

    assert len({type(outcome) for outcome in outcomes}) == 1
    assert longest < 1 / 4


@on_both_loops
async def test_a_batch_on_many_tasks_lets_other_requests_go_between(url: str) -> None:
    user_id, parent_id, other_id = uuid4(), str(uuid4()), str(uuid4())
    create = {"op": "create", "title": "x"}
    tops = [{**create, "id": each} for each in (parent_id, other_id)]
    family = [{**create, "parent_id": parent_id}] * 100
    moves = [{"op": "update", "id": parent_id, "parent_id": other_id}] * 100

    async with open_database(url) as database:
        for operations in (tops, *[family] * 5):
            await batches.run(database, user_id, operations, atomic=True, requires_if_match=False)
        outcomes, longest = await run_and_measure(database, user_id, moves)

    assert all(isinstance(outcome, batches.Done) for outcome in outcomes)
    assert longest < 1 / 4


async def run_and_measure(
    database: Database, user_id: UUID, operations: list[batches.Operation]
) -> tuple[list[batches.Outcome], float]:
    """The outcomes of a batch, and which part of its time was the longest without a pause."""
    stretches = [0.0]

    async def measure() -> None:
        while True:
            begun = time.thread_time()
            await asyncio.sleep(0)
            stretches.append(time.thread_time() - begun)

    measuring = asyncio.create_task(measure())
    begun = time.thread_time()
    outcomes = await batches.run(
        database, user_id, operations, atomic=False, requires_if_match=False
    )
    whole = time.thread_time() - begun
    measuring.cancel()
    return outcomes, max(stretches) / whole


@on_both_loops
async def test_observers_are_called_after_each_write(url: str) -> None:
    user_id, written = uuid4(), list[UUID]()
    async with open_database(url) as database:
        database.observe_writes(written.append)

        task = await tasks.create(database, user_id, {"title": "x"})
        written.clear()
        await writes.toggle(database, user_id, UUID(task["id"]))
        await tasks.get(database, user_id, UUID(task["id"]))
        await tasks.create(database, user_id, {"title": "y"})

    assert written == [user_id] * 2


@on_both_loops
async def test_observers_are_called_after_the_commit_of_a_transaction(url: str) -> None:
    user_id, written = uuid4(), list[UUID]()
    async with open_database(url) as database:
        database.observe_writes(written.append)
        async with database.transaction(user_id) as transaction:
            await tasks.create(transaction, user_id, {"title": "x"})
            await tasks.create(transaction, user_id, {"title": "y"})
            assert written == []

        assert written == [user_id]
        with pytest.raises(ZeroDivisionError):
            async with database.transaction(user_id) as transaction:
                await tasks.create(transaction, user_id, {"title": "z"})
                raise ZeroDivisionError
        assert written == [user_id]


@on_both_loops
async def test_a_constant_is_read_once(url: str) -> None:
    sent: list[str] = []
    fetch = Connection.fetch

    def recorded(self: Connection, sql: str, values: object = None) -> object:
        sent.append(sql)
        return fetch(self, sql, values)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        async with open_database(url) as database:
            first = await database.fetch_constant(statements.SIGNING_KEY)
            patch.setattr(Connection, "fetch", recorded)

            assert await database.fetch_constant(statements.SIGNING_KEY) == first
            assert sent == []
