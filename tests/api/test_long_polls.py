"""Long polls: a response waits for a change, and holds no connection meanwhile.

A long poll that is not woken responds at its deadline without changes. So a response with changes
shows by itself that the request was woken in time.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg2
import pytest

from db import users
from db.catalogue import CATALOGUE
from db.citus.opening import database_at
from db.database import Database
from db.errors import ChangesForgotten
from db.tasks import batches, change_notifications, feed, tasks, writes
from db.tasks.change_notifications import INTERVAL, ChangeNotifications
from openapi.settings import load_settings
from tests.support.databases import administration, away
from tests.support.feed import changed
from tests.support.issuer import Issuer
from tests.support.polling import eventually
from tests.support.servers import PATIENT, Serve, started, url_of, wait_until_ready
from tests.support.users import Task, User
from tests.support.wire import request, wire_to

A_POLL_LATER = INTERVAL + 1
DEADLINE = 9


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Clients that send requests at the same time."""
    with ThreadPoolExecutor(32) as pool:
        yield pool


def changes(user: User, **parameters: Any) -> httpx.Response:
    return user.get(f"/api/{user.id}/changes", params=parameters)


def newest_token(user: User) -> str:
    """The token of a client that has read all changes."""
    token: str = changes(user, limit=1000).json()["next"]
    return token


def long_poll(pool: ThreadPoolExecutor, user: User) -> "Future[httpx.Response]":
    """A long poll that the server has begun to serve."""
    [polling] = long_polls(pool, [user])
    return polling


def long_polls(pool: ThreadPoolExecutor, users: list[User]) -> list["Future[httpx.Response]"]:
    since = newest_token(users[0])
    polling = [pool.submit(changes, user, since=since, wait=DEADLINE) for user in users]
    time.sleep(0.3)
    assert not any(each.done() for each in polling)
    return polling


# Through HTTP


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_write_ends_a_long_poll(
    alice: User, task: Task, pool: ThreadPoolExecutor, method: str
) -> None:
    url = {"POST": alice.tasks, "PATCH": f"{task.url}/complete"}.get(method, task.url)
    body = {"title": "x"} if method in ("POST", "PUT") else None
    polling = long_poll(pool, alice)

    alice.request(method, url, json=body)

    assert len(polling.result().json()["changes"]) == 1


def test_a_long_poll_without_changes_ends_at_its_deadline(alice: User) -> None:
    alice.creates()
    since = newest_token(alice)
    begun = time.monotonic()

    page = changes(alice, since=since, wait=1).json()

    assert time.monotonic() - begun >= 1
    assert (page["changes"], page["more"]) == ([], False)
    task = alice.creates()
    assert changes(alice, since=page["next"]).json()["changes"] == [changed(task.document)]


def test_a_write_of_another_user_wakes_no_long_poll(
    alice: User, bob: User, pool: ThreadPoolExecutor
) -> None:
    polling = long_poll(pool, alice)
    bob.creates()

    time.sleep(A_POLL_LATER)
    assert not polling.done()
    alice.creates()
    assert polling.result().json()["changes"]


def test_a_write_through_another_server_ends_a_long_poll(
    alice: User, serve: Serve, database_url: str, pool: ThreadPoolExecutor
) -> None:
    other_server = serve(DATABASE_URL=database_url)
    polling = long_poll(pool, alice)

    with User(other_server) as user:
        task = user.post(alice.tasks, json={"title": "x"}).json()

    assert polling.result().json()["changes"] == [changed(task)]


def test_a_long_poll_of_a_user_who_is_erased_is_refused(
    alice: User, pool: ThreadPoolExecutor, database_url: str
) -> None:
    alice.creates()
    polling = long_poll(pool, alice)

    with administration(database_url) as execute:
        execute(f"DELETE FROM users WHERE id = '{alice.id}'")

    assert polling.result().status_code == 410


def test_a_long_poll_holds_no_connection(serve: Serve, pool: ThreadPoolExecutor) -> None:
    server = serve(ERRAND_POOL_SIZE="1", ERRAND_WAIT_TIMEOUT="1")
    with User(server) as alice, User(server) as bob:
        polling = long_polls(pool, [alice] * 5)
        for number in range(50):
            bob.creates(str(number))
        assert not any(each.done() for each in polling)

        task = alice.creates()

        for each in polling:
            assert each.result().json()["changes"] == [changed(task.document)]


