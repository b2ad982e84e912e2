"""The key that seals what clients are given to bring back."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "secrets",
        sa.Column("purpose", sa.String(20), primary_key=True),
        sa.Column("value", sa.LargeBinary, nullable=False),
    )
    # PostgreSQL has no other source of strong randomness without an extension.
    op.execute(
        "INSERT INTO secrets (purpose, value)"
        " VALUES ('seal', uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))"
    )
    op.execute("GRANT SELECT ON secrets TO errand_app")
