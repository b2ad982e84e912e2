"""Responses while the database is away, slow, or wrong."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest
from psycopg2.extensions import connection

from db.errors import DatabaseAway
from openapi.http.problems import LATEST_RETRY, problem_response
from openapi.settings import load_settings
from tests.support import http
from tests.support.databases import (
    administration,
    as_owner,
    away,
    lock_users,
    statements_that_wait,
    store_task,
    terminate_waiting,
)
from tests.support.polling import eventually
from tests.support.responses import assert_problem
from tests.support.servers import Serve, started, url_of, wait_until_ready
from tests.support.users import User

BATCH = {"operations": [{"op": "create", "title": "x"}]}


@pytest.fixture
def locked(own_database: str) -> Iterator[connection]:
    """A connection that holds the row of every user."""
    holder = psycopg2.connect(as_owner(own_database))
    yield holder
    holder.close()


def test_requests_return_503_while_the_database_is_away(
    serve: Serve, own_database: str, postgres_url: str
) -> None:
    url = serve(DATABASE_URL=own_database, ERRAND_WAIT_TIMEOUT="0.3")
    with User(url) as alice:
        wait_until_ready(url)
        task = alice.creates()

        with away(own_database, postgres_url):
            refused = [
                alice.get(alice.tasks),
                alice.get(task.url),
                alice.post(alice.tasks, json={"title": "x"}),
                alice.get("/health/ready"),
            ]
            alive = alice.get("/health/live")

        for response in refused:
            assert_problem(response, 503, "database-away")
            assert 1 <= int(response.headers["retry-after"]) <= LATEST_RETRY
        assert alive.status_code == 200
        assert eventually(lambda: alice.get("/health/ready").status_code == 200, seconds=30)
        assert alice.get(task.url).json() == task.document


def test_full_disk_returns_503_and_is_logged_once(own_database: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = started(log=log, DATABASE_URL=own_database)
    with User(url_of(process)) as alice, administration(own_database) as execute:
        task = alice.creates()
        execute(
            "CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$"
        )
        execute("CREATE TRIGGER fill BEFORE INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION fill()")

        refused = [alice.post(alice.tasks, json={"title": "x"}) for _ in range(10)]

        assert alice.get(task.url).status_code == 200
        execute("DROP TRIGGER fill ON tasks")
        alice.creates()
    process.terminate()
    process.communicate(timeout=20)
    for response in refused:
        assert_problem(response, 503, "database-failing")
        assert "retry-after" in response.headers
    logged = log.read_text()
    assert logged.count("could not extend file") == 1
    assert "Traceback" not in logged


def test_write_whose_connection_breaks_returns_outcome_unknown(
    serve: Serve, own_database: str, locked: connection, postgres_url: str
) -> None:
    with User(serve(DATABASE_URL=own_database)) as alice, ThreadPoolExecutor(1) as pool:
        task = alice.creates()
        lock_users(locked)

        waiting = pool.submit(alice.put, task.url, json={"title": "x"})
        terminate_waiting(own_database, postgres_url)

        assert_problem(waiting.result(), 503, "outcome-unknown")


def test_statement_over_its_timeout_returns_503(
    serve: Serve, own_database: str, locked: connection
) -> None:
    url = serve(DATABASE_URL=own_database, ERRAND_STATEMENT_TIMEOUT="0.3")
    with User(url) as alice:
        task = alice.creates()
        lock_users(locked)

        response = alice.put(task.url, json={"title": "x"})

        assert_problem(response, 503, "database-too-slow")
        assert "0.3 s" in response.json()["detail"]
        assert eventually(lambda: not statements_that_wait(locked))
        locked.rollback()
        assert alice.get(task.url).json() == task.document


def test_requests_wait_for_a_connection_until_the_wait_timeout(
    serve: Serve, own_database: str, locked: connection
) -> None:
    url = serve(DATABASE_URL=own_database, ERRAND_POOL_SIZE="1", ERRAND_WAIT_TIMEOUT="0.3")
    with User(url) as alice, ThreadPoolExecutor(2) as pool:
        wait_until_ready(url)
        task = alice.creates()
        lock_users(locked)

        holding = pool.submit(alice.put, task.url, json={"title": "x"})
        assert eventually(lambda: alice.get(task.url).status_code == 503)
        locked.rollback()

        assert holding.result().status_code == 200


def test_a_user_whose_row_is_locked_does_not_stop_the_others(
    serve: Serve, own_database: str, locked: connection
) -> None:
    url = serve(DATABASE_URL=own_database, ERRAND_POOL_SIZE="2", ERRAND_STATEMENT_TIMEOUT="30")
    with User(url) as alice, User(url) as bob, ThreadPoolExecutor(16) as pool:
        task, others = alice.creates(), bob.creates()
        writes = [
            lambda: alice.patch(f"{task.url}/complete"),
            lambda: alice.post(alice.tasks, json={"title": "x"}),
            lambda: alice.post(f"{alice.tasks}/batch", json=BATCH),
            lambda: alice.post(
                alice.tasks, json={"title": "x"}, headers={"Idempotency-Key": str(uuid4())}
            ),
        ]
        with locked.cursor() as cursor:
            cursor.execute("SELECT FROM users WHERE id = %s FOR UPDATE", [alice.id])
        waiting = [pool.submit(writes[number % 4]) for number in range(16)]
        assert eventually(lambda: statements_that_wait(locked) > 0)

        for _ in range(5):
            assert alice.get(task.url, timeout=5).json() == task.document
            assert bob.get(others.url, timeout=5).status_code == 200
            assert bob.patch(f"{others.url}/complete", timeout=5).status_code == 200
        assert statements_that_wait(locked) == 1
        locked.rollback()

        assert {each.result().status_code for each in waiting} == {200, 201}


def test_a_request_waits_a_second_by_default() -> None:
    settings = load_settings()

    assert 0.1 <= settings.overload_timeout < settings.wait_timeout <= 1


def test_clients_that_are_refused_together_are_not_to_return_together() -> None:
    responses = [problem_response(DatabaseAway("x"), "x", "x") for _ in range(100)]

    waits = {int(dict(each.headers)[b"retry-after"]) for each in responses}
    assert waits <= {*range(1, LATEST_RETRY + 1)}
    assert len(waits) > 2


def test_response_that_breaks_the_contract_is_a_logged_500(
    new_database: Callable[[], str], tmp_path: Path
) -> None:
    database_url, log = new_database(), tmp_path / "log"
    user_id, task_id = uuid4(), uuid4()
    with administration(database_url) as execute:
        store_task(execute, user_id, task_id, title="")
    process = started(log=log, DATABASE_URL=database_url)

    response = http.get(f"{url_of(process)}/api/{user_id}/tasks/{task_id}")

    process.terminate()
    process.communicate(timeout=20)
    problem = assert_problem(response, 500, "internal-error")
    assert problem["detail"] == "An unexpected error occurred. The server has logged it."
    assert problem["request_id"] in log.read_text()
    assert "get_task" in log.read_text()
