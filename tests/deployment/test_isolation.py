"""Row-level security: a statement without its owner condition finds no rows of others.

Each statement of the program that is about one user is spoiled, and asked by Alice. A new one is
found by itself; where it would have to be asked with other values than `value_of` gives to hit
Bob's rows, the tests say so, and `VALUES` is the place for them.
"""

import asyncio
import copy
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import psycopg2
import pytest
from psycopg2 import errors
from psycopg2.extensions import make_dsn, register_adapter
from psycopg2.extras import Json

from db.catalogue import CATALOGUE
from db.errors import DatabaseAway, UnfitRole
from db.migrate import check_role
from db.owner import OWNER
from db.postgres.connection import Row
from db.postgres.group_commit import Groups
from db.postgres.pool import Pool
from db.postgres.roles import APPLICATION
from db.postgres.statement import Access, Statement
from db.schema.fields import DEFAULTS
from db.schema.tables import OWNED_TABLES
from db.tasks import statements
from db.tasks.list_queries import ListQuery
from db.tasks.list_shapes import Shape, Start
from db.tasks.list_statements import statement_of
from db.tasks.words import mark_of, vector_of
from openapi.settings import load_settings
from tests.support.cases import for_each
from tests.support.databases import administration, as_owner, temporary_database
from tests.support.fields import FILTERS, WRITABLE, choices_of
from tests.support.network import way_to
from tests.support.servers import PATIENT, Serve, errand
from tests.support.users import User

ALICE, BOB = UUID(int=0xA11CE), UUID(int=0xB0B)
BOBS_TASK = UUID(int=0xB0B_7A5C)
BOBS_TITLE = "Bob's own affair"
BOBS_TOMBSTONE = UUID(int=0xB0B_DEAD)
BOBS_PARENT = UUID(int=0xB0B_9A9A)
BOBS_LIST, BOBS_DELETED_LIST = UUID(int=0xB0B_1157), UUID(int=0xB0B_DE1)

BOBS_REVISION = 7_770_001
KNOWN_OF_BOB = (BOB, BOBS_TASK, BOBS_LIST, BOBS_TITLE, BOBS_REVISION)
TIMES = ("moment", "wait")
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
FUTURE = datetime(9999, 1, 1, tzinfo=UTC)

VALUES = {
    "id": UUID(int=0x2E3),
    "limit": 100,
    "max_tasks": 10**9,
    "max_lists": 1000,
    "list_id": BOBS_LIST,
    "moment": datetime(2000, 1, 1, tzinfo=UTC),
    "changes": {"title": "x"},
    "tag_keys": None,
    "new_key": "new",
    "texts": "[]",
    "lists": "[]",
    "deletions": "[]",
    "indexed_revision": 7,
    "tasks": json.dumps(
        [
            {
                "id": str(UUID(int=0x2E3)),
                **DEFAULTS,
                "title": "x",
                "position": "a0",
                "completion_revision": 9,
                "revision": 9,
                **dict.fromkeys(("created_at", "updated_at"), "2000-01-01T00:00:00Z"),
            }
        ]
    ),
}
VALUES_OF: dict[str, dict[str, Any]] = {
    "create_task": DEFAULTS,
    "create_task_with_user": {**DEFAULTS, "id": BOBS_TOMBSTONE},
    "create_task_with_id": DEFAULTS,
    "create_task_in_list": {**DEFAULTS, "list_id": BOBS_LIST},
    "count_below": {"task_ids": [BOBS_PARENT]},
    "restore_list": {"list_id": BOBS_DELETED_LIST},
    "list_reminders": {"until": FUTURE},
}
# A key that all of Bob's tasks are behind, in the order of the list, as it is read.
KEYS = {
    "created_at": (datetime(2000, 1, 1, tzinfo=UTC), FUTURE),
    "deleted_at": (datetime(2000, 1, 1, tzinfo=UTC), FUTURE),
    "updated_at": (0, 2**53),
    "title": ("", "zzz"),
}


def key_of(shape: Shape) -> dict[str, Any]:
    if shape.start in (Start.FIRST, Start.OFFSET):
        return {}
    least, greatest = KEYS[shape.order.field]
    descending = shape.order.descending is not shape.start.is_backwards
    key = (greatest if descending else least, UUID(int=2**128 - 1 if descending else 0))
    return {f"key_{name}": each for name, each in zip(shape.order.key, key, strict=False)}


