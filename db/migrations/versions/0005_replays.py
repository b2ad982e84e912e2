"""Answers that are given again to whoever sends the same request with the same key."""

import sqlalchemy as sa
from alembic import op

from db.migrations.isolation import isolate

revision = "0005"
down_revision = "0004"

# The policies hold the owner, too, whose function this is: it needs one of its own. Migrations run
# with row_security off, which the function must not be checked with, nor called.
EXPIRED = "CREATE POLICY expired ON replays TO CURRENT_USER USING (expires_at <= now())"
PURGE = """
CREATE FUNCTION purge_replays(at_most integer) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET row_security = on
BEGIN ATOMIC
    WITH expired AS (
        SELECT user_id, key FROM replays WHERE expires_at <= now()
         LIMIT at_most FOR UPDATE SKIP LOCKED),
    purged AS (
        DELETE FROM replays USING expired
         WHERE replays.user_id = expired.user_id AND replays.key = expired.key
        RETURNING 1)
    SELECT count(*) FROM purged;
END
"""


def upgrade() -> None:
    op.create_table(
        "replays",
        sa.Column("user_id", sa.Uuid, sa.ForeignKey("users.id", ondelete="CASCADE")),
        sa.Column("key", sa.String(255)),
        sa.Column("fingerprint", sa.LargeBinary, nullable=False),
        sa.Column("status", sa.SmallInteger, nullable=False),
        sa.Column("headers", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "key"),
    )
    op.create_index("replays_by_expiry", "replays", ["user_id", "expires_at"])
    isolate("replays")
    op.execute(EXPIRED)
    op.execute(PURGE)
    op.execute("REVOKE ALL ON FUNCTION purge_replays FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION purge_replays TO errand_app")
