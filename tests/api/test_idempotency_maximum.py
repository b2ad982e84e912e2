"""The bytes of a user's stored responses have a maximum, and are exact whatever happens at once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from uuid import uuid4

import pytest

from tests.support.contract import assert_refused
from tests.support.databases import query_as_owner
from tests.support.idempotency import (
    MILK,
    assert_replayed,
    key,
    make_older,
    stored_keys,
    toggle,
)
from tests.support.operations import OPERATIONS, Operation, ask, assert_as_described
from tests.support.servers import Serve, errand
from tests.support.users import User

MOST = 2000
KEYED = [each for each in OPERATIONS.values() if each.takes("Idempotency-Key")]


@pytest.fixture
def carol(serve: Serve, own_database: str) -> Iterator[User]:
    """A user of a server that stores few responses of each."""
    with User(serve(DATABASE_URL=own_database, ERRAND_MAX_REPLAY_BYTES=str(MOST))) as user:
        yield user


def stored_bytes(url: str) -> list[int]:
    """The bytes that are kept of each user, after they have proved to be right."""
    sums = "SELECT coalesce(sum(size), 0) FROM replays WHERE user_id = users.id"
    assert query_as_owner(url, f"SELECT id FROM users WHERE replay_bytes <> ({sums})") == []
    return query_as_owner(url, "SELECT replay_bytes FROM users")


def fill(user: User) -> int:
    """Create tasks with keys of their own until it is refused; returns how many."""
    for number in range(100):
        response = user.post(user.tasks, json=MILK, headers=key(number))
        if response.status_code != 201:
            assert_refused(response, 409, "too-many-replays")
            return number
    raise AssertionError("there is no maximum")


def test_new_key_is_refused_at_the_maximum_before_anything_is_done(
    carol: User, own_database: str
) -> None:
    first = carol.post(carol.tasks, json=MILK, headers=key(0))
    created = fill(carol)
    before = carol.get(carol.tasks)

    refused = carol.post(carol.tasks, json=MILK, headers=key("new"))

    assert_refused(refused, 409, "too-many-replays")
    assert refused.headers["Retry-After"] == "3600"
    assert len(before.json()) == created
    assert carol.get(carol.tasks).headers["etag"] == before.headers["etag"]
    assert len(stored_keys(carol, own_database)) == created
    assert MOST <= stored_bytes(own_database)[0] < MOST + 1000
    assert_replayed(carol.post(carol.tasks, json=MILK, headers=key(0)), first)
    assert carol.post(carol.tasks, json=MILK).status_code == 201
    with User(str(carol.base_url)) as another:
        assert another.post(another.tasks, json=MILK, headers=key("new")).status_code == 201


@pytest.mark.parametrize("operation", KEYED, ids=lambda each: each.id)
def test_every_operation_with_a_key_declares_the_refusal(
    alice: User, database_url: str, operation: Operation
) -> None:
    ids = {"user_id": alice.id, "task_id": alice.creates().document["id"]}
    query_as_owner(database_url, "UPDATE users SET replay_bytes = 1e12 WHERE id = %s", alice.id)

    refused = ask(alice, operation, ids=ids, headers=key())

    assert_refused(refused, 409, "too-many-replays")
    assert_as_described(refused, operation)
    assert 1 <= int(refused.headers["Retry-After"]) <= 3600


def test_new_key_is_accepted_once_stored_responses_have_expired(
    carol: User, own_database: str
) -> None:
    fill(carol)
    make_older(own_database, carol, "25 hours")

    done = carol.post(carol.tasks, json=MILK, headers=key("new"))

    assert done.status_code == 201
    assert stored_keys(carol, own_database) == ["new"]
    assert 0 < stored_bytes(own_database)[0] < MOST


def test_expired_responses_stay_deleted_where_that_is_not_enough(
    carol: User, own_database: str
) -> None:
    fill(carol)
    query_as_owner(
        own_database,
        "UPDATE replays SET expires_at = now(), body = '' WHERE key = '0'",
    )
    query_as_owner(
        own_database, "UPDATE users SET replay_bytes = (SELECT sum(size) FROM replays) + 1000"
    )

    refused = carol.post(carol.tasks, json=MILK, headers=key("new"))

    assert_refused(refused, 409, "too-many-replays")
    assert "0" not in stored_keys(carol, own_database)


def test_purge_makes_room_for_new_keys(carol: User, own_database: str) -> None:
    fill(carol)
    make_older(own_database, carol, "25 hours")

    assert errand("purge", DATABASE_URL=own_database).returncode == 0

    assert stored_bytes(own_database) == [0]
    assert toggle(carol, carol.creates()).status_code == 200


def test_erased_user_can_have_as_many_bytes_again(carol: User, own_database: str) -> None:
    created = fill(carol)

    carol.delete(f"/api/{carol.id}")

    assert fill(carol) == created
    assert len(stored_bytes(own_database)) == 1


def test_bytes_are_exact_while_several_servers_store_expire_and_purge(
    serve: Serve, own_database: str
) -> None:
    urls = cycle([serve(DATABASE_URL=own_database), serve(DATABASE_URL=own_database)])
    user_id = str(uuid4())

    def write(number: int) -> list[int]:
        statuses = []
        with User(next(urls)) as user:
            user.id, user.tasks = user_id, f"/api/{user_id}/tasks"
            for count in range(20):
                created = user.post(user.tasks, json=MILK, headers=key(f"{number}-{count}"))
                path = f"{user.tasks}/{uuid4()}"
                missing = user.delete(path, headers=key(f"{number}-{count}-missing"))
                if count % 5 == number:
                    make_older(own_database, user, "25 hours")
                statuses += [created.status_code, missing.status_code]
        return statuses

    def purge(_: int) -> list[int]:
        return query_as_owner(own_database, "SELECT purge_replays(10)")

    with ThreadPoolExecutor(5) as pool:
        purging = pool.map(purge, range(40))
        statuses = {each for found in pool.map(write, range(4)) for each in found}
        assert len(list(purging)) == 40

    # The tables' owner, who ages the responses, may block a request for too long.
    assert {201, 404} <= statuses <= {201, 404, 503}
    assert stored_bytes(own_database)[0] > 0
