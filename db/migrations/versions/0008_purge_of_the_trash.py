"""A purge waits for another one, and goes past users who are locked."""

import sqlalchemy as sa
from alembic import op

from db.migrations.isolation import row_security

revision = "0008"
down_revision = "0007"

# Each statement of the function sees what was committed before it began: with the lock, all that
# the purge before it has deleted. Without it two purges took the same tasks, and both believed
# that the trash was empty.
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
                   purged_revision = greatest(users.purged_revision, gone.revision)
              FROM (SELECT user_id, max(revision) AS revision FROM purged GROUP BY user_id) AS gone
             WHERE users.id = gone.user_id)
        SELECT count(*) FROM purged
    $$
"""


def upgrade() -> None:
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    with row_security():
        op.execute(PURGE_TRASH.format(schema=schema))
