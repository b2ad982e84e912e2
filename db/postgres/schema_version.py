"""The version of the schema: the one that this code is made for, and that of a database."""

from importlib.resources import files
from typing import NamedTuple

from db.errors import SchemaOutdated

NEWEST = max(
    entry.name.removesuffix(".py").split("_", 1)[0]
    for entry in files("db.migrations.versions").iterdir()
    if entry.name[:1].isdigit()
)

# A database that was not migrated to 0026 yet has no column `oldest_code`.
SCHEMA_COLUMNS = "max(version_num), max(to_jsonb(alembic_version) ->> 'oldest_code')"


class Schema(NamedTuple):
    """What `SCHEMA_COLUMNS` are in a database."""

    version: str | None
    """The last migration that was applied; None if none was."""

    oldest_code: str | None = None
    """The newest migration of the oldest code that can serve this schema."""


def require_served(schema: Schema) -> None:
    """Refuse a schema that this code cannot serve: an earlier one, or one that is too late."""
    require_known(schema)
    if schema.version is None or schema.version < NEWEST:
        raise SchemaOutdated(
            f"The database's schema is {schema.version or 'missing'}, but this version needs"
            f" {NEWEST}. Run `errand migrate` with the DATABASE_URL of its owner."
        )


def require_known(schema: Schema) -> None:
    """Refuse a schema that a later version has made for later code alone."""
    version = schema.version or ""
    oldest = schema.oldest_code or version
    if oldest > NEWEST:
        raise SchemaOutdated(
            f"The database's schema is {version}, for code from {oldest} on, but this version"
            f" knows none after {NEWEST}. Install the version of Errand that made it, or a later"
            " one."
        )
