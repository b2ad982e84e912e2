"""Long polls of several processes: a write of one wakes those of others, through Redis.

Where a change is to be announced, the query that would find it is run so seldom that it cannot.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import pytest

from db.catalogue import CATALOGUE
from db.citus.opening import database_at
from db.database import Database
from db.tasks import change_announcements, change_notifications, feed, tasks
from db.tasks.change_notifications import ChangeNotifications
from openapi.settings import load_settings
from tests.support.redis import Redis, needs_redis
from tests.support.servers import PATIENT

NEVER = 10**6
Process = tuple[Database, ChangeNotifications]

pytestmark = needs_redis


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Notice sooner than usual that Redis does not respond."""
    for name, value in {"BEAT": 0.1, "SILENCE": 1}.items():
        monkeypatch.setattr(change_announcements, name, value)


@asynccontextmanager
async def process(database_url: str, redis: Redis) -> AsyncIterator[Process]:
    """What a process has of it."""
    options = load_settings(database_url=database_url, pool_size=2, **PATIENT).pool_options()
    async with (
        database_at(options, CATALOGUE) as database,
        ChangeNotifications.of(database, redis.url) as notifications,
    ):
        yield database, notifications


async def unreachable(*_: object) -> None:
    raise ConnectionError


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def are_complete(*processes: Process) -> bool:
    """Whether they have connected to Redis."""
    announcements = [notifications._announcements for _, notifications in processes]
    return all(each and each.are_complete for each in announcements)


async def polling_of(process: Process, user_id: UUID) -> asyncio.Task[feed.Page]:
    """A long poll that waits for the next change."""
    since = (await feed.page(*process, user_id, since=None, limit=1, wait=0)).next
    polling = asyncio.create_task(feed.page(*process, user_id, since=since, limit=1, wait=15))
    await asyncio.sleep(0.1)
    assert not polling.done()
    return polling


def test_a_write_of_another_process_is_announced(
    database_url: str, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_notifications, "INTERVAL", NEVER)

    async def scene() -> None:
        async with process(database_url, redis) as here, process(database_url, redis) as there:
            await until(lambda: are_complete(here, there))
            user_id = uuid4()
            polling = await polling_of(here, user_id)
            await tasks.create(there[0], uuid4(), {"title": "another user's"})
            await asyncio.sleep(0.1)
            assert not polling.done()

            await tasks.create(there[0], user_id, {"title": "x"})

            assert (await polling).changes

    asyncio.run(scene())


def test_there_is_no_query_while_changes_are_announced(
    database_url: str, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_notifications, "INTERVAL", 0.01)

    async def scene() -> None:
        async with process(database_url, redis) as here:
            await until(lambda: are_complete(here))
            checks = 0

            async def counted() -> None:
                nonlocal checks
                checks += 1

            monkeypatch.setattr(here[1], "_check", counted)
            polling = await polling_of(here, uuid4())
            await asyncio.sleep(0.5)
            assert checks == 1  # of what was before it began
            monkeypatch.setattr(change_notifications, "LONGEST_INTERVAL", 0)
            await until(lambda: checks > 1)
            polling.cancel()

    asyncio.run(scene())


@pytest.mark.usefixtures("quick")
def test_what_redis_has_lost_is_found_by_the_query(
    database_url: str,
    redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(change_notifications, "INTERVAL", 0.1)
    caplog.set_level(logging.WARNING, "errand.changes")

    async def scene() -> None:
        async with process(database_url, redis) as here, process(database_url, redis) as there:
            await until(lambda: are_complete(here, there))
            user_id = uuid4()
            polling = await polling_of(here, user_id)
            redis.dies()
            await tasks.create(there[0], user_id, {"title": "x"})
            assert (await polling).changes

            redis.starts()
            await until(lambda: are_complete(here, there))
            monkeypatch.setattr(change_notifications, "LONGEST_INTERVAL", NEVER)
            polling = await polling_of(here, user_id)
            await asyncio.sleep(0.5)
            await tasks.create(there[0], user_id, {"title": "y"})
            assert (await polling).changes

    asyncio.run(scene())

    texts = [record.getMessage() for record in caplog.records]
    assert len([each for each in texts if each.startswith("Redis does not respond")]) == 2
    assert len([each for each in texts if each.startswith("Redis responds again")]) == 2


@pytest.mark.usefixtures("quick")
def test_a_write_that_could_not_be_announced_is_announced_later(
    database_url: str, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_notifications, "INTERVAL", NEVER)

    async def scene() -> None:
        async with process(database_url, redis) as here, process(database_url, redis) as there:
            await until(lambda: are_complete(here, there))
            user_id = uuid4()
            polling = await polling_of(here, user_id)
            with monkeypatch.context() as away:
                away.setattr(there[1]._announcements._redis, "publish", unreachable)  # type: ignore[union-attr]
                await tasks.create(there[0], user_id, {"title": "x"})
                await asyncio.sleep(0.3)
                assert not polling.done()
            assert (await polling).changes

    asyncio.run(scene())


def test_a_redis_that_hangs_holds_up_no_write_and_no_stop(database_url: str, redis: Redis) -> None:
    async def scene() -> None:
        async with process(database_url, redis) as here:
            await until(lambda: are_complete(here))
            redis.hangs()
            async with asyncio.timeout(5):
                for _ in range(20):
                    await tasks.create(here[0], uuid4(), {"title": "x"})

    asyncio.run(scene())
    redis.goes_on()
