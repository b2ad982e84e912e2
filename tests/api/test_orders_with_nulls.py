"""A list in the order of a field that may be null: nulls come last, and each task comes once."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from db.catalogue import CATALOGUE
from db.database import Database
from db.tasks import lists, tasks
from db.tasks.list_queries import ListQuery
from openapi.settings import load_settings
from tests.support.fields import sorted_tasks
from tests.support.servers import PATIENT

# No field on offer is null yet: this one is, and the compiler of lists takes it.
NULLABLE = "description"
TEXTS = ["b", None, "a", "b", None, "", "a", None]

Pages = list[lists.TaskPage]


async def read(database: Database, user_id: UUID, query: ListQuery, limit: int) -> list[Pages]:
    """All pages from the first to the last, and back from the last to the first."""
    there = [await lists.page(database, user_id, query, limit=limit)]
    while cursor := there[-1].next:
        there.append(await lists.page(database, user_id, query, limit=limit, cursor=cursor))
    back = []
    cursor = there[-1].previous
    while cursor:
        back.append(await lists.page(database, user_id, query, limit=limit, cursor=cursor))
        cursor = back[-1].previous
    return [there, back]


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
@pytest.mark.parametrize("sort", [NULLABLE, f"-{NULLABLE}"])
def test_nulls_come_last_in_both_directions(
    new_database: Callable[[], str], sort: str, limit: int
) -> None:
    async def run() -> tuple[list[Any], list[Pages]]:
        options = load_settings(database_url=new_database(), **PATIENT).pool_options()
        user_id = uuid4()
        async with Database(options, CATALOGUE) as database:
            created = [
                await tasks.create(database, user_id, {"title": "x", NULLABLE: text})
                for text in TEXTS
            ]
            query = ListQuery.of({}, sort, deleted=False)
            return created, await read(database, user_id, query, limit)

    created, (there, back) = asyncio.run(run())

    expected = sorted_tasks(created, sort)
    assert [task for page in there for task in page.tasks.as_dicts()] == expected
    before_last = len(expected) - len(there[-1].tasks)
    assert [task for page in reversed(back) for task in page.tasks.as_dicts()] == expected[
        :before_last
    ]
