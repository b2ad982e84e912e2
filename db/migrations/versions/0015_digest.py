"""Each user has a digest of all their data, so that a client can prove that its copy is equal."""

import sqlalchemy as sa
from alembic import op

from db.migrations.isolation import open_to_their_owner, row_security

revision = "0015"
down_revision = "0014"

HASH_OF = """
CREATE FUNCTION hash_of(revision bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ('x' || encode(substr(sha256(revision::text::bytea), 1, 6), 'hex'))
       ::bit(48)::bigint
"""

# A statement sees nothing that was committed while it waited for a lock. Each query of a volatile
# function does. If the task is not as expected, nothing is added, either: both cancel each other.
REPLACED_HASH = """
CREATE FUNCTION replaced_hash(
    owner uuid, task uuid, deleted boolean, expected bigint[], next_revision bigint
) RETURNS bigint LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT coalesce(
        (SELECT CASE WHEN deleted THEN 0 ELSE hash_of(revision) END FROM tasks
          WHERE user_id = owner AND id = task AND (deleted_at IS NOT NULL) = deleted
            AND (expected IS NULL OR revision = ANY (expected))),
        hash_of(next_revision), 0);
END
"""

DIGEST = """
UPDATE users SET digest = (counted.total % 281474976710656)::bigint
  FROM (SELECT user_id, sum(hash_of(revision)) AS total
          FROM tasks WHERE deleted_at IS NULL GROUP BY user_id) AS counted
 WHERE users.id = counted.user_id
"""


def upgrade() -> None:
    with row_security():
        op.execute(HASH_OF)
        op.execute(REPLACED_HASH)
    for function in ("hash_of", "replaced_hash"):
        op.execute(f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {function} TO errand_app")
    op.add_column(
        "users", sa.Column("digest", sa.BigInteger, nullable=False, server_default=sa.text("0"))
    )
    with open_to_their_owner("users", "tasks"):
        op.execute(DIGEST)
