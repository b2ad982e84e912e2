"""What a task takes in PostgreSQL."""

import argparse
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import psycopg2

from tests.bench.contestants import say
from tests.bench.data import TASKS_OF_EACH, Postgres, crowds_database

USERS = 100
TASKS = USERS * TASKS_OF_EACH
TITLE = f"storage: of {TASKS:,} tasks, which {USERS} users have stored in turns"
# The tables with what is beside their rows: free space, visibility and TOAST.
SIZES = """
    SELECT relname || CASE relkind WHEN 'r' THEN ', rows' ELSE ', index' END,
           CASE relkind WHEN 'r' THEN pg_table_size(oid) ELSE pg_relation_size(oid) END
      FROM pg_class
     WHERE oid IN ('tasks'::regclass, 'users'::regclass)
        OR oid IN (SELECT indexrelid FROM pg_index
                    WHERE indrelid IN ('tasks'::regclass, 'users'::regclass))
     ORDER BY relkind = 'i', relname
"""
TOTAL = "SELECT pg_total_relation_size('tasks') + pg_total_relation_size('users')"


@dataclass(frozen=True)
class Stored:
    """The share of one task."""

    part: str
    bytes_a_task: float


def measured(postgres: Postgres, _: argparse.Namespace) -> Iterator[Stored]:
    """The tables and each of their indexes, then all together."""
    say(f"measuring the size of {TASKS:,} tasks")
    own = crowds_database(postgres.url, "storage", USERS)
    with closing(psycopg2.connect(own)) as connection, connection.cursor() as cursor:
        cursor.execute(SIZES)
        for part, size in cursor.fetchall():
            yield Stored(part, size / TASKS)
        cursor.execute(TOTAL)
        for (size,) in cursor.fetchall():
            yield Stored("all together", size / TASKS)
