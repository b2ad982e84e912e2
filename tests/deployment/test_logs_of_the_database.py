"""What PostgreSQL logs of users' texts: no refusal of every day fails in SQL."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest
from psycopg2.extensions import parse_dsn

from tests.support.databases import administration, as_owner
from tests.support.polling import eventually
from tests.support.project import ROOT
from tests.support.servers import Serve
from tests.support.users import User

SECURITY = ROOT / "SECURITY.md"
# PostgreSQL's own defaults, of which the embedded one's are stricter.
LOGGED = {"log_min_messages": "warning", "log_min_error_statement": "error"}


@pytest.fixture
def logging_url(new_database: Callable[[], str]) -> str:
    """A database whose errors are logged with their statements, as they are by default."""
    url = new_database()
    with administration(url) as execute:
        for name, level in LOGGED.items():
            execute(f"ALTER ROLE errand_app IN DATABASE {database_of(url)} SET {name} = '{level}'")
    return url


def database_of(url: str) -> str:
    return str(parse_dsn(url)["dbname"])


@pytest.fixture
def log(logging_url: str) -> Iterator[Callable[[], str]]:
    """What has been logged since the test began."""
    with psycopg2.connect(as_owner(logging_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW log_directory")
        folder = Path(cursor.fetchall()[0][0])
    connection.close()
    sizes = {path: path.stat().st_size for path in folder.iterdir()}

    def read() -> str:
        return "".join(
            path.read_bytes()[sizes.get(path, 0) :].decode() for path in folder.iterdir()
        )

    yield read


def test_what_fails_in_sql_is_logged_with_its_texts(
    logging_url: str, log: Callable[[], str]
) -> None:
    with pytest.raises(psycopg2.Error), psycopg2.connect(logging_url) as connection:
        connection.cursor().execute("SELECT 'private' FROM nowhere")

    assert eventually(lambda: "private" in log())


def test_the_settings_of_this_page_keep_texts_out_of_the_log(
    logging_url: str, log: Callable[[], str]
) -> None:
    [statements] = re.findall(r"```sql\n(.+?)```", SECURITY.read_text(), re.DOTALL)
    in_database = f"errand_app IN DATABASE {database_of(logging_url)} SET"
    with administration(logging_url) as execute:
        execute(statements.replace("errand_app SET", in_database))

    for statement in ("SELECT 'private' FROM nowhere", "SELECT 'private'::int"):
        with pytest.raises(psycopg2.Error), psycopg2.connect(logging_url) as connection:
            connection.cursor().execute(statement)
    with administration(logging_url) as execute:
        execute("DO $$BEGIN RAISE LOG 'the end'; END$$")

    assert eventually(lambda: "the end" in log())
    assert "private" not in log()


def test_no_refusal_of_every_day_fails_in_sql(
    serve: Serve, logging_url: str, log: Callable[[], str]
) -> None:
    server = serve(DATABASE_URL=logging_url)
    with User(server) as alice, User(server) as newcomer, ThreadPoolExecutor(8) as pool:
        task = alice.creates("private")
        statuses = [
            send(user, key)
            for send in (
                missing_task_is_changed,
                missing_task_is_deleted,
                stale_task_is_changed,
                id_is_taken,
                batch_is_refused,
            )
            for user in (alice, newcomer)
            for key in ({}, {"Idempotency-Key": uuid4().hex})
        ]
        repeated = list(pool.map(lambda _: creates_under_one_key(alice), range(8)))
        alice.delete(task.url)
        alice.delete(f"/api/{alice.id}")
        erased = missing_task_is_changed(alice, {"Idempotency-Key": uuid4().hex})

    assert {*statuses, erased} == {404, 409, 412}
    assert set(repeated) <= {201, 409}
    with pytest.raises(psycopg2.Error), psycopg2.connect(logging_url) as connection:
        connection.cursor().execute("SELECT 'the end' FROM nowhere")
    assert eventually(lambda: "the end" in log())
    assert "private" not in log()
    assert log().count("ERROR") == 1


def missing_task_is_changed(user: User, key: dict[str, str]) -> int:
    body = {"title": "private"}
    return user.put(f"{user.tasks}/{uuid4()}", json=body, headers=key).status_code


def missing_task_is_deleted(user: User, key: dict[str, str]) -> int:
    return user.delete(f"{user.tasks}/{uuid4()}", headers=key).status_code


def stale_task_is_changed(user: User, key: dict[str, str]) -> int:
    task, body = user.creates("private"), {"title": "private"}
    return user.put(task.url, json=body, headers={"If-Match": '"0"', **key}).status_code


def id_is_taken(user: User, key: dict[str, str]) -> int:
    task = user.creates("private")
    body = {"id": task.document["id"], "title": "private, too"}
    return user.post(user.tasks, json=body, headers=key).status_code


def batch_is_refused(user: User, key: dict[str, str]) -> int:
    operations = [
        {"op": "create", "title": "private"},
        {"op": "update", "id": str(uuid4()), "title": "private"},
    ]
    path = f"{user.tasks}/batch"
    return user.post(path, json={"operations": operations}, headers=key).status_code


def creates_under_one_key(user: User) -> int:
    key = {"Idempotency-Key": "the-same"}
    return user.post(user.tasks, json={"title": "private"}, headers=key).status_code
