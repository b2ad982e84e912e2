"""Migrates a database's schema to this version, or checks its version."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.resources import files

import psycopg2
from psycopg2 import errors
from psycopg2.extensions import connection, cursor

from db.errors import DatabaseAway, SchemaOutdated
from db.postgres.refusals import refusal
from db.postgres.roles import APPLICATION, Powers, powers_query, require_fit
from db.schema.tables import OWNED_TABLES

CONNECT_TIMEOUT_SECONDS = 5

NEWEST = max(
    entry.name.removesuffix(".py").split("_", 1)[0]
    for entry in files("db.migrations.versions").iterdir()
    if entry.name[:1].isdigit()
)


def migrate(url: str) -> None:
    """Apply the migrations that the database lacks; several processes may do so at once."""
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError
    from sqlalchemy.exc import SQLAlchemyError

    config = Config()
    config.set_main_option("script_location", "db:migrations")
    require_known(schema_version(url))
    with closing(connect(url)) as opened:
        config.attributes["connect"] = lambda: opened
        try:
            command.upgrade(config, "head")
        except (CommandError, SQLAlchemyError, psycopg2.Error) as error:
            raise SchemaOutdated(f"The database cannot be migrated: {_reason(error)}") from error


def schema_version(url: str) -> str | None:
    """The version of the last migration that was applied; None if none was."""
    with _reading(url) as reading:
        try:
            reading.execute("SELECT version_num FROM alembic_version")
        except errors.UndefinedTable:
            return None
        except psycopg2.Error as error:
            raise SchemaOutdated(
                f"The schema cannot be read: {_reason(error)}. Run `errand migrate` with the"
                f" DATABASE_URL of its owner, and serve as {APPLICATION} or a member of it."
            ) from error
        row = reading.fetchone()
        return str(row[0]) if row else None


def check_role(url: str) -> None:
    """Raise `UnfitRole` if row-level security does not apply to the URL's role."""
    with _reading(url) as reading:
        reading.execute(powers_query(OWNED_TABLES))
        require_fit(Powers(*reading.fetchall()[0]))


@contextmanager
def _reading(url: str) -> Iterator[cursor]:
    """A cursor without transactions, which some poolers refuse: the probe says so better."""
    with closing(connect(url)) as opened:
        opened.autocommit = True
        with opened.cursor() as reading:
            yield reading


def _reason(error: Exception) -> str:
    """The message of the database, without the statement."""
    return str(getattr(error, "orig", error)).strip().splitlines()[0]


def connect(url: str) -> connection:
    """A new connection that blocks; raises `ConnectionRefused` or `DatabaseAway`."""
    try:
        return psycopg2.connect(url, connect_timeout=CONNECT_TIMEOUT_SECONDS)
    except psycopg2.OperationalError as error:
        if refused := refusal(url, error):
            raise refused from error
        reason = _reason(error).rstrip(".")
        raise DatabaseAway(f"The database cannot be reached: {reason}.") from error


def require_newest(version: str | None) -> None:
    """Refuse to work with any schema but this version's."""
    require_known(version)
    if version != NEWEST:
        raise SchemaOutdated(
            f"The database's schema is {version or 'missing'}, but this version needs {NEWEST}. "
            "Run `errand migrate` with the DATABASE_URL of its owner."
        )


def require_known(version: str | None) -> None:
    """Refuse a schema that a later version has made."""
    if version is not None and version > NEWEST:
        raise SchemaOutdated(
            f"The database's schema is {version}, but this version knows none after {NEWEST}. "
            "Install the version of Errand that made it, or a later one."
        )
