"""Revisions that never recur, and a trash that is purged."""

import sqlalchemy as sa
from alembic import op

from db.migrations.isolation import let_the_owner_purge, row_security

revision = "0003"
down_revision = "0002"

# A user who is erased and comes back must not count again what was counted before.
MICROSECONDS = "((EXTRACT(epoch FROM clock_timestamp()) * (1000000)::numeric))::bigint"


# The function checks for itself: its caller deletes nothing that is less than a day old, and needs
# no right to tasks. Users are locked before their tasks, as by every write; a user whose row is
# locked, by a write or by another purge, is skipped.
PURGE = """
    CREATE FUNCTION purge_trash(older_than interval, at_most integer) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp
    AS $$
        WITH doomed AS MATERIALIZED (
            SELECT user_id, id FROM tasks
             WHERE deleted_at < now() - greatest(older_than, interval '1 day')
             ORDER BY deleted_at
             LIMIT at_most),
        owners AS MATERIALIZED (
            SELECT id FROM users
             WHERE id IN (SELECT user_id FROM doomed)
             ORDER BY id
               FOR UPDATE SKIP LOCKED),
        purged AS (
            DELETE FROM tasks USING doomed, owners
             WHERE tasks.user_id = owners.id
               AND tasks.user_id = doomed.user_id
               AND tasks.id = doomed.id
               AND tasks.deleted_at < now() - greatest(older_than, interval '1 day')
            RETURNING tasks.user_id, tasks.revision),
        noted AS (
            UPDATE users
               SET revision = users.revision + 1,
                   purged_revision = greatest(users.purged_revision, gone.revision)
              FROM (SELECT user_id, max(revision) AS revision FROM purged GROUP BY user_id) AS gone
             WHERE users.id = gone.user_id)
        SELECT count(*) FROM purged
    $$
"""


def upgrade() -> None:
    op.alter_column("users", "revision", server_default=sa.text(MICROSECONDS))
    op.add_column(
        "users",
        sa.Column("purged_revision", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    )
    in_trash = sa.text("deleted_at IS NOT NULL")
    op.create_index(
        "tasks_in_trash",
        "tasks",
        ["user_id", sa.text("deleted_at DESC"), sa.text("id DESC")],
        postgresql_where=in_trash,
    )
    op.create_index("tasks_to_purge", "tasks", ["deleted_at"], postgresql_where=in_trash)
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    let_the_owner_purge("tasks", "deleted_at IS NOT NULL")
    let_the_owner_purge("users", "true")
    with row_security():
        op.execute(PURGE.format(schema=schema))
    op.execute("REVOKE EXECUTE ON FUNCTION purge_trash FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION purge_trash TO errand_app")
