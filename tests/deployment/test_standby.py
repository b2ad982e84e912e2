"""Reads of many rows from a hot standby: a client sees what it has written."""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import pytest

from db.migrate import migrate
from db.postgres.embedded import running_postgres
from db.postgres.roles import as_application
from tests.support.folders import temporary_folder
from tests.support.metrics import METERED, Metrics
from tests.support.polling import eventually
from tests.support.servers import started, url_of
from tests.support.standby import Standby, running_standby
from tests.support.users import User

POOL_SIZE = 3


class World(NamedTuple):
    """A primary, its standby, and a server of both."""

    primary_url: str
    standby: Standby
    metrics: Metrics

    def reads(self, result: str) -> float:
        """The reads that were sent to the standby with this result."""
        return self.metrics.value("errand_standby_reads_total", result=result)

    def becomes(self, result: str, more_than: float) -> bool:
        """Whether the count of such reads becomes higher: it is sampled."""
        return eventually(lambda: self.reads(result) > more_than)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with (
        temporary_folder() as folder,
        running_postgres(folder / "data", durable=False) as owner_url,
    ):
        migrate(owner_url)
        url = as_application(owner_url)
        own = folder / "own"
        own.mkdir()
        with running_standby(url, own) as standby:
            settings = {
                "DATABASE_URL": url,
                "ERRAND_READ_URL": standby.url,
                "ERRAND_POOL_SIZE": str(POOL_SIZE),
                **METERED,
            }
            process = started(log=None, **settings)
            yield World(url, standby, Metrics(process))
            process.terminate()
            process.communicate(timeout=30)
            assert process.returncode == 0


@pytest.fixture
def alice(world: World) -> Iterator[User]:
    with User(world.metrics.server_url) as user:
        yield user


def titles(user: User) -> list[str]:
    return [each["title"] for each in user.get(user.tasks).json()]


@pytest.mark.long
def test_list_comes_from_the_standby_if_that_is_fresh(world: World, alice: User) -> None:
    before = world.reads("fresh")
    alice.creates("Buy milk")
    world.standby.catch_up(world.primary_url)

    assert titles(alice) == ["Buy milk"]
    assert alice.get(f"/api/{alice.id}/summary").status_code == 200
    assert world.becomes("fresh", before + 1)


@pytest.mark.long
def test_client_sees_what_it_has_written_while_the_standby_is_behind(
    world: World, alice: User
) -> None:
    before = world.reads("stale")
    first = alice.creates("first")
    world.standby.catch_up(world.primary_url)
    world.standby.pause()
    try:
        alice.creates("second")
        alice.delete(first.url)
        assert titles(alice) == ["second"]
        alice.delete(f"/api/{alice.id}")
        assert titles(alice) == []
    finally:
        world.standby.resume()

    assert world.becomes("stale", before + 1)


@pytest.mark.long
def test_every_list_after_a_write_has_it(alice: User) -> None:
    for number in range(50):
        alice.creates(str(number))
        assert titles(alice)[0] == str(number)


@pytest.mark.long
def test_standby_that_stops_is_replaced_by_the_primary(world: World, alice: User) -> None:
    alice.creates("Buy milk")
    world.standby.freeze()
    try:
        assert titles(alice) == ["Buy milk"]
    finally:
        world.standby.thaw()
    world.standby.stop()

    assert titles(alice) == ["Buy milk"]
    idle = partial(world.metrics.value, "errand_database_connections", state="idle")
    assert eventually(lambda: idle() == POOL_SIZE)


def test_server_starts_while_its_standby_is_away(own_database: str) -> None:
    url = "postgresql://127.0.0.1:1/nowhere"
    process = started(DATABASE_URL=own_database, ERRAND_READ_URL=url)
    assert process.stdout
    notice = process.stdout.readline()

    with User(url_of(process)) as alice:
        alice.creates("Buy milk")
        assert titles(alice) == ["Buy milk"]

    process.terminate()
    process.communicate(timeout=20)
    assert "Until then DATABASE_URL serves the reads of ERRAND_READ_URL." in notice