FILTERED = [
    {},
    {"q": "own"},
    {name: choices_of(name)[-1] for name in FILTERS},
    # without the default, so that an index has a range for each value
    {name: choices_of(name)[-2] for name in FILTERS if FILTERS[name]["type"] == "array"},
]
LISTS = {
    statement_of(shape): {**query.parameters(BOB), **key_of(shape)}
    for sort in (None, "-updated_at")
    for deleted in (False, True)
    for query in [ListQuery.of(each, sort, deleted=deleted) for each in FILTERED]
    for start in (Start.FIRST, Start.AFTER)
    for is_found in {False, query.is_search or query.shape(start).sorts_few}
    for shape in [query.shape(start)._replace(is_found=is_found)]
}
"""Some of the lists, of each kind of plan, and values by which they would find Bob's tasks."""

VALUES_OF_LISTS = {statement.name: values for statement, values in LISTS.items()}

TYPICAL = {
    "UUID": BOBS_TASK,
    "BOOLEAN": False,
    "INTEGER": 0,
    "BIGINT": 0,
    "BIGINT[]": None,
    "UUID[]": [BOBS_TASK],
    "TEXT[]": ["x"],
    "DATE": LONG_AGO.date(),
    "TIMESTAMP WITH TIME ZONE": LONG_AGO,
    "TIMESTAMP WITH TIME ZONE[]": [LONG_AGO],
    "SMALLINT": 0,
    "BYTEA": b"x",
    "INTERVAL": timedelta(days=1),
}

OF_ONE_USER = [each for each in dict.fromkeys([*CATALOGUE, *LISTS]) if each.has_owner]

# As a connection of the server does.
register_adapter(dict, Json)

in_both_modes = pytest.mark.parametrize("prepare", [True, False], ids=["prepared", "plain"])


def forgetful(statement: Statement) -> Statement | None:
    """The statement as it would be without its owner's conditions, if it has any."""
    compiled = copy.copy(statement._compiled)
    place = rf"\${compiled.positiontup.index(OWNER) + 1}\b(?:::\w+)?"  # type: ignore[union-attr]
    condition = rf"[\w.]+ = {place}|{place} = [\w.]+"
    compiled.string, conditions = re.subn(condition, "true", compiled.string)
    if not conditions:
        return None
    spoiled = copy.copy(statement)
    vars(spoiled).update(_compiled=compiled)
    return spoiled


class Impostor(Statement):
    """A statement about the user that it names, run for Alice."""

    def __init__(self, statement: Statement) -> None:
        super().__init__(statement.name, statement._clause, statement.access)

    def sql(self, values: dict[str, Any], *, prepared: bool) -> str:
        return super().sql({**values, OWNER: ALICE}, prepared=prepared)


FORGETFUL = [spoiled for each in OF_ONE_USER if (spoiled := forgetful(each))]
IMPOSTORS = [Impostor(each) for each in OF_ONE_USER]


def name_of(statement: Statement) -> str:
    return statement.name


