"""What migrations say of a table whose rows are users'."""

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
