"""Requests that race for certain: all have begun before the first can go on."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx
import psycopg2

from tests.support.databases import as_owner
from tests.support.users import User

# As many as a server has connections, by default: the rest could only begin later.
RACERS = 8
WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    " AND datname = current_database()"
)


def race(
    user: User, database_url: str, requests: Sequence[Callable[[], httpx.Response]]
) -> list[httpx.Response]:
    """Hold the row that every write of this user needs until all of them wait for it."""
    assert len(requests) <= RACERS
    holder = psycopg2.connect(as_owner(database_url))
    with ThreadPoolExecutor(len(requests)) as pool, holder.cursor() as cursor:
        cursor.execute("SELECT FROM users WHERE id = %s FOR UPDATE", [user.id])
        racing = [pool.submit(request) for request in requests]
        wait_for(database_url, len(requests))
        holder.commit()
        answers = [each.result() for each in racing]
    holder.close()
    return answers


def wait_for(database_url: str, waiting: int) -> None:
    watch = psycopg2.connect(as_owner(database_url))
    watch.autocommit = True
    with watch.cursor() as cursor:
        deadline = time.monotonic() + 20
        while True:
            cursor.execute(WAITING)
            if cursor.fetchone() == (waiting,):
                break
            assert time.monotonic() < deadline, "they do not race"
            time.sleep(0.01)
    watch.close()
