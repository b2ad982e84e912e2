"""What tests do with a database without the server."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any
from uuid import uuid4

import psycopg2
from psycopg2.extensions import connection, cursor, make_dsn, parse_dsn
from sqlalchemy import ClauseElement, func, update
from sqlalchemy.dialects import postgresql

from db.postgres.embedded_server import NAME as OWNER
from db.postgres.roles import as_application
from db.schema.clauses import due_of, range_of, tasks
from db.schema.fields import RARE_FIELDS
from db.schema.rare_fields import rare_of
from tests.support.polling import eventually

DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]
TERMINATE_ALL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'"
MANY_TASKS = """
    INSERT INTO tasks (user_id, id, title, description, revision)
    SELECT '{0}', gen_random_uuid(), 'Task ' || number, repeat('x', 100), number
      FROM generate_series(1, 100000) AS number;
    UPDATE users SET task_count = task_count + 100000 WHERE id = '{0}'
"""
"""For a user who has a row: tasks that no server has written."""


def compiled(clause: ClauseElement) -> str:
    """The SQL of a clause without parameters."""
    return str(clause.compile(dialect=DIALECT))


COMPUTED = {
    "due": due_of(tasks.c.due_on, tasks.c.due_at),
    "rare_fields": func.rare_fields_of(*(tasks.c[name] for name in RARE_FIELDS)),
    "revision_range": range_of(tasks.c.revision),
    "completion_range": range_of(tasks.c.completion_revision),
}
HAS_TASKS = "SELECT to_regclass('tasks') IS NOT NULL AND to_regproc('rare_fields_of') IS NOT NULL"
COMPUTE_COLUMNS = compiled(update(tasks).values(COMPUTED))
"""What follows a write of a test's own; the statements of `db` compute these columns."""


@contextmanager
def administration(url: str) -> Iterator[Callable[[str], None]]:
    """Run statements as the owner of the tables, outside of a transaction.

    Tasks that they insert have the computed columns at the end.
    """
    connection = psycopg2.connect(as_owner(url))
    connection.autocommit = True
    try:
        with connection.cursor() as opened:
            yield opened.execute
            with suppress(psycopg2.OperationalError):  # some tests end the database meanwhile
                _compute_missing(opened)
    finally:
        connection.close()


def _compute_missing(opened: cursor) -> None:
    opened.execute(HAS_TASKS)
    if opened.fetchone() != (True,):
        return
    opened.execute("SELECT count(*) FROM tasks WHERE revision_range IS NULL")
    if opened.fetchone() != (0,):
        opened.execute(f"{COMPUTE_COLUMNS} WHERE revision_range IS NULL")


def create_rare_fields_of(url: str) -> None:
    """Create the function that `COMPUTE_COLUMNS` calls: a cluster wants an immutable one there."""
    parameters = [f"{name} {tasks.c[name].type.compile(DIALECT)}" for name in RARE_FIELDS]
    value = compiled(rare_of({**tasks.c})).replace("tasks.", "rare_fields_of.")
    query_as_owner(
        url,
        f"CREATE FUNCTION rare_fields_of({', '.join(parameters)}) RETURNS json"
        f" LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN {value}; END $$",
    )


def query(opened: connection, sql: str, *values: Any) -> list[Any]:
    """The first column of what a statement returns."""
    with opened.cursor() as reading:
        reading.execute(sql, values)
        return [row[0] for row in reading.fetchall()] if reading.description else []


def query_as_owner(url: str, sql: str, *values: Any) -> list[Any]:
    """The same, on a connection of the tables' owner, in a transaction of its own."""
    with closing(psycopg2.connect(as_owner(url))) as opened, opened:
        return query(opened, sql, *values)


def store_task(execute: Callable[[str], Any], user_id: Any, task_id: Any, title: str) -> None:
    """Store a new user with one task, which no server has validated."""
    execute(f"INSERT INTO users (id) VALUES ('{user_id}')")
    execute(
        "INSERT INTO tasks (user_id, id, title, revision)"
        f" VALUES ('{user_id}', '{task_id}', '{title}', 1)"
    )


def as_owner(url: str) -> str:
    """The same database as its owner, for whose role row-level security does not apply."""
    return make_dsn(url, user=OWNER)


def database_named(name: str, url: str) -> str:
    """The URL of another database of the same PostgreSQL."""
    return make_dsn(url, dbname=name)


def created_database(postgres_url: str) -> str:
    """The URL of a new database with the schema, as a server's role."""
    name = f"errand_{uuid4().hex}"
    with administration(postgres_url) as execute:
        # The other strategy would write it twice: to the log, too.
        execute(f"CREATE DATABASE {name} TEMPLATE template STRATEGY file_copy")
    return as_application(database_named(name, postgres_url))


@contextmanager
def temporary_database(postgres_url: str) -> Iterator[str]:
    """The same, which is dropped at the end: the files of many would be much to write."""
    url = created_database(postgres_url)
    yield url
    with administration(postgres_url) as execute:
        execute(f"DROP DATABASE {parse_dsn(url)['dbname']} WITH (FORCE)")


def empty_database(postgres_url: str, owner: str = OWNER) -> str:
    name = f"empty_{uuid4().hex}"
    with administration(postgres_url) as execute:
        execute(f"CREATE DATABASE {name} OWNER {owner}")
    return database_named(name, postgres_url)


@contextmanager
def away(database_url: str, postgres_url: str) -> Iterator[None]:
    """The database cannot be reached meanwhile."""
    name = parse_dsn(database_url)["dbname"]
    with administration(postgres_url) as execute:
        execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        # A connection that was just being made is not seen at first.
        for _ in range(3):
            execute(TERMINATE_ALL.format(name))
            time.sleep(0.1)
        yield
        execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


def lock_users(holder: connection) -> None:
    with holder.cursor() as cursor:
        cursor.execute("SELECT FROM users FOR UPDATE")


WAITING = """
    SELECT count(*) FROM pg_stat_activity
     WHERE datname = current_database() AND wait_event_type = 'Lock'
"""
ON_ALL_NODES = f"SELECT sum(result::integer) FROM run_command_on_all_nodes($$ {WAITING} $$)"


def statements_that_wait(holder: connection) -> int:
    """The number of statements that wait for a lock, on a cluster those of all nodes."""
    with holder.cursor() as cursor:
        # Within a transaction the activity would stay as it was when first looked at.
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute("SELECT to_regproc('run_command_on_all_nodes') IS NOT NULL")
        [(is_cluster,)] = cursor.fetchall()
        cursor.execute(ON_ALL_NODES if is_cluster else WAITING)
        return int(cursor.fetchall()[0][0])


def terminate_waiting(database_url: str, postgres_url: str) -> None:
    """End the connection that waits for a lock, as soon as there is one."""
    name = parse_dsn(database_url)["dbname"]
    with psycopg2.connect(postgres_url) as other, other.cursor() as cursor:

        def ended() -> bool:
            cursor.execute("SELECT pg_stat_clear_snapshot()")
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = %s AND wait_event_type = 'Lock'",
                [name],
            )
            return bool(cursor.fetchall())

        assert eventually(ended)
    other.close()
