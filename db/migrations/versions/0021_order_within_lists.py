"""Tasks of a list in the order of their positions."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    op.create_index(
        "tasks_of_list_by_position",
        "tasks",
        ["user_id", "list_id", "position", "id"],
        postgresql_where=sa.text("deleted_at IS NULL AND list_id IS NOT NULL"),
    )
