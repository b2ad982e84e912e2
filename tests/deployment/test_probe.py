"""The probe at the start: each way to run a statement must keep its owner."""

import asyncio
import re
from collections.abc import Callable

import pytest
from psycopg2.extensions import parse_dsn

from db.errors import OwnerLost
from db.postgres.pool_options import PoolOptions
from db.postgres.statement import Statement
from db.postgres.transaction import Transaction
from db.probe import probe
from tests.support.databases import administration, query_as_owner
from tests.support.network import way_to
from tests.support.servers import started, url_of
from tests.support.users import User

OWNER_SET = re.compile("SET LOCAL errand.user_id = '[0-9a-f]+'; ")


def options_of(url: str) -> PoolOptions:
    return PoolOptions(
        url=url,
        size=8,
        connect_timeout=10,
        wait_timeout=10,
        overload_timeout=10,
        statement_timeout=10,
    )


@pytest.fixture(scope="module")
def url(new_database: Callable[[], str]) -> str:
    return new_database()


@pytest.mark.parametrize("prepare", [True, False])
def test_probe_leaves_nothing_behind(url: str, prepare: bool) -> None:
    with way_to(url, prepare=prepare) as way:
        asyncio.run(probe(options_of(way)))

    assert query_as_owner(url, "SELECT count(*) FROM users") == [0]


def without_owner_alone(patch: pytest.MonkeyPatch) -> None:
    sql = Statement.sql
    patch.setattr(Statement, "sql", lambda *a, **k: OWNER_SET.sub("", sql(*a, **k)))


def without_owner_in_groups(patch: pytest.MonkeyPatch) -> None:
    made = Statement.preparation_for_each.func  # type: ignore[attr-defined]
    lost = property(lambda self: made(self).replace("set_config('errand.user_id'", "concat('x'"))
    patch.setattr(Statement, "preparation_for_each", lost)


def with_the_owner_of_the_first_in_groups(patch: pytest.MonkeyPatch) -> None:
    made = Statement.preparation_for_each.func  # type: ignore[attr-defined]
    mixed = property(
        lambda self: made(self).replace(
            "set_config('errand.user_id', arguments.user_id::text",
            "set_config('errand.user_id', calls->0->>'user_id'",
        )
    )
    patch.setattr(Statement, "preparation_for_each", mixed)


def without_owner_in_transactions(patch: pytest.MonkeyPatch) -> None:
    send = Transaction._send
    patch.setattr(
        Transaction,
        "_send",
        lambda self, texts, values: send(self, [OWNER_SET.sub("", t) for t in texts], values),
    )


SABOTAGE = [
    (without_owner_alone, "alone"),
    (without_owner_in_groups, "in a group"),
    (with_the_owner_of_the_first_in_groups, "in a group"),
    (without_owner_in_transactions, "in a transaction"),
]


@pytest.mark.parametrize(("plant", "way"), SABOTAGE)
def test_way_that_loses_the_owner_is_found(
    url: str, monkeypatch: pytest.MonkeyPatch, plant: Callable[..., None], way: str
) -> None:
    plant(monkeypatch)

    with pytest.raises(OwnerLost, match=f" {way}.*pooler must run in session or transaction mode"):
        asyncio.run(probe(options_of(url)))

    assert query_as_owner(url, "SELECT count(*) FROM users") == [0]


def test_server_starts_on_a_standby_and_still_finds_a_lost_owner(
    own_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = parse_dsn(own_database)["dbname"]
    with administration(own_database) as execute:
        execute(f"ALTER ROLE errand_app IN DATABASE {name} SET default_transaction_read_only = on")
    server = started(DATABASE_URL=own_database)
    with User(url_of(server)) as alice:
        assert alice.get(alice.tasks).json() == []
    server.terminate()
    server.communicate(timeout=20)

    without_owner_alone(monkeypatch)
    with pytest.raises(OwnerLost, match=" alone "):
        asyncio.run(probe(options_of(own_database)))
