"""Rate limits that several processes share in Redis, and what they do without it."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import pytest

from openapi.access.rate_limits_in_redis import LONGEST_WAIT
from tests.support.polling import eventually
from tests.support.redis import Redis, needs_redis
from tests.support.responses import left
from tests.support.servers import Serve, serving, started, url_of, wait_until_ready
from tests.support.users import User
from tests.support.wire import request, wire_to

QUOTA = 10

pytestmark = needs_redis


@pytest.fixture
def serve_with(serve: Serve, redis: Redis) -> Callable[..., str]:
    """Start a server that counts in Redis."""

    def start(**settings: str) -> str:
        return serve(ERRAND_RATE_LIMIT=str(QUOTA), ERRAND_REDIS_URL=redis.url, **settings)

    return start


class Pair(NamedTuple):
    """Two servers that count in one Redis."""

    redis: Redis
    here: str
    there: str


@pytest.fixture(scope="module")
def two_servers(database_url: str) -> Iterator[Pair]:
    redis = Redis()
    settings = {"ERRAND_RATE_LIMIT": str(QUOTA), "ERRAND_REDIS_URL": redis.url}
    settings["DATABASE_URL"] = database_url
    with serving(**settings) as here, serving(**settings) as there:
        for url in (here, there):
            wait_until_ready(url)
        yield Pair(redis, here, there)
    redis.dies()


@pytest.fixture
def pair(two_servers: Pair) -> Pair:
    """The two servers, which have counted nothing yet."""
    two_servers.redis.run("FLUSHALL")
    return two_servers


def test_two_servers_share_the_quota(pair: Pair) -> None:
    with User(pair.here) as here, User(pair.there) as there:
        answers = [user.get(user.tasks) for _ in range(QUOTA // 2) for user in (here, there)]

        assert [left(answer) for answer in answers[:4]] == [9, 8, 7, 6]
        assert {answer.status_code for answer in answers} == {200}
        assert here.get(here.tasks).status_code == 429
        assert there.get(there.tasks).headers["Retry-After"] == "6"


def test_concurrent_requests_all_count(serve_with: Callable[..., str]) -> None:
    servers = (serve_with(), serve_with())

    with ExitStack() as stack:
        wires = [stack.enter_context(wire_to(servers[n % 2])) for n in range(3 * QUOTA)]
        for wire in wires:
            wire.sends(request("GET", f"/api/{uuid4()}/tasks"))
        statuses = [wire.answer().status_code for wire in wires]

    assert sorted(statuses) == [200] * QUOTA + [429] * 2 * QUOTA


@pytest.mark.parametrize("goes", [Redis.dies, Redis.hangs])
def test_without_redis_each_server_counts_alone_without_delay(
    serve_with: Callable[..., str], redis: Redis, goes: Callable[[Redis], None]
) -> None:
    server = serve_with()
    with User(server) as alice, User(server) as carol:
        alice.get(alice.tasks)  # counted in Redis, or here if the server is not connected yet
        goes(redis)

        started = time.monotonic()
        statuses = [carol.get(carol.tasks).status_code for _ in range(QUOTA + 5)]
        seconds = time.monotonic() - started

    assert statuses == [200] * QUOTA + [429] * 5
    # One request waited for Redis until its timeout, and no other.
    assert seconds < LONGEST_WAIT * len(statuses)


@pytest.mark.parametrize(
    ("goes", "comes_back"),
    [
        (Redis.dies, Redis.starts),
        pytest.param(Redis.hangs, Redis.goes_on, marks=pytest.mark.long),
    ],
)
def test_servers_share_the_quota_again_when_redis_is_back(
    serve_with: Callable[..., str],
    redis: Redis,
    goes: Callable[[Redis], None],
    comes_back: Callable[[Redis], None],
) -> None:
    with User(serve_with()) as here, User(serve_with()) as there:
        goes(redis)
        assert [left(user.get(user.tasks)) for user in (here, there)] == [QUOTA - 1] * 2

        comes_back(redis)
        time.sleep(3.5)
        lefts = [left(user.get(user.tasks)) for user in (here, there, here, there)]

    assert lefts == list(range(lefts[0], lefts[0] - 4, -1))


@pytest.mark.parametrize(
    "planted",
    [
        ["RPUSH", "KEY", "x"],
        ["SET", "KEY", "nonsense"],
        ["SET", "KEY", "9e99"],
        ["HSET", "KEY", "a", "1"],
    ],
)
def test_foreign_value_under_a_callers_key_affects_no_other_caller(
    pair: Pair, planted: list[str]
) -> None:
    with User(pair.here) as here, User(pair.there) as there:
        assert here.get(here.tasks).status_code == 200
        pair.redis.run("DEL", "errand:limit:127.0.0.1")
        pair.redis.run(*(part.replace("KEY", "errand:limit:127.0.0.1") for part in planted))

        lefts = [left(user.get(user.tasks)) for user in (here, there, here)]

    assert lefts == [QUOTA - 1, QUOTA - 2, QUOTA - 3]  # counted together


def test_connection_to_redis_survives_a_single_timeout(
    serve_with: Callable[..., str], redis: Redis
) -> None:
    with User(serve_with()) as carol:
        assert [left(carol.get(carol.tasks)) for _ in range(3)] == [9, 8, 7]
        redis.hangs()
        assert left(carol.get(carol.tasks)) == 9
        redis.goes_on()
        time.sleep(0.3)

        # Redis has counted the requests of the outage, too.
        assert left(carol.get(carol.tasks)) == 5


def test_outage_of_redis_and_its_end_are_logged_once(
    new_database: Callable[[], str], redis: Redis, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    redis.dies()
    server = started(
        log=log,
        DATABASE_URL=new_database(),
        ERRAND_RATE_LIMIT=str(QUOTA),
        ERRAND_REDIS_URL=redis.url.replace("redis://", "redis://:SECRET@"),
    )
    try:
        with User(url_of(server)) as carol:
            assert {carol.get(carol.tasks).status_code for _ in range(5)} == {200}
            time.sleep(2.5)
            redis.starts()
            assert eventually(lambda: log.read_text().count("Redis responds again") == 2)
    finally:
        server.terminate()
        server.communicate(timeout=20)

    # The limits and the feed have a connection each.
    for logger in ("errand.limits", "errand.changes"):
        assert log.read_text().count(f"{logger}: Redis does not respond") == 1
        assert log.read_text().count(f"{logger}: Redis responds again") == 1
    assert "SECRET" not in log.read_text()
    assert "Traceback" not in log.read_text()
