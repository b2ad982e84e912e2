"""Which code can serve the schema that migrations make.

A migration that names its `oldest_code` can be applied while servers of that code run: it takes
nothing away that they use. Any other one is for the code that brings it.
"""

from collections.abc import Iterable

from alembic.script import Script
from sqlalchemy import Connection, text

from db.errors import SchemaOutdated

BEGINS = "0026"
"""The migration that makes the column `oldest_code`."""

OLDER_SERVERS = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND application_name LIKE 'errand%'
   AND application_name COLLATE "C" < 'errand ' || :oldest_code
"""


def oldest_code_of(migrations: Iterable[Script]) -> str:
    """The oldest code that can serve the schema after these migrations; empty if any can."""
    oldest = [getattr(each.module, "oldest_code", each.revision) for each in migrations]
    return max(oldest, default="")


def require_stopped(connection: Connection, oldest_code: str) -> None:
    """Refuse to migrate under servers that cannot serve what comes."""
    count = connection.scalar(text(OLDER_SERVERS), {"oldest_code": oldest_code})
    if oldest_code and count:
        raise SchemaOutdated(
            f"The new schema is for code from {oldest_code} on, but {count} connections to the"
            " database are of servers with older code: stop those first."
        )


def note_oldest_code(connection: Connection, oldest_code: str) -> None:
    """Let servers know whether they can serve the schema."""
    if oldest_code >= BEGINS:
        connection.execute(
            text("UPDATE alembic_version SET oldest_code = greatest(oldest_code, :oldest_code)"),
            {"oldest_code": oldest_code},
        )
