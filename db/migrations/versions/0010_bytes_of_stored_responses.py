"""The bytes of a user's stored responses are kept, so that they can have a maximum."""

import sqlalchemy as sa
from alembic import op

from db.migrations.isolation import open_to_their_owner, row_security

revision = "0010"
down_revision = "0009"

# The columns that PostgreSQL stores beside the texts take some hundred bytes, the index included.
SIZE = "octet_length(body) + octet_length(headers) + octet_length((key)::text) + 100"

COUNT = """
UPDATE users SET replay_bytes = counted.bytes
  FROM (SELECT user_id, sum(size) AS bytes FROM replays GROUP BY user_id) AS counted
 WHERE users.id = counted.user_id
"""

# It waits for no lock, and so is part of no deadlock.
PURGE_REPLAYS = """
CREATE OR REPLACE FUNCTION purge_replays(at_most integer) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH expired AS MATERIALIZED (
        SELECT replays.user_id, replays.key FROM replays JOIN users ON users.id = replays.user_id
         WHERE replays.expires_at <= now()
         LIMIT at_most
           FOR UPDATE OF replays SKIP LOCKED
           FOR NO KEY UPDATE OF users SKIP LOCKED),
    purged AS (
        DELETE FROM replays USING expired
         WHERE replays.user_id = expired.user_id AND replays.key = expired.key
        RETURNING replays.user_id, replays.size),
    noted AS (
        UPDATE users SET replay_bytes = users.replay_bytes - gone.bytes
          FROM (SELECT purged.user_id, sum(purged.size) AS bytes
                  FROM purged GROUP BY purged.user_id) AS gone
         WHERE users.id = gone.user_id)
    SELECT count(*) FROM purged;
END
"""


def upgrade() -> None:
    op.add_column(
        "users",
        sa.Column("replay_bytes", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    )
    op.add_column("replays", sa.Column("size", sa.Integer, sa.Computed(SIZE, persisted=True)))
    with open_to_their_owner("users", "replays"):
        op.execute(COUNT)
    with row_security():
        op.execute(PURGE_REPLAYS)
