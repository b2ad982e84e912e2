"""An Idempotency-Key of a request that is still in progress."""

from concurrent.futures import ThreadPoolExecutor

from psycopg2.extensions import connection

from tests.support.contract import assert_refused
from tests.support.idempotency import (
    AFTER_THE_WRITE,
    BEFORE_THE_WRITE,
    MILK,
    assert_replayed,
    blocked_write,
    key,
    toggle,
)
from tests.support.servers import Serve
from tests.support.users import User


def test_key_of_an_unfinished_request_returns_409(
    serve: Serve, own_database: str, blocker: connection
) -> None:
    with User(serve(DATABASE_URL=own_database)) as alice, ThreadPoolExecutor(1) as pool:
        with blocked_write(alice, blocker, BEFORE_THE_WRITE) as wait_until_blocked:
            first = pool.submit(alice.post, alice.tasks, json=MILK, headers=key())
            wait_until_blocked()

            early = alice.post(alice.tasks, json=MILK, headers=key())

            assert_refused(early, 409, "idempotency-key-in-use")
            assert early.headers["retry-after"] == "1"
        assert first.result().status_code == 201
        assert_replayed(alice.post(alice.tasks, json=MILK, headers=key()), first.result())


def test_write_is_rolled_back_if_another_response_was_stored_first(
    serve: Serve, own_database: str, blocker: connection
) -> None:
    """Even if the lock on the key had let it pass."""
    with User(serve(DATABASE_URL=own_database)) as alice, ThreadPoolExecutor(1) as pool:
        task = alice.creates()
        with blocked_write(alice, blocker, AFTER_THE_WRITE) as wait_until_blocked:
            toggled = pool.submit(toggle, alice, task)
            wait_until_blocked()
            blocker.commit()

        assert_refused(toggled.result(), 409, "idempotency-key-in-use")
        assert alice.get(task.url).json() == task.document
