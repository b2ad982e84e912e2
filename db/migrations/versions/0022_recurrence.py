"""Tasks recur."""

import sqlalchemy as sa
from alembic import op

from db.migrations.isolation import row_security

revision = "0022"
down_revision = "0021"

# The same as before, for statements that do not change tasks that recur: they have a next revision.
REPLACED_HASH = """
CREATE OR REPLACE FUNCTION replaced_hash(
    owner uuid, task uuid, deleted boolean, expected bigint[], next_revision bigint
) RETURNS bigint LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT coalesce(
        (SELECT CASE WHEN deleted THEN 0 ELSE hash_of(revision) END FROM tasks
          WHERE user_id = owner AND id = task AND (deleted_at IS NOT NULL) = deleted
            AND (expected IS NULL OR revision = ANY (expected))
            AND (next_revision IS NULL OR recurrence IS NULL)),
        hash_of(next_revision), 0);
END
"""


def upgrade() -> None:
    op.add_column("tasks", sa.Column("recurrence", sa.String(500)))
    op.add_column(
        "tasks",
        sa.Column("recurs_from", sa.SmallInteger, nullable=False, server_default=sa.text("0")),
    )
    op.add_column("tasks", sa.Column("time_zone", sa.String(32)))
    op.add_column("tasks", sa.Column("series_id", sa.Uuid))
    op.add_column("tasks", sa.Column("skipped_due", sa.String))
    op.create_index(
        "tasks_of_series_newest_first",
        "tasks",
        ["user_id", "series_id", sa.text("created_at DESC"), sa.text("id DESC")],
        postgresql_where=sa.text("deleted_at IS NULL AND series_id IS NOT NULL"),
    )
    with row_security():
        op.execute(REPLACED_HASH)
