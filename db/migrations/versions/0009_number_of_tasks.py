"""The number of a user's tasks is kept, so that it can have a maximum."""

import sqlalchemy as sa
from alembic import op

from db.migrations.isolation import open_to_their_owner, row_security

revision = "0009"
down_revision = "0008"

COUNT = """
UPDATE users SET task_count = counted.tasks
  FROM (SELECT user_id, count(*) AS tasks FROM tasks GROUP BY user_id) AS counted
 WHERE users.id = counted.user_id
"""

# A statement sees nothing that was committed while it waited for a lock. Each query of a volatile
# function does.
HAS_TASK = """
CREATE FUNCTION has_task(owner uuid, task uuid) RETURNS boolean LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT EXISTS (SELECT FROM tasks WHERE tasks.user_id = owner AND tasks.id = task);
END
"""

PURGE_TRASH = """
    CREATE OR REPLACE FUNCTION purge_trash(older_than interval, at_most integer) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp
    AS $$
        SELECT pg_advisory_xact_lock('users'::regclass::oid::bigint);
        WITH doomed AS MATERIALIZED (
            SELECT tasks.user_id, tasks.id FROM tasks JOIN users ON users.id = tasks.user_id
             WHERE tasks.deleted_at < now() - greatest(older_than, interval '1 day')
             ORDER BY tasks.deleted_at
             LIMIT at_most
               FOR UPDATE OF users SKIP LOCKED),
        purged AS (
            DELETE FROM tasks USING doomed
             WHERE tasks.user_id = doomed.user_id
               AND tasks.id = doomed.id
               AND tasks.deleted_at < now() - greatest(older_than, interval '1 day')
            RETURNING tasks.user_id, tasks.revision),
        noted AS (
            UPDATE users
               SET revision = users.revision + 1,
                   purged_revision = greatest(users.purged_revision, gone.revision),
                   task_count = users.task_count - gone.tasks
              FROM (SELECT user_id, max(revision) AS revision, count(*) AS tasks
                      FROM purged GROUP BY user_id) AS gone
             WHERE users.id = gone.user_id)
        SELECT count(*) FROM purged
    $$
"""


def upgrade() -> None:
    op.add_column(
        "users",
        sa.Column("task_count", sa.Integer, nullable=False, server_default=sa.text("0")),
    )
    with open_to_their_owner("users", "tasks"):
        op.execute(COUNT)
    with row_security():
        op.execute(HAS_TASK)
    op.execute("REVOKE EXECUTE ON FUNCTION has_task FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION has_task TO errand_app")
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    with row_security():
        op.execute(PURGE_TRASH.format(schema=schema))
