"""What every peer finds: a database of its own, in one of two schemas, with the same tasks.

Ids are made of numbers, so that pgbench, whose variables are numbers, can make them as well.
Every user has ten tasks, but for the reader, who has the first ten thousand.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg2
from psycopg2.extensions import make_dsn, parse_dsn
from sqlalchemy import update

from db.migrate import migrate
from db.postgres.embedded import running_postgres
from db.schema.clauses import tasks
from db.schema.rare_fields import rare_of
from tests.support.databases import compiled

FIRST = 100_000_000_000
READERS_TASKS = 10_000
WRITERS = 1_000
TASKS_A_WRITER = 10
LAST = FIRST + READERS_TASKS + WRITERS * TASKS_A_WRITER - 1
RICH_WRITERS = 100
READERS = range(READERS_TASKS)
PLAIN_OF_WRITERS = range(READERS_TASKS, LAST + 1 - FIRST - RICH_WRITERS * TASKS_A_WRITER)
RICH_OF_WRITERS = range(PLAIN_OF_WRITERS.stop, LAST + 1 - FIRST)

USER_PREFIX = "00000000-0000-7000-8000-"
TASK_PREFIX = "00000000-0000-7000-9000-"
READER = f"{USER_PREFIX}{FIRST}"

TITLE = "Buy milk and a few other things"
DESCRIPTION = "Two litres, the blue one, and whatever else there is no more of at home"

# What a tutorial would have, with the index that the list needs.
PLAIN_SCHEMA = """
    CREATE TABLE tasks (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        user_id uuid NOT NULL,
        title varchar(255) NOT NULL,
        description varchar(2000),
        completed boolean NOT NULL DEFAULT false,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now()
    );
    CREATE INDEX ON tasks (user_id, created_at DESC, id DESC);
"""
USERS = f"""
    INSERT INTO users (id, revision)
    SELECT ('{USER_PREFIX}' || {FIRST} + number)::uuid, {LAST - FIRST} + 1
      FROM generate_series(0, {WRITERS}) AS number
"""
TASKS = f"""
    INSERT INTO tasks (id, user_id, title, description, created_at, updated_at {{column}})
    SELECT ('{TASK_PREFIX}' || {FIRST} + number)::uuid,
           ('{USER_PREFIX}' || {FIRST} + greatest(0, (number - {READERS_TASKS}) / {TASKS_A_WRITER}
                                                     + (number >= {READERS_TASKS})::int))::uuid,
           '{TITLE}', '{DESCRIPTION}',
           timestamptz '2026-01-01' + number * interval '1 minute',
           timestamptz '2026-01-01' + number * interval '1 minute' {{value}}
      FROM generate_series(0, {LAST - FIRST}) AS number
"""

# A revision, and the columns that are made of it: those of an earlier schema are generated.
REVISION = {
    "column": ", revision, revision_range, completion_range",
    "value": ", number + 1, number + 1 >> 8, 0",
}
REVISION_ALONE = {"column": ", revision", "value": ", number + 1"}

LIST_ID = "00000000-0000-7000-a000-000000000001"
# Without recurrence and reminders: with them a toggle changes other rows, too.
RICH_FIELDS = f"""
    list_id = '{LIST_ID}', priority = 1 + revision % 4, tags = '["Home", "Urgent"]',
    tag_keys = '["home", "urgent"]', due_at = created_at + interval '1 month',
    due = created_at + interval '1 month'
"""
RICH_TASKS = f"""
    WITH list AS (
        INSERT INTO lists (user_id, id, title, position, revision)
        SELECT id, '{LIST_ID}', 'Work', 'a0', 1 FROM users
         ORDER BY id DESC LIMIT {RICH_WRITERS})
    UPDATE tasks
       SET {RICH_FIELDS},
           parent_id = CASE WHEN id::text NOT LIKE '%0' THEN
                       overlay(id::text placing '0' from 36)::uuid END
     WHERE revision > {RICH_OF_WRITERS.start}
"""
RARE_FIELDS = (
    compiled(update(tasks).values(rare_fields=rare_of({**tasks.c})))
    + """
     WHERE list_id IS NOT NULL
