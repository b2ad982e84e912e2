"""Tasks have a priority."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column(
        "tasks",
        sa.Column("priority", sa.SmallInteger, nullable=False, server_default=sa.text("0")),
    )
    op.create_index("tasks_by_priority", "tasks", ["user_id", "priority", "id"])
    op.create_index(
        "tasks_by_priority_newest_first",
        "tasks",
        ["user_id", "priority", sa.text("created_at DESC"), sa.text("id DESC")],
        postgresql_where=sa.text("deleted_at IS NULL AND priority <> 0"),
    )
