"""Revisions that never recur, and a trash that is purged."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0001"

# A user who is erased and comes back must not count again what was counted before.
MICROSECONDS = "((EXTRACT(epoch FROM clock_timestamp()) * (1000000)::numeric))::bigint"


def upgrade() -> None:
    op.alter_column("users", "revision", server_default=sa.text(MICROSECONDS))
