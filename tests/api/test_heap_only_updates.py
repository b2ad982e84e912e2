"""A toggle writes to no index, whatever the task has."""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any
from uuid import UUID

import psycopg2
import pytest
from psycopg2.extensions import cursor

from db.schema.models import REVISION_RANGE_BITS
from db.tasks.statements import TOGGLE
from tests.support.databases import administration

OWNER, TASK = UUID(int=1), UUID(int=2)
# In the middle of a range: the first revision of the next one is written to an index.
REVISION = 300


@pytest.fixture(scope="module")
def database(new_database: Callable[[], str]) -> str:
    return new_database()


@pytest.fixture
def run(database: str) -> Iterator[cursor]:
    """A transaction in which a user has nothing yet; it is rolled back."""
    with administration(database) as execute:
        execute("TRUNCATE users CASCADE")
        execute(f"INSERT INTO users (id, revision) VALUES ('{OWNER}', {REVISION})")
    with closing(psycopg2.connect(database)) as connection, connection.cursor() as opened:
        opened.execute(f"SET errand.user_id = '{OWNER}'")
        yield opened


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"due_on": "2026-01-31"},
        {"priority": 3},
        {"tags": '["x"]', "tag_keys": '["x"]'},
        {"list_id": str(UUID(int=3)), "parent_id": str(UUID(int=4))},
    ],
    ids=str,
)
@pytest.mark.parametrize("completed", [False, True])
def test_a_toggle_is_a_heap_only_update(
    run: cursor, completed: bool, fields: dict[str, Any]
) -> None:
    since = "2026-01-31T17:00:00Z" if completed else None
    done = {"completed": completed, "completed_at": since}
    revisions = {"revision": REVISION, "completion_revision": REVISION}
    ranges = dict.fromkeys(("revision_range", "completion_range"), REVISION >> REVISION_RANGE_BITS)
    values = {"title": "x", **revisions, **ranges, **done, **fields}
    run.execute(
        f"INSERT INTO tasks (user_id, id, {', '.join(values)})"
        f" VALUES (%s, %s, {', '.join(['%s'] * len(values))})",
        [str(OWNER), str(TASK), *values.values()],
    )
    about = {"user_id": OWNER, "task_id": str(TASK), "expected": None}

    run.execute(TOGGLE.sql(about, prepared=False), {**about, "user_id": str(OWNER)})

    run.execute(
        "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_xact_user_tables WHERE relname = 'tasks'"
    )
    assert run.fetchall() == [(1, 1)]
