"""Long polls: an answer waits for a change, and costs nobody anything meanwhile."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg2
import pytest

from db.catalogue import CATALOGUE
from db.database import Database
from db.tasks import change_notifications, feed, tasks
from db.tasks.change_notifications import INTERVAL, ChangeNotifications
from openapi.settings import load_settings
from tests.support.databases import administration, away
from tests.support.polling import eventually
from tests.support.servers import Serve, started, url_of
from tests.support.users import Task, User
from tests.support.wire import request, wire_to

SOON = 0.7  # less than the interval at which others' writes are looked for
LATER = INTERVAL + 1


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """People who do things at the same time."""
    with ThreadPoolExecutor(32) as pool:
        yield pool


def changes(user: User, **parameters: Any) -> httpx.Response:
    return user.get(f"/api/{user.id}/changes", params=parameters)


def up_to_date(user: User) -> str:
    """The token of somebody who has read everything."""
    token: str = changes(user, limit=1000).json()["next"]
    return token


@contextmanager
def within(seconds: float, at_least: float = 0) -> Iterator[None]:
    """It takes no longer than that, and no less than this."""
    begun = time.monotonic()
    yield
    assert at_least <= time.monotonic() - begun < seconds


def waits(pool: ThreadPoolExecutor, user: User) -> "Future[httpx.Response]":
    """Ask, and be sure that the server has begun to wait."""
    [asked] = all_wait(pool, [user])
    return asked


def all_wait(pool: ThreadPoolExecutor, users: list[User]) -> list["Future[httpx.Response]"]:
    """The same, of several at once."""
    since = up_to_date(users[0])
    asked = [pool.submit(changes, user, since=since, wait=20) for user in users]
    time.sleep(0.3)
    assert not any(each.done() for each in asked)
    return asked


def test_what_is_there_already_is_told_at_once(alice: User) -> None:
    task = alice.creates()

    with within(SOON):
        assert changes(alice, wait=30).json()["changes"] == [task.document]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_write_is_told_at_once_to_who_waits(
    alice: User, task: Task, pool: ThreadPoolExecutor, method: str
) -> None:
    url = {"POST": alice.tasks, "PATCH": f"{task.url}/complete"}.get(method, task.url)
    body = {"title": "x"} if method in ("POST", "PUT") else None
    asked = waits(pool, alice)

    with within(SOON):
        alice.request(method, url, json=body)
        assert len(asked.result().json()["changes"]) == 1


def test_the_first_write_of_an_unknown_user_is_told_to_who_waits(
    alice: User, pool: ThreadPoolExecutor
) -> None:
    asked = waits(pool, alice)

    with within(SOON):
        task = alice.creates()
        assert asked.result().json()["changes"] == [task.document]


def test_when_the_time_is_up_nothing_is_told(alice: User) -> None:
    alice.creates()
    since = up_to_date(alice)

    with within(2, at_least=1):
        answer = changes(alice, since=since, wait=1).json()

    assert (answer["changes"], answer["more"]) == ([], False)
    task = alice.creates()
    assert changes(alice, since=answer["next"]).json()["changes"] == [task.document]


def test_somebody_elses_write_wakes_nobody(
    alice: User, bob: User, pool: ThreadPoolExecutor
) -> None:
    asked = waits(pool, alice)
    bob.creates()

    time.sleep(LATER)
    assert not asked.done()
    alice.creates()
    assert asked.result().json()["changes"]


def test_a_write_through_another_server_is_told_before_long(
    alice: User, serve: Serve, database_url: str, pool: ThreadPoolExecutor
) -> None:
    elsewhere = serve(DATABASE_URL=database_url)
    asked = waits(pool, alice)

    with within(LATER), User(elsewhere) as user:
        task = user.post(alice.tasks, json={"title": "x"}).json()
        assert asked.result().json()["changes"] == [task]


def test_two_workers_tell_of_each_others_writes(serve: Serve, pool: ThreadPoolExecutor) -> None:
    with User(serve(ERRAND_WORKERS="2")) as alice, ExitStack() as stack:
        several = [stack.enter_context(User(str(alice.base_url))) for _ in range(10)]
        for user in several:
            user.id = alice.id
        asked = all_wait(pool, several)

        with within(LATER + SOON):
            task = alice.creates()
            for each in asked:
                assert each.result().json()["changes"] == [task.document]


def test_whoever_waits_is_refused_when_the_user_is_erased(
    alice: User, pool: ThreadPoolExecutor, database_url: str
) -> None:
    alice.creates()
    asked = waits(pool, alice)

    with within(LATER), administration(database_url) as execute:
        execute(f"DELETE FROM users WHERE id = '{alice.id}'")
        assert asked.result().status_code == 410


def test_who_waits_holds_no_connection(serve: Serve, pool: ThreadPoolExecutor) -> None:
    server = serve(ERRAND_POOL_SIZE="1", ERRAND_WAIT_TIMEOUT="1")
    with User(server) as alice, User(server) as bob:
        asked = all_wait(pool, [alice] * 5)
        for number in range(50):
            bob.creates(str(number))
        assert not any(each.done() for each in asked)

        task = alice.creates()

        for each in asked:
            assert each.result().json()["changes"] == [task.document]


def test_a_wait_outlives_a_database_that_is_away_for_a_moment(
    serve: Serve,
    new_database: Callable[[], str],
    postgres_url: str,
    pool: ThreadPoolExecutor,
) -> None:
    database_url = new_database()
    with User(serve(DATABASE_URL=database_url, ERRAND_WAIT_TIMEOUT="0.2")) as alice:
        asked = waits(pool, alice)
        with away(database_url, postgres_url):
            time.sleep(LATER)
        assert eventually(lambda: alice.get("/health/ready").status_code == 200)
        with administration(database_url) as execute:
            execute(f"INSERT INTO users (id) VALUES ('{alice.id}')")
            execute(
                "INSERT INTO tasks (user_id, id, title, revision)"
                f" SELECT id, id, 'x', revision FROM users WHERE id = '{alice.id}'"
            )

        with within(LATER):
            assert asked.result().json()["changes"]


def test_nobody_asks_for_a_client_that_has_gone(
    serve: Serve, new_database: Callable[[], str]
) -> None:
    database_url = new_database()
    with User(serve(DATABASE_URL=database_url)) as alice:

        def asked_within(seconds: float) -> bool:
            before = polls(database_url)
            time.sleep(seconds)
            return bool(polls(database_url) != before)

        with wire_to(str(alice.base_url)) as wire:
            wire.sends(request("GET", f"/api/{alice.id}/changes?wait=30"))
            assert asked_within(LATER)
            assert asked_within(LATER)

        time.sleep(LATER)
        assert not asked_within(LATER)


def polls(database_url: str) -> Any:
    """When any connection has last asked for a user's revision."""
    with psycopg2.connect(database_url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT max(query_start) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND query LIKE '%EXECUTE revision%'"
        )
        found = cursor.fetchall()
    connection.close()
    return found


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_that_stops_responds_to_long_polls(
    new_database: Callable[[], str], pool: ThreadPoolExecutor, workers: str
) -> None:
    process = started(DATABASE_URL=new_database(), ERRAND_WORKERS=workers)
    with User(url_of(process)) as alice:
        asked = waits(pool, alice)

        with within(3):
            process.terminate()
            answer = asked.result()
            process.communicate(timeout=20)

    assert (answer.status_code, answer.json()["changes"]) == (200, [])
    assert process.returncode == 0


