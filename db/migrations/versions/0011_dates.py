"""Tasks have dates: when they are due, when they can be started, and when they were completed."""

import sqlalchemy as sa
from alembic import op

from db.migrations.isolation import open_to_their_owner

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("tasks", sa.Column("due_on", sa.Date))
    op.add_column("tasks", sa.Column("due_at", sa.DateTime(timezone=True)))
    op.add_column("tasks", sa.Column("start_on", sa.Date))
    op.add_column("tasks", sa.Column("completed_at", sa.DateTime(timezone=True)))
    with open_to_their_owner("tasks"):
        # The latest change is the closest to the completion that is known.
        op.execute("UPDATE tasks SET completed_at = updated_at WHERE completed")
