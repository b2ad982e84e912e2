"""Users, who count the writes of their data, and their tasks."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("revision", sa.BigInteger, nullable=False, server_default=sa.text("1")),
        _moment("created_at"),
    )
    op.create_table(
        "tasks",
        sa.Column("user_id", sa.Uuid, sa.ForeignKey("users.id", ondelete="CASCADE")),
        sa.Column("id", sa.Uuid),
        sa.Column("title", sa.String(255), nullable=False),
        sa.Column("description", sa.String(2000)),
        sa.Column("completed", sa.Boolean, nullable=False, server_default=sa.text("false")),
        _moment("created_at"),
        _moment("updated_at"),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("user_id", "id"),
    )
    op.create_index("tasks_by_revision", "tasks", ["user_id", "revision"], unique=True)
    op.create_index(
        "tasks_newest_first",
        "tasks",
        ["user_id", sa.text("created_at DESC"), sa.text("id DESC")],
        postgresql_where=sa.text("deleted_at IS NULL"),
    )


def _moment(name: str) -> sa.Column[datetime]:
    return sa.Column(
        name, sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()")
    )
