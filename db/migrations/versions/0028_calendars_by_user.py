"""Every unique key begins with the user, so that tables can be distributed by user."""

from alembic import op

revision = "0028"
down_revision = "0027"
oldest_code = "0026"


def upgrade() -> None:
    # The hash of 256 random bits is unique without a constraint.
    op.drop_constraint("calendars_by_secret", "calendars")
    op.create_index("calendars_by_secret", "calendars", ["secret_hash"])