def contents() -> Iterator[str]:
    """Statements after which Alice has a task and Bob has a row of each kind."""
    yield from (f"DELETE FROM {table}" for table in reversed(OWNED_TABLES))
    tags = json.dumps([each[0] for each in choices_of("tag")[:4]]).replace("'", "''")
    for user, revision, task, title in (
        (ALICE, 1, UUID(int=1), "Buy milk"),
        (BOB, BOBS_REVISION, BOBS_TASK, BOBS_TITLE),
    ):
        yield (
            "INSERT INTO users (id, revision, task_count, replay_bytes)"
            f" VALUES ('{user}', {revision}, {revision}, {revision})"
        )
        yield (
            "INSERT INTO tasks (user_id, id, title, revision, tags, tag_keys, reminder_times)"
            f" VALUES ('{user}', '{task}', $${title}$$, 1, '{tags}', '{tags}', '[\"now\"]')"
        )
        for key, day in (("x", "tomorrow"), ("expired", "yesterday")):
            yield (
                "INSERT INTO replays (user_id, key, fingerprint, status, headers, body,"
                " expires_at)"
                f" VALUES ('{user}', '{key}', 'x', 200, $${title}$$, 'x', '{day}')"
            )
    yield (
        "INSERT INTO tasks (user_id, id, title, revision, completed, parent_id)"
        f" VALUES ('{BOB}', '{UUID(int=3)}', $${BOBS_TITLE}$$, 2, true, '{BOBS_PARENT}')"
    )
    yield (
        "INSERT INTO lists (user_id, id, title, position, revision, deleted_at)"
        f" VALUES ('{BOB}', '{BOBS_LIST}', $${BOBS_TITLE}$$, 'a', 3, NULL),"
        f" ('{BOB}', '{BOBS_DELETED_LIST}', $${BOBS_TITLE}$$, 'a', 5000001, now())"
    )
    yield (
        "INSERT INTO tasks (user_id, id, title, revision, deleted_at)"
        f" VALUES ('{BOB}', '{BOBS_TOMBSTONE}', $${BOBS_TITLE}$$, 5000000, now())"
    )
    yield (f"INSERT INTO calendars (user_id, secret_hash) VALUES ('{BOB}', 'bob')")
    lexemes = vector_of(mark_of(BOB), BOBS_TITLE, None)
    yield (
        "INSERT INTO task_texts (user_id, task_id, lexemes)"
        f" SELECT user_id, id, $${lexemes}$$ FROM tasks"
    )


class Shared(NamedTuple):
    """A database of many cases, and how it gets its contents again."""

    url: str
    refill: Callable[[], None]


@pytest.fixture(scope="module")
def shared(postgres_url: str) -> Iterator[Shared]:
    script = "; ".join(contents())
    ranks = {name: len(each["enum"]) - 1 for name, each in WRITABLE.items() if "enum" in each}
    with temporary_database(postgres_url) as url, administration(url) as execute:
        for name, rank in ranks.items():  # the last value is one that lists have a range of
            execute(f"ALTER TABLE tasks ALTER {name} SET DEFAULT {rank}")
        yield Shared(url, lambda: execute(script))


@pytest.fixture
def database(shared: Shared) -> str:
    """One where Alice has a task, and Bob has one."""
    shared.refill()
    return shared.url


@pytest.fixture
def owners(database: str) -> Iterator[Any]:
    """A cursor of the tables' owner, whose transaction is rolled back."""
    with closing(psycopg2.connect(as_owner(database))) as connection:
        yield connection.cursor()


def everything_of_bobs(cursor: Any) -> list[list[Row]]:
    found = []
    for table in OWNED_TABLES:
        of_bob = f"SELECT * FROM {table} AS row WHERE row::text LIKE '%{BOB}%'"
        cursor.execute(f"{of_bob} ORDER BY row::text")
        found.append(cursor.fetchall())
    return found


def value_of(name: str, kind: str, user: UUID) -> Any:
    return user if name == OWNER else VALUES.get(name, TYPICAL.get(kind, "x"))


def values_for(statement: Statement, user: UUID) -> dict[str, Any]:
    values = {name: value_of(name, kind, user) for name, kind in statement._parameters}
    return {
        **values,
        **VALUES_OF_LISTS.get(statement.name, {}),
        **VALUES_OF.get(statement.name, {}),
    }


@asynccontextmanager
async def pool_of_one(
    url: str, catalogue: Sequence[Statement], prepare: bool
) -> AsyncIterator[Pool]:
    with way_to(url, prepare=prepare) as way:
        settings = load_settings(database_url=way, pool_size=1, **PATIENT)
        pool = Pool(settings.pool_options(), list(catalogue), OWNED_TABLES)
        pool.open()
        try:
            yield pool
        finally:
            await pool.close()


class Connected:
    """A server's one connection to a database, for many cases."""

    def __init__(self, runner: asyncio.Runner, pool: Pool) -> None:
        self._runner = runner
        self._pool = pool

    def asks(self, statement: Statement, **values: Any) -> list[Row]:
        """The rows that the server would get."""
        return self._runner.run(self._pool.fetch(statement, **values))

    def asks_together(self, statement: Statement, *calls: dict[str, Any]) -> list[Any]:
        """What it would get for each of several calls in one group."""

        async def together() -> list[Any]:
            groups = Groups(self._pool)
            return await asyncio.gather(*(groups.fetch(statement, each) for each in calls))

        return self._runner.run(together())


