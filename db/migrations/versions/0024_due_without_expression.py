"""The column `due` is written by the statements that write the dates."""

from alembic import op

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    op.execute("ALTER TABLE tasks ALTER COLUMN due DROP EXPRESSION")
