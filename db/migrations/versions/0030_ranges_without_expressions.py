"""The ranges of revisions are written by each statement, which so need not read an expression."""

import sqlalchemy as sa
from alembic import op

from db.migrations.isolation import open_to_their_owner
from db.postgres.connector import IS_DISTRIBUTED

revision = "0030"
down_revision = "0029"

RANGES = {"revision_range": "revision", "completion_range": "completion_revision"}


def upgrade() -> None:
    if op.get_bind().scalar(sa.text(f"SELECT {IS_DISTRIBUTED}")):
        _write_anew()
        return
    for name in RANGES:
        op.execute(f"ALTER TABLE tasks ALTER COLUMN {name} DROP EXPRESSION")


def _write_anew() -> None:
    """The same for distributed tables, whose columns keep their expressions."""
    for name in RANGES:
        op.drop_column("tasks", name)
        op.add_column("tasks", sa.Column(name, sa.BigInteger))
    with open_to_their_owner("tasks"):
        for name, of in RANGES.items():
            op.execute(f"UPDATE tasks SET {name} = {of} >> 8")
    for name in RANGES:
        op.create_index(f"tasks_by_{name}", "tasks", ["user_id", name])