def test_a_long_poll_survives_a_database_that_is_away_for_a_moment(
    serve: Serve,
    new_database: Callable[[], str],
    postgres_url: str,
    pool: ThreadPoolExecutor,
) -> None:
    database_url = new_database()
    server = serve(DATABASE_URL=database_url, ERRAND_WAIT_TIMEOUT="0.2")
    with User(server) as alice:
        wait_until_ready(server)
        polling = long_poll(pool, alice)
        with away(database_url, postgres_url):
            time.sleep(A_POLL_LATER)
        wait_until_ready(server)
        with administration(database_url) as execute:
            execute(f"INSERT INTO users (id) VALUES ('{alice.id}')")
            execute(
                "INSERT INTO tasks (user_id, id, title, revision)"
                f" SELECT id, id, 'x', revision FROM users WHERE id = '{alice.id}'"
            )

        assert polling.result().json()["changes"]


def test_the_revision_is_no_longer_read_for_a_client_that_has_disconnected(
    serve: Serve, new_database: Callable[[], str]
) -> None:
    database_url = new_database()
    with User(serve(DATABASE_URL=database_url, ERRAND_LONG_POLL_TIMEOUT="60")) as alice:

        def read_again() -> bool:
            before = last_read_of_a_revision(database_url)
            return eventually(lambda: last_read_of_a_revision(database_url) != before, seconds=5)

        with wire_to(str(alice.base_url)) as wire:
            wire.sends(request("GET", f"/api/{alice.id}/changes?wait=30"))
            assert read_again()
            assert read_again()

        assert eventually(lambda: not read_again(), seconds=20)


def test_one_query_looks_for_the_changes_of_all_users_who_are_waited_for(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_notifications, "INTERVAL", 0.3)
    users = [uuid4() for _ in range(50)]

    async def scene() -> None:
        async with open_database(database_url) as (database, notifications):
            find_changed = notifications._find_changed
            all_asked = asyncio.Event()

            async def observed(known: Mapping[UUID, int]) -> Mapping[UUID, int]:
                if known.keys() == set(users):
                    all_asked.set()
                return await find_changed(known)

            notifications._find_changed = observed
            for user_id in users[::2]:
                await tasks.create(database, user_id, {"title": "x"})
            newest = [(await page_of(database, notifications, each, 0)).next for each in users]
            polling = [
                asyncio.create_task(
                    feed.page(database, notifications, user_id, since=since, limit=1, wait=30)
                )
                for user_id, since in zip(users, newest, strict=True)
            ]
            await asyncio.wait_for(all_asked.wait(), 20)
            assert not any(each.done() for each in polling)
            async with open_database(database_url) as (other_process, _):
                for user_id in users:
                    await tasks.create(other_process, user_id, {"title": "x"})
            assert all([(await each).changes for each in polling])

    asyncio.run(scene())


def last_read_of_a_revision(database_url: str) -> Any:
    """When a connection last began to read a user's revision."""
    with psycopg2.connect(database_url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT max(query_start) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND query LIKE '%EXECUTE changed_users%'"
        )
        found = cursor.fetchall()
    connection.close()
    return found


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.long)])
def test_a_server_that_stops_responds_to_long_polls(
    new_database: Callable[[], str], pool: ThreadPoolExecutor, workers: str
) -> None:
    """Otherwise it would wait for ten seconds, and close their connections without a response."""
    process = started(DATABASE_URL=new_database(), ERRAND_WORKERS=workers)
    with User(url_of(process)) as alice:
        polling = long_poll(pool, alice)

        process.terminate()
        response = polling.result()
        process.communicate(timeout=60)

    assert (response.status_code, response.json()["changes"]) == (200, [])
    assert process.returncode == 0


# Within the process


@asynccontextmanager
async def open_database(url: str) -> AsyncIterator[tuple[Database, ChangeNotifications]]:
    """A database as a server has it."""
    options = load_settings(database_url=url, pool_size=2, **PATIENT).pool_options()
    async with (
        database_at(options, CATALOGUE) as database,
        ChangeNotifications.of(database) as notifications,
    ):
        yield database, notifications


def page_of(
    database: Database, notifications: ChangeNotifications, user_id: UUID, wait: float = 30
) -> Coroutine[Any, Any, feed.Page]:
    return feed.page(database, notifications, user_id, since=None, limit=1, wait=wait)


Write = Callable[[Database, UUID, UUID], Awaitable[Any]]


async def in_a_transaction(database: Database, user_id: UUID, task_id: UUID) -> None:
    async with database.transaction(user_id) as transaction:
        await writes.toggle(transaction, user_id, task_id)


async def by_a_batch(database: Database, user_id: UUID, task_id: UUID) -> None:
    toggle = {"op": "toggle", "id": str(task_id)}
    await batches.run(database, user_id, [toggle], atomic=True, requires_if_match=False)