"""
)

# What is old is done.
READERS_OWN = f"""
    WITH reader AS (INSERT INTO users (id, revision) VALUES ('{READER}', {{tasks}}))
    INSERT INTO tasks (id, user_id, title, description, completed, created_at, updated_at, revision,
                       revision_range, completion_range)
    SELECT ('{TASK_PREFIX}' || {FIRST} + number)::uuid, '{READER}', '{TITLE}', '{DESCRIPTION}',
           number < {{tasks}} / 2,
           timestamptz '2026-01-01' + number * interval '1 minute',
           timestamptz '2026-01-01' + number * interval '1 minute', number + 1,
           number + 1 >> 8, 0
      FROM generate_series(0, {{tasks}} - 1) AS number
"""

TASKS_OF_EACH = 1_000
CROWD = f"""
    INSERT INTO users (id, revision)
    SELECT ('{USER_PREFIX}' || {FIRST} + number)::uuid, {TASKS_OF_EACH}
      FROM generate_series(0, {{users}} - 1) AS number
"""
THEIRS = f"""
    INSERT INTO tasks (id, user_id, title, description, created_at, updated_at, revision,
                       revision_range, completion_range)
    SELECT ('{TASK_PREFIX}' || {FIRST} + number)::uuid,
           ('{USER_PREFIX}' || {FIRST} + number % {{users}})::uuid, '{TITLE}', '{DESCRIPTION}',
           timestamptz '2026-01-01' + number * interval '1 second',
           timestamptz '2026-01-01' + number * interval '1 second', number / {{users}} + 1,
           number / {{users}} + 1 >> 8, 0
      FROM generate_series(0, {{users}} * {TASKS_OF_EACH} - 1) AS number
"""


@dataclass(frozen=True)
class Postgres:
    """A server of databases, and its process."""

    url: str
    pid: int


@contextmanager
def postgres(connections: int) -> Iterator[Postgres]:
    """A PostgreSQL that keeps what it commits."""
    with tempfile.TemporaryDirectory(prefix="errand-benchmark-") as folder:
        # The server's account must reach it, where the benchmark runs as root.
        Path(folder).chmod(0o755)
        data = Path(folder, "data")
        with running_postgres(data, durable=True, max_connections=connections) as url:
            pid = Path(data, "cluster/postmaster.pid").read_text().split()[0]
            yield Postgres(url, int(pid))


def task_id(number: int) -> str:
    """The id of the task of that number, counted from nought."""
    return f"{TASK_PREFIX}{FIRST + number}"


def owner_id(number: int) -> str:
    """The id of the task's owner."""
    if number < READERS_TASKS:
        return READER
    return f"{USER_PREFIX}{FIRST + 1 + (number - READERS_TASKS) // TASKS_A_WRITER}"


def database(server: str, name: str, *, errands: bool, migrate: Sequence[str] | None = None) -> str:
    """Make a database with all tasks, in Errand's schema or in the plain one.

    The URL is its owner's: row-level security does not apply, as for every peer and pgbench.
    """
    if errands:
        # Another version of the schema may lack the columns of a rich task.
        if migrate:
            own = [TASKS.format(**REVISION_ALONE)]
        else:
            own = [TASKS.format(**REVISION), RICH_TASKS, RARE_FIELDS]
        return errands_database(server, name, USERS, *own, command=migrate)
    url = new_database(server, name)
    run(url, PLAIN_SCHEMA, TASKS.format(column="", value=""), "VACUUM ANALYZE")
    return url


def readers_database(server: str, name: str, tasks: int) -> str:
    """Make one in Errand's schema, with so many tasks, all of them the reader's."""
    return errands_database(server, name, READERS_OWN.format(tasks=tasks))


def crowds_database(server: str, name: str, users: int) -> str:
    """Make one of so many users, who have stored their tasks in turns."""
    return errands_database(server, name, CROWD.format(users=users), THEIRS.format(users=users))


def errands_database(
    server: str, name: str, *statements: str, command: Sequence[str] | None = None
) -> str:
    """Make one in Errand's schema: that of this Python, or the one that a command makes."""
    url = new_database(server, name)
    if command is None:
        migrate(url)
    else:
        subprocess.run(command, env={**os.environ, "DATABASE_URL": url}, check=True)
    run(url, *statements, "VACUUM ANALYZE")
    return url


def new_database(server: str, name: str) -> str:
    run(server, f"CREATE DATABASE {name}")
    return make_dsn(server, dbname=name)


def run(url: str, *statements: str) -> None:
    """Run statements, each as a transaction of its own."""
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


def environment(url: str) -> dict[str, str]:
    """Where the database is, in the variables that libpq and every other driver reads."""
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "dbname": "PGDATABASE"}
    options = parse_dsn(url)
    return {variable: options[name] for name, variable in names.items()}
