"""Stored responses, replayed to a request that is sent again with the same idempotency key."""

import sqlalchemy as sa
from alembic import op

from db.migrations.isolation import isolate, let_the_owner_purge, row_security

revision = "0005"
down_revision = "0004"

PURGE = """
CREATE FUNCTION purge_replays(at_most integer) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
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
    let_the_owner_purge("replays", "expires_at <= now()")
    with row_security():
        op.execute(PURGE)
    op.execute("REVOKE EXECUTE ON FUNCTION purge_replays FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION purge_replays TO errand_app")
