"""The stream of changes: a page of the feed for each change, from any position, without an end."""

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import orjson
import pytest

from db.catalogue import CATALOGUE
from db.citus.opening import database_at
from db.tasks import change_notifications, tasks
from db.tasks.change_notifications import ChangeNotifications
from db.tasks.feed import Page, Reader
from db.tasks.streams import Streams
from openapi.settings import load_settings
from tests.support.databases import administration
from tests.support.events import Events, streaming
from tests.support.feed import PURGE, Copy, changed
from tests.support.issuer import Issuer
from tests.support.polling import eventually
from tests.support.redis import Redis, needs_redis
from tests.support.responses import assert_problem, left
from tests.support.servers import PATIENT, Serve, serving, started, url_of
from tests.support.users import User
from tests.support.wire import request

MOST_OF_A_USER = 3
SETTINGS = {
    "ERRAND_STREAM_HEARTBEAT": "0.2",
    "ERRAND_USER_STREAM_LIMIT": str(MOST_OF_A_USER),
    "ERRAND_STREAM_LIMIT": "12",
    "ERRAND_DRAIN_TIMEOUT": "1",
    "ERRAND_POOL_SIZE": "1",
}


@pytest.fixture(scope="module")
def streamer(database_url: str) -> Iterator[str]:
    """A server with one database connection, frequent heartbeats, and low limits."""
    with serving(DATABASE_URL=database_url, **SETTINGS) as url:
        yield url


@pytest.fixture
def alice(streamer: str) -> Iterator[User]:
    with User(streamer) as user:
        yield user


def is_over(events: Events) -> bool:
    """Whether the stream ends, as a response that is complete."""
    return next(events, None) is None


def test_each_event_is_a_page_of_the_feed(alice: User) -> None:
    milk = alice.creates("Buy milk")

    with streaming(alice) as events:
        first = next(events)
        assert first.data == alice.get(f"/api/{alice.id}/changes").json()
        assert first.id == first.data["next"]

        bread = alice.creates("Buy bread")
        second = next(events)
        assert second.data["changes"] == [changed(bread.document)]
        assert second.data == alice.get(f"/api/{alice.id}/changes?since={first.id}").json()
        assert second.id == second.data["next"]

        alice.delete(milk.url)
        [tombstone] = next(events).data["changes"]
        assert (tombstone["kind"], tombstone["id"]) == ("task_tombstone", milk.document["id"])


def test_the_first_event_comes_at_once_and_says_when_to_return(alice: User) -> None:
    with streaming(alice) as events:
        first = next(events)
        assert (first.data["changes"], first.data["digest"]) == ([], 0)
        assert first.retry
        assert 1000 <= first.retry <= 5000

        alice.creates()
        assert next(events).retry is None


def test_the_response_asks_proxies_not_to_hold_it_back(alice: User) -> None:
    with streaming(alice) as events:
        headers = events.response.headers

    assert headers["content-type"] == "text/event-stream"
    assert headers["x-accel-buffering"] == "no"


@pytest.mark.parametrize("by_header", [True, False], ids=["header", "since"])
def test_a_stream_goes_on_after_the_last_event(alice: User, by_header: bool) -> None:
    alice.creates("seen")
    with streaming(alice) as events:
        seen = next(events).id
    missed = alice.creates("missed")

    token: Any = {"headers": {"Last-Event-ID": seen}} if by_header else {"params": {"since": seen}}
    with streaming(alice, **token) as events:
        assert next(events).data["changes"] == [changed(missed.document)]


def test_the_last_event_wins_over_since_because_browsers_keep_the_url(alice: User) -> None:
    old = alice.get(f"/api/{alice.id}/changes").json()["next"]
    alice.creates("seen")
    new = alice.get(f"/api/{alice.id}/changes").json()["next"]

    with streaming(alice, new, params={"since": old}) as events:
        assert next(events).data["changes"] == []


def test_a_copy_that_the_stream_keeps_is_equal_to_the_data(alice: User) -> None:
    for number in range(12):
        alice.creates(str(number))
    copy = Copy(alice)

    with streaming(alice, params={"limit": 5}) as events:
        for _ in range(3):
            copy.applies(next(events).data)  # compares the digest of the last page
        assert (len(copy.tasks), copy.more) == (12, False)
        for task in list(copy.tasks)[:3]:
            alice.patch(f"{alice.tasks}/{task}/complete")
        while copy.tasks != {each["id"]: each for each in alice.get(alice.tasks).json()}:
            copy.applies(next(events).data)

    copy.catches_up()


