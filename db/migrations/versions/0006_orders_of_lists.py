"""Lists in several orders: moments that follow revisions, and updates that write to no index."""

import sqlalchemy as sa
from alembic import op

from db.migrations.isolation import open_to_their_owner

revision = "0006"
down_revision = "0005"

LATEST = """
UPDATE users SET changed_at = greatest(users.changed_at, latest.updated_at)
  FROM (SELECT user_id, max(updated_at) AS updated_at FROM tasks GROUP BY user_id) AS latest
 WHERE users.id = latest.user_id
"""


def upgrade() -> None:
    op.add_column(
        "users",
        sa.Column(
            "changed_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.text("clock_timestamp()"),
        ),
    )
    with open_to_their_owner("users", "tasks"):
        op.execute(LATEST)
    op.add_column(
        "tasks",
        sa.Column("revision_range", sa.BigInteger, sa.Computed("(revision >> 8)", persisted=True)),
    )
    op.drop_index("tasks_by_revision", "tasks")
    op.create_index("tasks_by_revision_range", "tasks", ["user_id", "revision_range"])
    op.alter_column("tasks", "title", type_=sa.String(255, collation="C"))
    op.create_index("tasks_by_title", "tasks", ["user_id", "title", "id"])
    op.create_index(
        "tasks_in_trash_newest_first",
        "tasks",
        ["user_id", sa.text("created_at DESC"), sa.text("id DESC")],
        postgresql_where=sa.text("deleted_at IS NOT NULL"),
    )
