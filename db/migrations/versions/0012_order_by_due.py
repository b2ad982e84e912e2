"""Lists in the order in which tasks are due."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

DUE = "COALESCE(due_at, ((due_on)::timestamp without time zone AT TIME ZONE 'UTC'::text))"


def upgrade() -> None:
    due = sa.Column("due", sa.DateTime(timezone=True), sa.Computed(DUE, persisted=True))
    op.add_column("tasks", due)
    op.create_index(
        "tasks_by_due",
        "tasks",
        ["user_id", "due", "id"],
        postgresql_where=sa.text("due IS NOT NULL"),
    )
