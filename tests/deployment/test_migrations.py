"""Migrations make the schema that the models describe, from any earlier version."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg2.extensions import make_dsn
from sqlalchemy import create_engine

from db.errors import SchemaOutdated
from db.migrate import check_role, migrate, schema_of
from db.postgres.embedded import running_postgres
from db.postgres.roles import APPLICATION, as_application
from db.postgres.schema_version import NEWEST
from db.schema.tables import METADATA
from tests.support import http
from tests.support.databases import (
    administration,
    as_owner,
    away,
    empty_database,
    query,
    query_as_owner,
    statements_that_wait,
    store_task,
)
from tests.support.folders import temporary_folder
from tests.support.polling import eventually
from tests.support.servers import errand, serving, started, url_of, wait_until_ready

TASKS = f"/api/{uuid4()}/tasks"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data folder that does not exist yet."""
    with temporary_folder() as folder:
        yield folder / "data"


@pytest.fixture
def fresh_url(folder: Path) -> Iterator[str]:
    """A new cluster, without the role of the application."""
    with running_postgres(folder, durable=False) as url:
        yield url


def migrated_together(*urls: str) -> list[int]:
    """Run `errand migrate` on each at once; returns their exit codes."""
    with ThreadPoolExecutor(len(urls)) as pool:
        ended = pool.map(lambda url: errand("migrate", "--database-url", url), urls)
        return [each.returncode for each in ended]


def migrate_to(revision: str, url: str) -> None:
    """Make the schema of an earlier version."""
    config = Config()
    config.set_main_option("script_location", "db:migrations")
    with closing(psycopg2.connect(url)) as opened:
        config.attributes["connect"] = lambda: opened
        command.upgrade(config, revision)


def test_models_and_migrations_agree(new_database: Callable[[], str]) -> None:
    url = as_owner(new_database())
    engine = create_engine("postgresql+psycopg2://", creator=lambda: psycopg2.connect(url))

    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        differences = compare_metadata(context, METADATA)
    engine.dispose()

    assert differences == []


def test_newest_migration_is_the_only_head() -> None:
    assert ScriptDirectory("db/migrations").get_heads() == [NEWEST]


IN_USE = """
    SELECT table_name || '.' || column_name || ' ' || data_type FROM information_schema.columns
     WHERE table_schema = 'public'
    UNION ALL SELECT oid::regprocedure || ' ' || prorettype::regtype FROM pg_proc
     WHERE pronamespace = 'public'::regnamespace
"""
"""What code uses: columns and functions, with their types."""

REQUIRED = """
    SELECT table_name || ' ' || column_name FROM information_schema.columns
     WHERE table_schema = 'public' AND is_nullable = 'NO' AND column_default IS NULL
    UNION ALL SELECT conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
     WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT tablename || ' ' || indexdef FROM pg_indexes
     WHERE schemaname = 'public' AND indexdef ~ 'UNIQUE'
"""
"""What rows must have: columns without a default, and constraints."""


def test_migration_beside_which_older_code_serves_asks_nothing_of_it(postgres_url: str) -> None:
    url = empty_database(postgres_url)
    for script in reversed([*ScriptDirectory("db/migrations").walk_revisions()]):
        if not hasattr(script.module, "oldest_code"):
            continue
        migrate_to(str(script.down_revision), url)
        used, required = ({*query_as_owner(url, each)} for each in (IN_USE, REQUIRED))
        tables = {each.split(".")[0] for each in used}
        migrate_to(script.revision, url)
        assert used <= {*query_as_owner(url, IN_USE)}, script.revision
        added = {*query_as_owner(url, REQUIRED)} - required
        assert [each for each in added if each.split()[0] in tables] == [], script.revision


def test_concurrent_migrations_of_one_database_all_succeed(postgres_url: str) -> None:
    url = empty_database(postgres_url)
    before = schema_of(url).version

    assert migrated_together(*[url] * 4) == [0] * 4
    assert (before, schema_of(url).version) == (None, NEWEST)


def test_concurrent_migrations_of_databases_of_one_cluster_all_succeed(fresh_url: str) -> None:
    urls = [empty_database(fresh_url) for _ in range(4)]

    assert migrated_together(*urls) == [0] * 4
    for url in urls:
        check_role(as_application(url))


def test_owner_without_createrole_is_asked_for_the_role_by_name(fresh_url: str) -> None:
    with administration(fresh_url) as execute:
        execute("CREATE ROLE landlord LOGIN")
    url = make_dsn(empty_database(fresh_url, owner="landlord"), user="landlord")

    with pytest.raises(SchemaOutdated, match="CREATE ROLE errand_app LOGIN"):
        migrate(url)
    with administration(fresh_url) as execute:
        execute("CREATE ROLE errand_app LOGIN")
    migrate(url)

    check_role(as_application(url))
    assert schema_of(as_application(url)).version == NEWEST


def test_data_folder_from_before_row_level_security_is_migrated_and_served(
    folder: Path, fresh_url: str
) -> None:
    migrate_to("0001", fresh_url)
    user, task = uuid4(), uuid4()
    with administration(fresh_url) as execute:
        store_task(execute, user, task, title="Buy milk")

    with serving(ERRAND_DATA_DIR=str(folder)) as server:
        found = http.get(f"{server}/api/{user}/tasks/{task}")
        roles = roles_that_serve(fresh_url)

    assert found.json()["title"] == "Buy milk"
    assert roles == [(APPLICATION,)]