@contextmanager
def connected(
    url: str, catalogue: Sequence[Statement], *, prepare: bool = True
) -> Iterator[Connected]:
    with asyncio.Runner() as runner:
        opened = pool_of_one(url, catalogue, prepare)
        pool = runner.run(opened.__aenter__())
        try:
            yield Connected(runner, pool)
        finally:
            runner.run(opened.__aexit__(None, None, None))


@pytest.fixture
def honest(database: str, prepare: bool) -> Iterator[Connected]:
    """A connection for the statements as they are."""
    with connected(database, OF_ONE_USER, prepare=prepare) as server:
        yield server


@pytest.fixture
def forgetting(database: str, prepare: bool) -> Iterator[Connected]:
    """A connection for those without the owner's conditions."""
    with connected(database, FORGETFUL, prepare=prepare) as server:
        yield server


@pytest.fixture
def impersonating(database: str, prepare: bool) -> Iterator[Connected]:
    """A connection for those with another owner."""
    with connected(database, IMPOSTORS, prepare=prepare) as server:
        yield server


def of_the_server(relation: str) -> str:
    """The policies that apply to the server's role, as a table."""
    return (
        f"SELECT * FROM pg_policy WHERE polrelid = {relation}"
        f" AND (polroles = '{{0}}' OR '{APPLICATION}'::regrole = ANY (polroles))"
    )


def timeless(statement: Statement, rows: list[Row]) -> list[list[Any]]:
    """The rows without times."""
    return [
        [value for name, value in zip(statement.columns, row, strict=True) if name not in TIMES]
        for row in rows
    ]


def tell_of_bob(rows: list[Row]) -> bool:
    return any(str(known) in str(rows) for known in KNOWN_OF_BOB)


def assert_it_would_reach_bob(cursor: Any, statement: Statement, user: UUID) -> None:
    """Without row-level security, it shows or changes a row of Bob's."""
    before = everything_of_bobs(cursor)
    cursor.execute(statement.bare, values_for(statement, user))
    rows = cursor.fetchall() if cursor.description else []
    is_kept_from_writing = not rows and statement.access is not Access.READ
    reaches = tell_of_bob(rows) or is_kept_from_writing or everything_of_bobs(cursor) != before
    if statement.access is Access.READ and not reaches:  # a number, too, shows whose rows it counts
        [honest] = [each for each in OF_ONE_USER if each.name == statement.name]
        cursor.execute(honest.bare, values_for(honest, ALICE))
        reaches = timeless(honest, cursor.fetchall()) != timeless(honest, rows)
    assert reaches, "see VALUES"
    cursor.connection.rollback()


@for_each("statement", CATALOGUE, ids=name_of)
def test_statement_reads_or_writes_as_it_declares(database: str, statement: Statement) -> None:
    with closing(psycopg2.connect(database)) as connection, connection.cursor() as cursor:
        connection.set_session(readonly=True)
        refused = False
        try:
            cursor.execute(statement.bare, values_for(statement, ALICE))
        except errors.ReadOnlySqlTransaction:
            refused = True

    # A lock of rows is refused in a transaction that only reads, an advisory one is not.
    assert statement.access is Access.LOCK or refused == (statement.access is Access.WRITE)


def test_every_owner_condition_is_removed_by_the_tests() -> None:
    """The owner is left only where an insertion stores it."""
    forgotten = {each.name: each for each in FORGETFUL}
    left = [forgotten.get(each.name, each).bare for each in OF_ONE_USER]

    assert all("INSERT INTO" in sql for sql in left if f"%({OWNER})s" in sql)
    assert FORGETFUL