@pytest.mark.parametrize("by_header", [True, False], ids=["header", "since"])
def test_a_token_that_was_not_issued_is_refused_by_its_parameter(
    alice: User, by_header: bool
) -> None:
    token: Any = {"headers": {"Last-Event-ID": "x"}} if by_header else {"params": {"since": "x"}}

    response = alice.get(f"/api/{alice.id}/changes/stream", **token)

    [fault] = assert_problem(response, 422, "invalid-request")["errors"]
    assert fault["parameter"] == ("Last-Event-ID" if by_header else "since")


def test_a_stream_from_before_a_purge_returns_410(alice: User, database_url: str) -> None:
    task = alice.creates()
    with streaming(alice) as events:
        seen = next(events).id
    alice.delete(task.url)
    with administration(database_url) as execute:
        execute(PURGE.format(alice.id))

    response = alice.get(f"/api/{alice.id}/changes/stream", headers={"Last-Event-ID": seen})

    assert_problem(response, 410, "changes-forgotten")


def test_an_open_stream_ends_when_its_changes_are_forgotten(alice: User) -> None:
    alice.creates()
    with streaming(alice) as events:
        seen = next(events).id

        assert alice.delete(f"/api/{alice.id}").status_code == 204

        assert is_over(events)
    response = alice.get(f"/api/{alice.id}/changes/stream", headers={"Last-Event-ID": seen})
    assert_problem(response, 410, "changes-forgotten")


def test_a_stream_without_changes_sends_comments(alice: User) -> None:
    with streaming(alice) as events:
        next(events)
        while events.comments < 3:
            events.next_line()
        alice.creates()
        assert next(events).data["changes"]


def test_idle_streams_hold_no_database_connection(alice: User, streamer: str) -> None:
    with ExitStack() as stack, User(streamer) as bob:
        streams = [stack.enter_context(streaming(alice)) for _ in range(MOST_OF_A_USER)]
        for events in streams:
            next(events)
        for number in range(20):
            bob.creates(str(number))

        task = alice.creates()

        for events in streams:
            assert next(events).data["changes"] == [changed(task.document)]


def test_a_new_stream_of_a_user_ends_the_oldest_if_there_are_too_many(alice: User) -> None:
    with ExitStack() as stack:
        streams = [stack.enter_context(streaming(alice)) for _ in range(MOST_OF_A_USER + 1)]
        for events in streams:
            next(events)

        assert is_over(streams[0])
        alice.creates()
        for events in streams[1:]:
            assert len(next(events).data["changes"]) == 1


def test_a_server_with_too_many_streams_refuses_another(streamer: str) -> None:
    with ExitStack() as stack:
        users = [stack.enter_context(User(streamer)) for _ in range(13)]
        url = "/api/{0.id}/changes/stream"

        def is_full() -> bool:
            for user in users[:12]:
                response = stack.enter_context(user.stream("GET", url.format(user)))
                if response.status_code != 200:
                    return True
            return False

        assert is_full() or users[12].get(url.format(users[12])).status_code == 503
        refused = users[12].get(url.format(users[12]))
        assert_problem(refused, 503, "overloaded")
        assert refused.headers["Retry-After"]

    with User(streamer) as user:
        assert eventually(lambda: user.head(url.format(user)).status_code == 200)


def test_a_client_that_does_not_read_is_disconnected_and_goes_on(alice: User) -> None:
    milk = {"op": "create", "title": "Buy milk", "description": "\N{GLASS OF MILK}" * 2000}
    created = alice.post(f"{alice.tasks}/batch", json={"operations": [milk] * 80}).json()
    toggles = [{"op": "toggle", "id": each["task"]["id"]} for each in created["results"]]

    with reading_nothing(alice) as connection:
        for _ in range(20):  # more than all buffers take
            assert alice.post(f"{alice.tasks}/batch", json={"operations": toggles}).is_success
        received = rest_of(connection)

    assert not received.endswith(b"0\r\n\r\n"), "it was not cut"
    first, *_ = [line[4:] for line in received.splitlines() if line.startswith(b"id: ")]
    with streaming(alice, first.decode()) as events:
        assert len(next(events).data["changes"]) == 80


@contextmanager
def reading_nothing(user: User) -> Iterator[socket.socket]:
    """A client with small buffers that opens a stream, and does not read it."""
    url = user.base_url
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(20)
        connection.connect((url.host, url.port))
        connection.sendall(request("GET", f"/api/{user.id}/changes/stream"))
        yield connection


def rest_of(connection: socket.socket) -> bytes:
    """What has arrived when the server has disconnected the client."""
    time.sleep(2 * float(SETTINGS["ERRAND_DRAIN_TIMEOUT"]))
    received = b""
    with suppress(ConnectionResetError):
        while part := connection.recv(2**20):
            received += part
    return received


