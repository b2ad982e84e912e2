"""Statements that are prepared on demand: at their first call, and as long as they are in use."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from uuid import uuid4

import pytest
from sqlalchemy import Integer, literal_column, select

from db.catalogue import CATALOGUE
from db.database import Database
from db.postgres import prepared
from db.postgres.connection import Connection
from db.postgres.statement import Access, Statement
from db.tasks import lists
from db.tasks.list_queries import ListQuery
from db.tasks.list_shapes import Start
from db.tasks.list_statements import statement_of
from openapi.settings import load_settings
from tests.support.network import way_to
from tests.support.servers import PATIENT

QUERY = ListQuery.of({"completed": True}, "title", deleted=False)
NAME = statement_of(QUERY.shape(Start.FIRST)).name
COUNT = "(SELECT count(*) FROM pg_prepared_statements WHERE name {} )::integer"


def counting(condition: str) -> Statement:
    column = literal_column(COUNT.format(condition), Integer).label("count")
    return Statement(f"count_{uuid4().hex}", select(column), Access.READ)


def database_of(url: str, most_prepared: int = 64) -> Database:
    options = load_settings(database_url=url, pool_size=1, **PATIENT).pool_options()
    return Database(replace(options, most_prepared=most_prepared), CATALOGUE)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is sent to the database."""
    texts: list[str] = []
    fetch = Connection.fetch

    def recorded(self: Connection, sql: str, values: object = None) -> object:
        texts.append(sql)
        return fetch(self, sql, values)  # type: ignore[arg-type]

    monkeypatch.setattr(Connection, "fetch", recorded)
    return texts


def test_list_is_prepared_at_its_first_call_and_not_again(
    new_database: Callable[[], str], sent: list[str]
) -> None:
    async def three_pages() -> None:
        async with database_of(new_database()) as database:
            for _ in range(3):
                await lists.page(database, uuid4(), QUERY, limit=10)

    asyncio.run(three_pages())

    assert sum(f"PREPARE {NAME} " in each for each in sent) == 1
    assert [each for each in sent if each.startswith(f"EXECUTE {NAME}")] == [
        f"EXECUTE {NAME}_for_each (%(calls)s)"
    ] * 3


def test_least_recently_used_statement_is_forgotten(new_database: Callable[[], str]) -> None:
    queries = [ListQuery.of({}, sort, deleted=True) for sort in ("title", "-title", "updated_at")]
    others = [f"'{statement_of(each.shape(Start.FIRST)).name}'" for each in queries]

    async def known() -> list[int]:
        async with database_of(new_database(), most_prepared=3) as database:
            await lists.page(database, uuid4(), QUERY, limit=10)
            for query in queries[:2]:
                await lists.page(database, uuid4(), query, limit=10)
            await lists.page(database, uuid4(), QUERY, limit=10)
            # It is the fourth, as statements that count are prepared, too.
            await lists.page(database, uuid4(), queries[2], limit=10)
            await lists.page(database, uuid4(), QUERY, limit=10)
            [(left,)] = await database.fetch(counting(f"IN ({', '.join(others)}, '{NAME}')"))
            again = await lists.page(database, uuid4(), queries[0], limit=10)
            assert again.tasks.as_dicts() == []
            return [left]

    assert asyncio.run(known()) == [2]


def test_statement_that_cannot_be_prepared_runs_unprepared(
    new_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:

    def refused(self: prepared.PreparedStatements, statement: Statement, *, functions: bool) -> str:
        return "SELECT 1 / 0"

    monkeypatch.setattr(prepared.PreparedStatements, "preparation", refused)

    async def page() -> lists.TaskPage:
        async with database_of(new_database()) as database:
            return await lists.page(database, uuid4(), QUERY, limit=10)

    assert asyncio.run(page()).tasks.as_dicts() == []


def test_nothing_is_prepared_where_a_pooler_announces_its_own_process_ids(
    new_database: Callable[[], str], sent: list[str]
) -> None:
    async def page() -> lists.TaskPage:
        with way_to(new_database(), prepare=False) as url:
            async with database_of(url) as database:
                return await lists.page(database, uuid4(), QUERY, limit=10)

    assert asyncio.run(page()).tasks.as_dicts() == []
    assert not any("PREPARE" in each for each in sent)
