"""Requests with an Idempotency-Key, and what is stored of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
from psycopg2.extensions import connection

from tests.support.databases import query, query_as_owner, statements_that_wait
from tests.support.polling import eventually
from tests.support.users import Task, User

MILK = {"title": "Buy milk"}

BEFORE_THE_WRITE = "SELECT FROM users WHERE id = %s FOR UPDATE"
AFTER_THE_WRITE = (
    "INSERT INTO replays VALUES (%s, '8e03978e', 'x', 200, '[]', 'x', 'tomorrow') RETURNING key"
)


def key(name: object = "8e03978e") -> dict[str, str]:
    """The header with that key."""
    return {"Idempotency-Key": str(name)}


def toggle(user: User, task: Task, name: object = "8e03978e") -> httpx.Response:
    """Toggle a task with that key."""
    return user.patch(f"{task.url}/complete", headers=key(name))


def comparable(response: httpx.Response) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """The response without its date and its mark of a replay."""
    headers = [
        (name.lower(), value)
        for name, value in response.headers.raw
        if name.lower() not in (b"date", b"idempotency-replayed")
    ]
    return response.status_code, headers, response.content


def assert_replayed(again: httpx.Response, first: httpx.Response) -> None:
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert comparable(again) == comparable(first)


def titles(user: User) -> list[str]:
    return sorted(task["title"] for task in user.get(user.tasks).json())


@contextmanager
def blocked_write(user: User, opened: connection, lock: str) -> Iterator[Callable[[], None]]:
    """Hold a lock that the user's next write needs; yields a function that waits for that write."""
    user.creates("first")
    query(opened, lock, user.id)
    yield lambda: _wait_until_blocked(opened)
    opened.rollback()


def _wait_until_blocked(opened: connection) -> None:
    assert eventually(lambda: statements_that_wait(opened) > 0)


def retried(send: Callable[[], httpx.Response]) -> httpx.Response:
    """The response to a request that is sent again while it returns 409 or 503."""
    responses: list[httpx.Response] = []

    def is_over() -> bool:
        responses.append(send())
        return responses[-1].status_code not in (409, 503)

    assert eventually(is_over), responses
    return responses[-1]


def stored_keys(user: User, url: str) -> list[str]:
    """The keys of the user's stored responses."""
    return query_as_owner(url, "SELECT key FROM replays WHERE user_id = %s", user.id)


def make_older(url: str, user: User, interval: str) -> None:
    """Make the user's stored responses that much older."""
    query_as_owner(
        url,
        "UPDATE replays SET expires_at ="
        " (expires_at AT TIME ZONE 'UTC' - %s::interval) AT TIME ZONE 'UTC' WHERE user_id = %s",
        interval,
        user.id,
    )
