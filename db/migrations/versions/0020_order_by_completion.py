"""Lists in the order in which tasks were completed."""

import sqlalchemy as sa
from alembic import op

from db.migrations.isolation import open_to_their_owner

revision = "0020"
down_revision = "0019"

RANGE = "(completion_revision >> 8)"


def upgrade() -> None:
    number = sa.Column(
        "completion_revision", sa.BigInteger, nullable=False, server_default=sa.text("0")
    )
    op.add_column("tasks", number)
    with open_to_their_owner("tasks", "users"):
        # As if the tasks had been the latest that were completed, in the order of completion.
        op.execute(
            "UPDATE tasks SET completion_revision = ordered.revision"
            " FROM (SELECT user_id, tasks.id, users.revision - row_number() OVER (PARTITION BY"
            " user_id ORDER BY coalesce(completed_at, tasks.created_at) DESC, tasks.id DESC) + 1"
            " AS revision FROM tasks JOIN users ON users.id = tasks.user_id) AS ordered"
            " WHERE tasks.user_id = ordered.user_id AND tasks.id = ordered.id"
        )
    of_range = sa.Column("completion_range", sa.BigInteger, sa.Computed(RANGE, persisted=True))
    op.add_column("tasks", of_range)
    op.create_index("tasks_by_completion_range", "tasks", ["user_id", "completion_range"])
