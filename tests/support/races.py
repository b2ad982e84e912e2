"""Requests that race for certain: several servers have begun one before the first can go on."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle, repeat

import httpx
import psycopg2

from tests.support.databases import as_owner, statements_that_wait
from tests.support.users import User

RACERS = 8


@dataclass
class Servers:
    """Several servers on one database."""

    urls: list[str]
    database_url: str


def race(
    user: User, servers: Servers, requests: Sequence[Callable[[], httpx.Response]]
) -> list[httpx.Response]:
    """Hold the row that every write of this user needs until each server waits for it.

    Within one server the user's writes run one after the other: one write of each server races.
    """
    assert len(requests) <= RACERS
    holder = psycopg2.connect(as_owner(servers.database_url))
    with ThreadPoolExecutor(len(requests)) as pool, holder.cursor() as cursor:
        cursor.execute("SELECT FROM users WHERE id = %s FOR UPDATE", [user.id])
        user.next_server = cycle(servers.urls)
        racing = [pool.submit(request) for request in requests]
        wait_for(servers.database_url, len(servers.urls))
        holder.commit()
        answers = [each.result() for each in racing]
    user.next_server = repeat(servers.urls[0])
    holder.close()
    return answers


def wait_for(database_url: str, waiting: int) -> None:
    watch = psycopg2.connect(as_owner(database_url))
    watch.autocommit = True
    deadline = time.monotonic() + 20
    while statements_that_wait(watch) != waiting:
        assert time.monotonic() < deadline, "they do not race"
        time.sleep(0.01)
    watch.close()