@in_both_modes
@for_each("statement", FORGETFUL, ids=name_of)
def test_statement_without_its_owner_condition_finds_no_rows_of_others(
    shared: Shared, owners: Any, statement: Statement, forgetting: Connected, honest: Connected
) -> None:
    shared.refill()
    values = values_for(statement, ALICE)
    before = everything_of_bobs(owners)
    assert_it_would_reach_bob(owners, statement, ALICE)

    rows = forgetting.asks(statement, **values)

    assert not tell_of_bob(rows)
    assert everything_of_bobs(owners) == before
    if statement.access is Access.READ:  # a number, too, shows whose rows it counts
        [as_it_is] = [each for each in OF_ONE_USER if each.name == statement.name]
        honest_rows = honest.asks(as_it_is, **values)
        assert timeless(statement, rows) == timeless(as_it_is, honest_rows)


@pytest.mark.parametrize("prepare", [True], ids=["prepared"])
@for_each("statement", [each for each in FORGETFUL if each.returns_document], ids=name_of)
def test_statement_without_its_owner_condition_finds_no_rows_of_others_in_its_group(
    shared: Shared, owners: Any, statement: Statement, forgetting: Connected
) -> None:
    shared.refill()
    alices = values_for(statement, ALICE)
    nothing = {"task_id": UUID(int=0), "list_id": UUID(int=0), "id": BOBS_LIST, "max_tasks": 0}
    bobs = {**values_for(statement, BOB), **nothing}
    before = everything_of_bobs(owners)

    _, found = forgetting.asks_together(statement, bobs, alices)

    assert not tell_of_bob(found)
    assert everything_of_bobs(owners) == before


@in_both_modes
@for_each("statement", IMPOSTORS, ids=name_of)
def test_statement_with_another_owner_finds_nothing(
    shared: Shared, owners: Any, statement: Statement, impersonating: Connected
) -> None:
    shared.refill()
    before = everything_of_bobs(owners)
    assert_it_would_reach_bob(owners, statement, BOB)

    rows: list[Row] = []
    with suppress(errors.InsufficientPrivilege):  # one that would write a row of Bob's
        rows = impersonating.asks(statement, **values_for(statement, BOB))

    assert not tell_of_bob(rows)
    assert everything_of_bobs(owners) == before


@in_both_modes
def test_each_statement_of_a_transaction_has_the_owner_it_names(
    database: str, prepare: bool
) -> None:
    async def transaction() -> list[list[Row]]:
        async with pool_of_one(database, OF_ONE_USER, prepare) as pool, pool.transaction() as both:
            return [
                await both.fetch(statements.GET, user_id=user, task_id=BOBS_TASK)
                for user in (BOB, ALICE, BOB)
            ]

    assert [len(rows) for rows in asyncio.run(transaction())] == [1, 0, 1]


@for_each("table", OWNED_TABLES)
def test_statement_without_an_owner_finds_no_rows_without_an_error(
    database: str, table: str
) -> None:
    all_of_bobs = {"users": 1, "tasks": 3, "lists": 2, "task_tags": 4, "replays": 2}
    rows_of_bob = {**all_of_bobs, "task_texts": 3, "task_reminders": 1, "calendars": 1}[table]
    with closing(psycopg2.connect(database)) as connection, connection.cursor() as cursor:
        counts = []
        for preamble in ("", f"SET LOCAL errand.user_id = '{BOB}'; ", ""):
            cursor.execute(f"{preamble}SELECT count(*) FROM {table}")
            counts += cursor.fetchall()
            connection.commit()

    assert counts == [(0,), (rows_of_bob,), (0,)]


def test_every_table_with_user_data_has_row_level_security(database: str) -> None:
    with closing(psycopg2.connect(database)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname, relrowsecurity, relforcerowsecurity, array_agg(polcmd::text),"
            " bool_and(polpermissive), bool_and(polwithcheck IS NULL), bool_and(polroles = '{0}')"
            f" FROM pg_class LEFT JOIN LATERAL ({of_the_server('pg_class.oid')}) AS policy ON true"
            " WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
            " AND (relname = 'users' OR EXISTS (SELECT FROM pg_attribute"
            " WHERE attrelid = pg_class.oid AND attname = 'user_id' AND NOT attisdropped))"
            " GROUP BY pg_class.oid"
        )
        guards = {name: guard for name, *guard in cursor}

    # One policy for all commands: a row that cannot be read cannot be written.
    assert guards == {table: [True, True, ["*"], True, True, True] for table in OWNED_TABLES}