def roles_that_serve(url: str) -> list[tuple[str]]:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT usename FROM pg_stat_activity WHERE application_name LIKE 'errand%'"
        )
        return cursor.fetchall()


def test_migration_that_waits_for_a_lock_lets_statements_pass(postgres_url: str) -> None:
    url = empty_database(postgres_url)
    migrate_to("0024", url)
    reader = psycopg2.connect(url, options="-c statement_timeout=5s")
    with closing(psycopg2.connect(url)) as holder, closing(reader), ThreadPoolExecutor(1) as pool:
        query(holder, "SELECT count(*) FROM tasks")
        migrated = pool.submit(migrate, url)
        assert eventually(lambda: statements_that_wait(reader) > 0)
        for _ in range(3):
            assert query(reader, "SELECT count(*) FROM tasks") == [0]
            reader.rollback()
            assert not migrated.done()
        holder.rollback()

        assert migrated.result(60) == NEWEST


def test_migration_for_later_code_alone_is_refused_while_servers_run(postgres_url: str) -> None:
    url = empty_database(postgres_url)
    migrate_to("0024", url)
    with closing(psycopg2.connect(url, application_name="errand 0024")):
        with pytest.raises(SchemaOutdated, match="1 connections"):
            migrate(url)
        assert schema_of(url).version == "0024"

    assert migrate(url) == NEWEST


def test_server_that_finds_an_earlier_schema_is_not_ready_until_it_is_migrated(
    own_database: str, postgres_url: str
) -> None:
    version = "UPDATE alembic_version SET version_num = %s"
    query_as_owner(own_database, version, "0025")
    with away(own_database, postgres_url):
        server = started(DATABASE_URL=own_database, ERRAND_WAIT_TIMEOUT="1")
        assert server.stdout
        assert "responds with 503" in server.stdout.readline()
        url = url_of(server)
    refused = [http.get(f"{url}{path}").status_code for path in ("/health/ready", TASKS)]
    query_as_owner(own_database, version, NEWEST)
    wait_until_ready(url)
    served = http.get(f"{url}{TASKS}").status_code
    server.terminate()
    server.communicate(timeout=20)

    assert (refused, served) == ([503, 503], 200)


def test_what_was_stored_before_it_was_counted_is_counted(postgres_url: str) -> None:
    owner = f"landlord_{uuid4().hex}"
    with administration(postgres_url) as execute:
        execute(f"CREATE ROLE {owner} LOGIN")
    url = make_dsn(empty_database(postgres_url, owner), user=owner)
    migrate_to("0008", url)
    users = [uuid4() for _ in range(3)]
    with administration(url) as execute:
        for number, user in enumerate(users):
            execute(f"INSERT INTO users (id) VALUES ('{user}')")
            execute(
                "INSERT INTO tasks (user_id, id, title, revision, deleted_at)"
                f" SELECT '{user}', gen_random_uuid(), 'x', 1, CASE WHEN n = 1 THEN now() END"
                f" FROM generate_series(1, {number}) AS n"
            )

            execute(
                "INSERT INTO replays (user_id, key, fingerprint, status, headers, body, expires_at)"
                f" SELECT '{user}', 'key', 'x', 200, '[]', 'body', 'tomorrow'"
                f" FROM generate_series(1, {min(number, 1)})"
            )

    migrate(url)

    assert query_as_owner(url, "SELECT task_count FROM users ORDER BY 1") == [0, 1, 2]
    bytes_of_one = len("key" + "[]" + "body") + 100
    kept = query_as_owner(url, "SELECT replay_bytes FROM users ORDER BY 1")
    assert kept == [0, bytes_of_one, bytes_of_one]


def test_tasks_from_before_positions_have_those_of_their_creation(postgres_url: str) -> None:
    owner = f"landlord_{uuid4().hex}"
    with administration(postgres_url) as execute:
        execute(f"CREATE ROLE {owner} LOGIN")
    url = make_dsn(empty_database(postgres_url, owner), user=owner)
    migrate_to("0013", url)
    with administration(url) as execute:
        for _ in range(2):
            user = uuid4()
            execute(f"INSERT INTO users (id, revision) VALUES ('{user}', 300)")
            execute(
                "INSERT INTO tasks (user_id, id, title, revision, created_at)"
                f" SELECT '{user}', gen_random_uuid(), 'x', n, now() - n * interval '1 day'"
                " FROM generate_series(1, 3) AS n"
            )

    migrate(url)

    positions = query_as_owner(url, "SELECT position FROM tasks ORDER BY created_at, user_id")
    assert positions == [f"m{revision:013x}" for revision in (298, 298, 299, 299, 300, 300)]


def test_tasks_from_before_the_order_by_completion_have_one(postgres_url: str) -> None:
    owner = f"landlord_{uuid4().hex}"
    with administration(postgres_url) as execute:
        execute(f"CREATE ROLE {owner} LOGIN")
    url = make_dsn(empty_database(postgres_url, owner), user=owner)
    migrate_to("0019", url)
    user = uuid4()
    with administration(url) as execute:
        execute(f"INSERT INTO users (id, revision) VALUES ('{user}', 300)")
        execute(
            "INSERT INTO tasks (user_id, id, title, revision, completed, completed_at)"
            f" SELECT '{user}', gen_random_uuid(), n, n, true, now() - n * interval '1 day'"
            " FROM generate_series(1, 3) AS n"
        )

    migrate(url)

    completions = "SELECT completion_revision FROM tasks ORDER BY title"
    assert query_as_owner(url, completions) == [300, 299, 298]
