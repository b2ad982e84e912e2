"""The schema: what the models say is what the migrations make."""

import subprocess
import sys
from collections.abc import Callable
from uuid import uuid4

import psycopg2
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from db.migrate import NEWEST, schema_version
from db.models import Task
from tests.conftest import administration, as_owner, database_named


def empty_database(postgres_url: str) -> str:
    name = f"empty_{uuid4().hex}"
    with administration(postgres_url) as execute:
        execute(f"CREATE DATABASE {name}")
    return database_named(name, postgres_url)


def test_models_and_migrations_agree(new_database: Callable[[], str]) -> None:
    url = as_owner(new_database())
    engine = create_engine("postgresql+psycopg2://", creator=lambda: psycopg2.connect(url))

    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        differences = compare_metadata(context, Task.metadata)
    engine.dispose()

    assert differences == []


def test_the_newest_migration_is_the_head() -> None:
    assert ScriptDirectory("db/migrations").get_heads() == [NEWEST]


def test_a_database_can_be_migrated_by_several_at_once(postgres_url: str) -> None:
    url = empty_database(postgres_url)
    before = schema_version(url)

    command = [sys.executable, "-m", "openapi", "migrate", "--database-url", url]
    together = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(4)]

    assert [process.wait(60) for process in together] == [0] * 4
    assert (before, schema_version(url)) == (None, NEWEST)
