"""Where the responses of requests with an Idempotency-Key are stored, and for how long."""

from contextlib import closing
from datetime import timedelta
from uuid import uuid4

import httpx
import psycopg2
from psycopg2.extensions import make_dsn

from db.migrate import migrate
from db.postgres.roles import as_application
from tests.support.databases import (
    administration,
    empty_database,
    query,
    query_as_owner,
)
from tests.support.idempotency import (
    MILK,
    assert_replayed,
    key,
    make_older,
    stored_keys,
    toggle,
)
from tests.support.servers import Serve, serving
from tests.support.users import Task, User


def test_response_is_stored_for_24_hours(alice: User, task: Task, database_url: str) -> None:
    toggle(alice, task)
    assert_stored_for(alice, database_url, timedelta(hours=24))

    make_older(database_url, alice, "23 hours 59 minutes")
    assert toggle(alice, task).json()["completed"]

    make_older(database_url, alice, "2 minutes")
    assert not toggle(alice, task).json()["completed"]


def test_write_with_a_key_purges_expired_responses_of_its_user(
    alice: User, task: Task, database_url: str
) -> None:
    toggle(alice, task, "old")
    make_older(database_url, alice, "25 hours")

    toggle(alice, task, "new")

    assert stored_keys(alice, database_url) == ["new"]


def test_expired_response_is_not_replayed_before_it_is_purged(
    alice: User, task: Task, database_url: str
) -> None:
    toggle(alice, task)
    make_older(database_url, alice, "25 hours")

    again = toggle(alice, task)

    assert "idempotency-replayed" not in again.headers
    assert not again.json()["completed"]
    assert_replayed(toggle(alice, task), again)


def test_lifetime_of_stored_responses_can_be_set(serve: Serve, own_database: str) -> None:
    with User(serve(DATABASE_URL=own_database, ERRAND_REPLAY_HOURS="48")) as alice:
        alice.post(alice.tasks, json=MILK, headers=key())

        assert_stored_for(alice, own_database, timedelta(hours=48))


def test_response_is_replayed_by_other_servers_and_later_ones(own_database: str) -> None:
    responses: list[httpx.Response] = []
    url = "/api/0190a1b2-0000-7000-8000-00000000a11c/tasks"
    with serving(DATABASE_URL=own_database) as first:
        with User(first) as alice:
            responses.append(alice.post(url, json=MILK, headers=key()))
        with serving(DATABASE_URL=own_database) as other, User(other) as alice:
            responses.append(alice.post(url, json=MILK, headers=key()))
    with serving(DATABASE_URL=own_database) as later, User(later) as alice:
        responses.append(alice.post(url, json=MILK, headers=key()))

    for again in responses[1:]:
        assert_replayed(again, responses[0])


def test_erased_user_leaves_no_stored_responses(alice: User, database_url: str) -> None:
    alice.post(alice.tasks, json=MILK, headers=key())
    assert stored_keys(alice, database_url)

    alice.delete(f"/api/{alice.id}")

    assert stored_keys(alice, database_url) == []
    again = alice.post(alice.tasks, json=MILK, headers=key())
    assert "idempotency-replayed" not in again.headers


def test_purge_of_stored_responses_works_for_an_owner_who_is_no_superuser(
    postgres_url: str,
) -> None:
    owner = f"landlord_{uuid4().hex}"
    with administration(postgres_url) as execute:
        execute(f"CREATE ROLE {owner} LOGIN; CREATE ROLE {owner}_guest LOGIN")
    url = make_dsn(empty_database(postgres_url, owner), user=owner)
    migrate(url)
    store(url, expired=5, live=3)

    with closing(psycopg2.connect(as_application(url))) as server, server:
        assert query(server, "SELECT purge_replays(2)") == [2]
        assert query(server, "SELECT purge_replays(9)") == [3]
        assert query(server, "SELECT count(*) FROM replays") == [0]
    with closing(psycopg2.connect(url)) as landlord:
        assert query(landlord, "SELECT count(*) FROM replays") == [0]  # none of them is expired
    with closing(psycopg2.connect(make_dsn(url, user=f"{owner}_guest"))) as guest:
        assert query(
            guest, "SELECT has_function_privilege('purge_replays(integer)', 'EXECUTE')"
        ) == [False]
    assert query_as_owner(url, "SELECT count(*) FROM replays") == [3]


def assert_stored_for(user: User, url: str, lifetime: timedelta, responses: int = 1) -> None:
    left = query_as_owner(url, "SELECT expires_at - now() FROM replays WHERE user_id = %s", user.id)
    assert len(left) == responses
    assert all(lifetime - timedelta(minutes=1) < each <= lifetime for each in left)


def store(url: str, **responses: int) -> None:
    """Store so many responses that expired yesterday, and so many that expire tomorrow."""
    days = {"expired": "yesterday", "live": "tomorrow"}
    with administration(url) as execute:
        for state, count in responses.items():
            user = uuid4()
            execute(f"INSERT INTO users (id) VALUES ('{user}')")
            execute(
                f"INSERT INTO replays SELECT '{user}', number, 'x', 200, '[]', 'x',"
                f" '{days[state]}' FROM generate_series(1, {count}) AS number"
            )
