"""The schema says which code can serve it, beside its version."""

from alembic import op

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    op.execute("ALTER TABLE alembic_version ADD COLUMN oldest_code text NOT NULL DEFAULT '0026'")