WRITES: dict[str, Write] = {
    "create": lambda database, user_id, _: tasks.create(database, user_id, {"title": "x"}),
    "update": lambda database, user_id, task_id: writes.update(
        database, user_id, task_id, {"title": "x"}
    ),
    "toggle": tasks.toggle,
    "delete": writes.delete,
    "transaction": in_a_transaction,
    "batch": by_a_batch,
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_write_of_the_same_process_wakes_its_waiters_at_once(
    database_url: str, monkeypatch: pytest.MonkeyPatch, write: Write
) -> None:
    """The revision is read so seldom here that it would be read too late."""
    monkeypatch.setattr(change_notifications, "INTERVAL", 60)

    async def scene() -> None:
        user_id = uuid4()
        async with open_database(database_url) as (database, notifications):
            task = await tasks.create(database, user_id, {"title": "x"})
            first = await page_of(database, notifications, user_id)
            since = first.next
            polling = asyncio.create_task(
                feed.page(database, notifications, user_id, since=since, limit=1, wait=30)
            )
            await asyncio.sleep(0.2)
            assert not polling.done()

            await write(database, user_id, UUID(task["id"]))

            assert (await polling).changes

    asyncio.run(scene())


def test_an_erasure_of_the_same_process_wakes_its_waiters_at_once(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_notifications, "INTERVAL", 60)

    async def scene() -> None:
        user_id = uuid4()
        async with open_database(database_url) as (database, notifications):
            await tasks.create(database, user_id, {"title": "x"})
            since = (await page_of(database, notifications, user_id)).next
            polling = asyncio.create_task(
                feed.page(database, notifications, user_id, since=since, limit=1, wait=30)
            )
            await asyncio.sleep(0.2)

            await users.erase(database, user_id)

            with pytest.raises(ChangesForgotten):
                await polling

    asyncio.run(scene())


def test_a_long_poll_that_is_cancelled_leaves_nothing_behind(database_url: str) -> None:
    async def scene() -> None:
        user_id = uuid4()
        async with open_database(database_url) as (database, notifications):
            polling = [
                asyncio.create_task(page_of(database, notifications, user_id)) for _ in range(5)
            ]
            await asyncio.sleep(0.2)
            assert len(notifications._waiters[user_id]) == 5
            for each in polling[:4]:
                each.cancel()
            await asyncio.sleep(0.01)
            assert len(notifications._waiters[user_id]) == 1
            await tasks.create(database, user_id, {"title": "x"})
            assert (await polling[4]).changes
            assert user_id not in notifications._waiters
            async with asyncio.timeout(30):
                while notifications._checking:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)

    asyncio.run(scene())


def test_a_write_between_a_read_and_the_wait_wakes_the_waiter(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_notifications, "INTERVAL", 60)
    read = feed.read

    async def scene() -> None:
        user_id = uuid4()
        async with open_database(database_url) as (database, notifications):

            async def read_then_write(*arguments: Any) -> Any:
                found = await read(*arguments)
                if not found.page.changes:
                    await tasks.create(database, user_id, {"title": "x"})
                return found

            monkeypatch.setattr(feed, "read", read_then_write)
            assert (await page_of(database, notifications, user_id)).changes

    asyncio.run(scene())


def test_a_waiter_that_is_woken_for_nothing_reads_once_and_waits_on(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0
    read = feed.read

    async def counted(*arguments: Any) -> Any:
        nonlocal reads
        reads += 1
        return await read(*arguments)

    monkeypatch.setattr(feed, "read", counted)

    async def scene() -> None:
        user_id = uuid4()
        async with open_database(database_url) as (database, notifications):
            polling = asyncio.create_task(page_of(database, notifications, user_id, wait=2))
            await asyncio.sleep(0.3)
            notifications.notify(user_id)
            assert (await polling).changes == []

    asyncio.run(scene())

    assert reads == 2


def test_a_long_poll_ends_when_its_token_expires(guarded_server: str, issuer: Issuer) -> None:
    with User(guarded_server, issuer) as alice:
        alice.creates()
        changes = f"/api/{alice.id}/changes"
        since = alice.get(changes).json()["next"]
        expiring = {"Authorization": f"Bearer {issuer.token(alice.id, exp=int(time.time()) + 3)}"}

        began = time.monotonic()
        page = alice.get(changes, params={"since": since, "wait": 9}, headers=expiring)

    assert (page.status_code, page.json()["changes"]) == (200, [])
    assert time.monotonic() - began < DEADLINE
