"""Users have calendars, which are found by the hash of their secret."""

import sqlalchemy as sa
from alembic import op

from db.migrations.isolation import isolate, row_security

revision = "0023"
down_revision = "0022"

# The user is not known before the secret is found. The server's role reads the rows of one user at
# a time; this function of the schema's owner returns the user of one hash, and nothing else.
OWNER_OF_CALENDAR = """
CREATE FUNCTION owner_of_calendar(hash bytea) RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT calendars.user_id FROM {schema}.calendars WHERE calendars.secret_hash = hash;
END
"""


def upgrade() -> None:
    op.create_table(
        "calendars",
        sa.Column("user_id", sa.Uuid, sa.ForeignKey("users.id", ondelete="CASCADE")),
        sa.Column("secret_hash", sa.LargeBinary, nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.text("now()"),
        ),
        sa.PrimaryKeyConstraint("user_id"),
        sa.UniqueConstraint("secret_hash", name="calendars_by_secret"),
    )
    isolate("calendars")
    op.execute("CREATE POLICY secret ON calendars FOR SELECT TO CURRENT_USER USING (true)")
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    with row_security():
        op.execute(OWNER_OF_CALENDAR.format(schema=schema))
    op.execute("REVOKE EXECUTE ON FUNCTION owner_of_calendar FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION owner_of_calendar TO errand_app")