def test_a_wait_that_is_abandoned_leaves_nothing_behind(database_url: str) -> None:
    async def scene() -> None:
        user_id = uuid4()
        async with open_database(database_url) as (database, notifications):
            waits = [
                asyncio.create_task(long_poll(database, notifications, user_id, wait=30))
                for _ in range(5)
            ]
            await asyncio.sleep(0.2)
            assert len(notifications._waiters[user_id]) == 5
            for each in waits[:4]:
                each.cancel()
            await asyncio.sleep(0.01)
            assert len(notifications._waiters[user_id]) == 1
            await tasks.create(database, user_id, title="x")
            assert (await waits[4]).changes
            assert user_id not in notifications._waiters
            await asyncio.sleep(INTERVAL + 0.2)
            assert user_id not in notifications._polls

    asyncio.run(scene())


def test_a_write_between_a_read_and_the_wait_wakes_the_waiter(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other processes' writes are looked for so seldom here that they would be missed."""
    monkeypatch.setattr(change_notifications, "INTERVAL", 60)
    read = feed._read

    async def scene() -> None:
        user_id = uuid4()
        async with open_database(database_url) as (database, notifications):

            async def read_then_write(*arguments: Any) -> Any:
                found = await read(*arguments)
                if not found[0].changes:
                    await tasks.create(database, user_id, title="x")
                return found

            monkeypatch.setattr(feed, "_read", read_then_write)
            async with asyncio.timeout(5):
                page = await long_poll(database, notifications, user_id, wait=30)
            assert page.changes

    asyncio.run(scene())


def test_a_waiter_that_is_woken_for_nothing_reads_once_and_waits_on(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0
    read = feed._read

    async def counted(*arguments: Any) -> Any:
        nonlocal reads
        reads += 1
        return await read(*arguments)

    monkeypatch.setattr(feed, "_read", counted)

    async def scene() -> None:
        user_id = uuid4()
        async with open_database(database_url) as (database, notifications):
            waits = asyncio.create_task(long_poll(database, notifications, user_id, wait=1))
            await asyncio.sleep(0.3)
            notifications.notify(user_id)
            async with asyncio.timeout(5):
                assert (await waits).changes == []

    asyncio.run(scene())

    assert reads == 2


@asynccontextmanager
async def open_database(url: str) -> AsyncIterator[tuple[Database, ChangeNotifications]]:
    """A database as a server has it."""
    options = load_settings(database_url=url, pool_size=2).pool_options()
    async with Database(options, CATALOGUE) as database:
        yield database, ChangeNotifications.of(database)


def long_poll(
    database: Database, notifications: ChangeNotifications, user_id: UUID, wait: float
) -> Coroutine[Any, Any, feed.Page]:
    return feed.page(database, notifications, user_id, since=None, limit=1, wait=wait)