def test_a_stream_ends_when_its_token_expires(guarded_server: str, issuer: Issuer) -> None:
    with User(guarded_server, issuer) as user:
        expiring = {"Authorization": f"Bearer {issuer.token(user.id, exp=int(time.time()) + 2)}"}
        with streaming(user, headers=expiring) as events:
            seen = next(events).id
            assert is_over(events)
        missed = user.creates()
        with streaming(user, seen) as events:
            assert next(events).data["changes"] == [changed(missed.document)]


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.long)])
def test_a_server_that_stops_ends_its_streams(
    new_database: Callable[[], str], workers: str
) -> None:
    process = started(DATABASE_URL=new_database(), ERRAND_WORKERS=workers)
    with User(url_of(process)) as user, streaming(user) as events:
        next(events)
        process.terminate()
        assert is_over(events)
        process.communicate(timeout=20)

    assert process.returncode == 0


def test_a_write_through_another_server_comes_too(alice: User, server: str) -> None:
    with streaming(alice) as events, User(server) as elsewhere:
        next(events)
        task = elsewhere.post(alice.tasks, json={"title": "x"}).json()
        assert next(events).data["changes"] == [changed(task)]


@needs_redis
def test_writes_through_other_servers_come_by_redis(
    serve: Serve, redis: Redis, own_database: str
) -> None:
    settings = {"DATABASE_URL": own_database, "ERRAND_REDIS_URL": redis.url}
    here, there = serve(**settings), serve(**settings)
    with User(here) as alice, streaming(alice) as events, ThreadPoolExecutor(8) as pool:
        next(events)

        def create(number: int) -> str:
            with User((here, there)[number % 2]) as client:
                created = client.post(alice.tasks, json={"title": str(number)})
                return str(created.json()["id"])

        written = set(pool.map(create, range(20)))
        seen: set[str] = set()
        while seen != written:
            seen |= {each["task"]["id"] for each in next(events).data["changes"]}


def test_a_stream_counts_as_one_request_and_is_logged_when_it_ends(
    new_database: Callable[[], str], tmp_path: Path
) -> None:
    process = started(DATABASE_URL=new_database(), ERRAND_RATE_LIMIT="10")
    with User(url_of(process)) as user:
        with streaming(user) as events:
            assert left(events.response) == 9
            for number in range(3):
                next(events)
                user.creates(str(number))
            next(events)
        assert left(user.get(user.tasks)) == 5
        process.terminate()
    output, _ = process.communicate(timeout=20)

    lines = [orjson.loads(line) for line in output.splitlines() if line.startswith("{")]
    [line] = [line for line in lines if line["operation"] == "stream_changes"]
    assert (line["status"], line["path"]) == (None, f"/api/{user.id}/changes/stream")
    assert line["bytes"] > 500


def test_head_opens_no_stream(alice: User) -> None:
    with streaming(alice) as events:
        next(events)
        for _ in range(2 * MOST_OF_A_USER):
            response = alice.head(f"/api/{alice.id}/changes/stream")
            assert (response.status_code, response.content) == (200, b"")
        with streaming(alice) as other:
            next(other)


def test_a_page_of_another_origin_may_send_a_token_and_the_last_event(serve: Serve) -> None:
    origin = "https://app.example.com"
    with httpx.Client(base_url=serve(ERRAND_CORS_ORIGINS=origin)) as client:
        asks = {"Origin": origin, "Access-Control-Request-Method": "GET"}
        response = client.options(f"/api/{uuid4()}/changes/stream", headers=asks)

    allowed = response.headers["access-control-allow-headers"].split(", ")
    assert {"Authorization", "Last-Event-ID"} <= set(allowed)


# Within the process


def test_a_write_of_the_same_process_wakes_its_streams_at_once(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other ways to find the change are so slow here that it would come too late."""
    monkeypatch.setattr(change_notifications, "INTERVAL", 60)

    async def scene() -> list[Page | None]:
        options = load_settings(database_url=database_url, pool_size=2, **PATIENT).pool_options()
        user_id = uuid4()
        async with (
            database_at(options, CATALOGUE) as database,
            ChangeNotifications.of(database) as notifications,
            asyncio.timeout(20),
        ):
            streams = Streams(notifications, most=10, most_of_a_user=2, heartbeat=60)
            opened = [
                streams.pages(database, user_id, Reader(), limit=9, seconds=60) for _ in range(2)
            ]
            for pages in opened:
                await anext(pages)
            reading = [asyncio.create_task(anext(pages)) for pages in opened]
            await asyncio.sleep(0.1)
            await tasks.create(database, user_id, {"title": "x"})
            found = [await each for each in reading]
            for pages in opened:
                await pages.aclose()
            assert (streams.count, streams._of_users) == (0, {})
            assert notifications._waiters == {}
            return found

    for page in asyncio.run(scene()):
        assert page
        assert len(page.changes) == 1
