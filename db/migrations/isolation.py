"""What migrations say of a table whose rows are users'."""

from collections.abc import Iterator
from contextlib import contextmanager

from alembic import op


def isolate(table: str, owner: str = "user_id") -> None:
    """Let the server use the table, and each of its statements those rows alone that it is about.

    Without an owner there are no rows, and no error: the setting is NULL before its first use on a
    connection, and empty after it. What may be seen is also what may be written.
    """
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO errand_app")
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY owner ON {table}"
        f" USING ({owner} = nullif(current_setting('errand.user_id', true), '')::uuid)"
    )


def let_the_owner_purge(table: str, condition: str) -> None:
    """Let a function of the schema's owner reach these rows, those of all users."""
    op.execute(f"CREATE POLICY purge ON {table} TO CURRENT_USER USING ({condition})")


@contextmanager
def row_security() -> Iterator[None]:
    """Create a function to which policies apply: migrations run with row_security off."""
    op.execute("SET LOCAL row_security = on")
    yield
    op.execute("SET LOCAL row_security = off")


@contextmanager
def open_to_their_owner(*tables: str) -> Iterator[None]:
    """Let a migration read and change the rows of the tables, if their owner is not a superuser.

    A new column does not need it. An UPDATE does, and a foreign key of an existing table.
    """
    for table in tables:
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    yield
    for table in tables:
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
