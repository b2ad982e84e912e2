"""Tasks have a position in the order that their user gives them."""

import sqlalchemy as sa
from alembic import op

from db.migrations.isolation import open_to_their_owner

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    position = sa.Column("position", sa.String(100, "C"), server_default="a0", nullable=False)
    op.add_column("tasks", position)
    with open_to_their_owner("tasks", "users"):
        # As if the tasks had been the latest that their user created, in the order of creation.
        op.execute(
            "UPDATE tasks SET position = 'm' || lpad(to_hex(ordered.revision), 13, '0')"
            " FROM (SELECT user_id, tasks.id, users.revision - row_number() OVER"
            " (PARTITION BY user_id ORDER BY tasks.created_at DESC, tasks.id DESC) + 1 AS revision"
            " FROM tasks JOIN users ON users.id = tasks.user_id) AS ordered"
            " WHERE tasks.user_id = ordered.user_id AND tasks.id = ordered.id"
        )
    op.create_index("tasks_by_position", "tasks", ["user_id", "position", "id"])
