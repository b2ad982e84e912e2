"""Behind a pooler that gives each transaction another connection."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import psycopg2
import pytest
from psycopg2.extensions import connection

from tests.support.pooler import needs_pgbouncer, pooler_to
from tests.support.servers import Serve, errand, started, url_of
from tests.support.users import User

pytestmark = needs_pgbouncer


@pytest.fixture
def pooler_url(new_database: Callable[[], str]) -> Iterator[str]:
    """PgBouncer in transaction mode, with fewer connections than Errand asks it for."""
    with pooler_to(new_database(), "transaction") as pooler:
        yield pooler.url


def test_pooler_never_mixes_owners_of_statements(serve: Serve, pooler_url: str) -> None:
    server = serve(DATABASE_URL=pooler_url)
    with ExitStack() as stack:
        people = [stack.enter_context(User(server)) for _ in range(8)]
        pool = stack.enter_context(ThreadPoolExecutor(8))

        def lives(person: User) -> bool:
            own = {person.creates(str(number)).document["id"] for number in range(20)}
            return own == {each["id"] for each in person.get(person.tasks).json()}

        assert all(pool.map(lives, people))
        strangers = [stack.enter_context(closing(psycopg2.connect(pooler_url))) for _ in range(2)]
        seen = [rows_seen_by(stranger) for stranger in strangers]

    # Their transactions are open at once, so that each has one of the pooler's two connections.
    assert seen == [("", 0)] * 2


def rows_seen_by(stranger: connection) -> tuple[str, int]:
    with stranger.cursor() as cursor:
        cursor.execute("SELECT current_setting('errand.user_id', true), count(*) FROM tasks")
        owner, count = cursor.fetchall()[0]
    return owner, count


def test_idempotency_keys_need_no_connection_of_their_own(serve: Serve, pooler_url: str) -> None:
    server = serve(DATABASE_URL=pooler_url)
    with User(server) as alice, ThreadPoolExecutor(16) as pool:

        def create(number: int) -> int:
            key = {"Idempotency-Key": str(number % 20)}
            body = {"title": str(number % 20)}
            return alice.post(alice.tasks, json=body, headers=key).status_code

        answers = list(pool.map(create, range(200)))
        titles = [task["title"] for task in alice.get(alice.tasks).json()]

    assert set(answers) <= {201, 409}
    assert sorted(titles) == sorted(map(str, range(20)))


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_statements_are_not_prepared_behind_a_pooler(
    new_database: Callable[[], str], tmp_path: Path, mode: str
) -> None:
    with pooler_to(new_database(), mode) as pooler:
        assert_nothing_is_prepared(pooler.url, tmp_path / "log")


def assert_nothing_is_prepared(pooler_url: str, log: Path) -> None:
    process = started(log=log, DATABASE_URL=pooler_url, ERRAND_POOL_SIZE="2")
    with User(url_of(process)) as alice, ThreadPoolExecutor(16) as pool:
        created = list(pool.map(lambda number: alice.creates(str(number)), range(200)))
        toggled = list(pool.map(lambda task: alice.patch(f"{task.url}/complete"), created))
        deleted = list(pool.map(lambda task: alice.delete(task.url), created[:100]))
        left = alice.get(alice.tasks, params={"limit": 100}).json()
    process.terminate()
    process.communicate(timeout=20)

    assert {response.status_code for response in toggled} == {200}
    assert {response.status_code for response in deleted} == {204}
    assert {task["id"] for task in left} == {task.document["id"] for task in created[100:]}
    assert all(task["completed"] for task in left)
    assert log.read_text().count("there is a connection pooler") == 1


def test_pooler_in_statement_mode_stops_the_start(new_database: Callable[[], str]) -> None:
    with pooler_to(new_database(), "statement") as pooler:
        ended = errand("serve", DATABASE_URL=pooler.url, ERRAND_PORT="0")

    assert (ended.returncode, ended.stdout) == (1, "")
    error = ended.stderr.splitlines()[-1]
    assert error.startswith("Error: A statement cannot run in a transaction: ")
    assert "A pooler must run in session or transaction mode" in error