# The role of the server


def test_server_role_owns_nothing_that_outlasts_its_session(database: str) -> None:
    with closing(psycopg2.connect(database)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT session_user, current_setting('is_superuser')")
        assert cursor.fetchall() == [(APPLICATION, "off")]
        cursor.execute(
            "SELECT rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication,"
            " ARRAY(SELECT roleid FROM pg_auth_members WHERE member = pg_roles.oid),"
            " ARRAY(SELECT objid FROM pg_shdepend JOIN pg_database ON pg_database.oid = dbid"
            " WHERE refobjid = pg_roles.oid AND deptype = 'o' AND datname = current_database()"
            " EXCEPT SELECT oid FROM pg_proc WHERE pronamespace::regnamespace::text ~ '^pg_temp_')"
            " FROM pg_roles WHERE rolname = session_user"
        )
        assert cursor.fetchall() == [(False, [], [])]
        for forbidden in (
            "ALTER TABLE tasks DISABLE ROW LEVEL SECURITY",
            "CREATE TABLE mine ()",
            "UPDATE alembic_version SET version_num = '0001'",
            "TRUNCATE tasks",
            "SET ROLE errand",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                cursor.execute(forbidden)
            connection.rollback()


UNFIT = {
    "a superuser": (["CREATE ROLE {role} LOGIN SUPERUSER"], "superuser"),
    "one that bypasses it": (
        ["CREATE ROLE {role} LOGIN BYPASSRLS IN ROLE errand_app"],
        "bypasses row-level security",
    ),
    "one that can become one that does": (
        [
            "CREATE ROLE {role}_too BYPASSRLS",
            "CREATE ROLE {role} LOGIN NOINHERIT IN ROLE errand_app, {role}_too",
        ],
        "may become a role that does",
    ),
    "the owner of a table": (
        ["CREATE ROLE {role} LOGIN IN ROLE errand_app", "ALTER TABLE users OWNER TO {role}"],
        "owns the tables",
    ),
    "a member of the owner": (
        [
            "CREATE ROLE {role}_too",
            "CREATE ROLE {role} LOGIN IN ROLE errand_app, {role}_too",
            "ALTER TABLE tasks OWNER TO {role}_too",
        ],
        "member of the role that does",
    ),
    "one that a table is open to": (
        [
            "CREATE ROLE {role} LOGIN IN ROLE errand_app",
            "ALTER TABLE tasks DISABLE ROW LEVEL SECURITY",
        ],
        "finds no row-level security on tasks",
    ),
}


@pytest.fixture(params=UNFIT)
def unfit(request: pytest.FixtureRequest, own_database: str) -> tuple[str, str]:
    """The URL of a role that should not serve, and why."""
    commands, reason = UNFIT[request.param]
    role = f"unfit_{uuid4().hex}"
    with administration(own_database) as execute:
        for command in commands:
            execute(command.format(role=role))
    return make_dsn(own_database, user=role), reason


def test_role_is_refused_that_is(unfit: tuple[str, str]) -> None:
    url, reason = unfit

    with pytest.raises(UnfitRole, match=f"{reason}.* Connect as errand_app"):
        check_role(url)


def test_server_with_an_unfit_role_does_not_start(database: str) -> None:
    ended = errand("serve", "--database-url", as_owner(database))

    assert ended.returncode == 1
    assert "Connect as errand_app" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_unfit_role_that_was_not_checked_at_start_is_refused_at_first_use(
    database: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PATIENT, "wait_timeout", "1")
    with pytest.raises(DatabaseAway), connected(as_owner(database), [statements.GET]) as server:
        server.asks(statements.GET, user_id=BOB, task_id=BOBS_TASK)

    assert "Connect as errand_app" in caplog.text


def test_member_of_the_application_role_can_serve(serve: Serve, database: str) -> None:
    with administration(database) as execute:
        execute("CREATE ROLE web LOGIN IN ROLE errand_app")
    server = serve(DATABASE_URL=make_dsn(database, user="web"))

    with User(server) as alice, User(server) as carol:
        task = alice.creates()
        assert [each["id"] for each in alice.get(alice.tasks).json()] == [task.document["id"]]
        assert carol.get(carol.tasks).json() == []
