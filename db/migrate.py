"""Migrates a database's schema to this version, or reads its version."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg2
from psycopg2 import errors
from psycopg2.extensions import connection, cursor

from db.errors import DatabaseAway, SchemaOutdated
from db.postgres.refusals import refusal
from db.postgres.roles import APPLICATION, Powers, powers_query, require_fit
from db.postgres.schema_version import NEWEST, SCHEMA_COLUMNS, Schema, require_known
from db.schema.tables import OWNED_TABLES

CONNECT_TIMEOUT_SECONDS = 5
LOCK_PATIENCE_SECONDS = 120
LOCK_PAUSE_SECONDS = 1
"""In which the statements go on that have waited behind a migration."""


def migrate(url: str) -> str:
    """Apply the migrations that the database lacks, and return the version of its schema.

    Several processes may do so at once, while servers go on: no statement of theirs waits long
    behind a migration that waits for a lock.
    """
    schema = schema_of(url)
    require_known(schema)
    if schema.version and schema.version >= NEWEST:
        return schema.version
    deadline = time.monotonic() + LOCK_PATIENCE_SECONDS
    while True:
        try:
            _upgrade(url)
        except errors.LockNotAvailable as error:
            if time.monotonic() > deadline:
                raise _not_migrated(error) from error
            time.sleep(LOCK_PAUSE_SECONDS)
        else:
            return NEWEST


def _upgrade(url: str) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError
    from sqlalchemy.exc import SQLAlchemyError

    config = Config()
    config.set_main_option("script_location", "db:migrations")
    with closing(connect(url)) as opened:
        config.attributes["connect"] = lambda: opened
        try:
            command.upgrade(config, "head")
        except (CommandError, SQLAlchemyError, psycopg2.Error) as error:
            cause = getattr(error, "orig", None)
            if isinstance(cause, errors.LockNotAvailable):
                raise cause from error
            raise _not_migrated(error) from error


def _not_migrated(error: Exception) -> SchemaOutdated:
    return SchemaOutdated(f"The database cannot be migrated: {_reason(error)}")


def schema_of(url: str) -> Schema:
    """The version of the database's schema."""
    with _reading(url) as reading:
        try:
            reading.execute(f"SELECT {SCHEMA_COLUMNS} FROM alembic_version")  # noqa: S608
        except errors.UndefinedTable:
            return Schema(None)
        except psycopg2.Error as error:
            raise SchemaOutdated(
                f"The schema cannot be read: {_reason(error)}. Run `errand migrate` with the"
                f" DATABASE_URL of its owner, and serve as {APPLICATION} or a member of it."
            ) from error
        return Schema(*reading.fetchall()[0])


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
