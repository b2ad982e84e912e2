"""Bring a database's schema to this version, or find out whether it is there."""

from importlib.resources import files
from typing import Any

import psycopg2
from psycopg2 import errors

from db.errors import SchemaOutdated

NEWEST = max(
    entry.name.removesuffix(".py").split("_", 1)[0]
    for entry in files("db.migrations.versions").iterdir()
    if entry.name[:1].isdigit()
)


def migrate(url: str) -> None:
    """Apply the migrations that the database lacks; several processes may do so at once."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "db:migrations")
    with psycopg2.connect(url) as connection:
        config.attributes["connect"] = lambda: connection
        command.upgrade(config, "head")
    connection.close()


def schema_version(url: str, *, connect_timeout: int) -> str | None:
    """The last migration that the database has seen."""
    connection: Any = psycopg2.connect(url, connect_timeout=connect_timeout)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT version_num FROM alembic_version")
            row = cursor.fetchone()
            return str(row[0]) if row else None
    except errors.UndefinedTable:
        return None
    finally:
        connection.close()


def require_newest(version: str | None) -> None:
    """Refuse to work with any schema but this version's."""
    if version != NEWEST:
        raise SchemaOutdated(
            f"The database's schema is {version or 'missing'}, but this version needs {NEWEST}. "
            "Run `errand migrate` with the same DATABASE_URL."
        )
