"""One query says which of many users have changed."""

import sqlalchemy as sa
from alembic import op

from db.migrations.isolation import row_security

revision = "0019"
down_revision = "0018"

# The server's role reads the row of one user at a time. This function of the schema's owner reads
# those that are named, and returns nothing of them but their revisions.
CHANGED_USERS = """
CREATE FUNCTION changed_users(user_ids uuid[], known bigint[])
    RETURNS TABLE (id uuid, revision bigint)
    LANGUAGE sql STABLE SECURITY DEFINER ROWS 10
    SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT waited.id, coalesce(users.revision, 0)
      FROM unnest(user_ids, known) AS waited (id, revision)
      LEFT JOIN {schema}.users ON users.id = waited.id
     WHERE coalesce(users.revision, 0) <> waited.revision;
END
"""


def upgrade() -> None:
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    with row_security():
        op.execute(CHANGED_USERS.format(schema=schema))
    op.execute("REVOKE EXECUTE ON FUNCTION changed_users FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION changed_users TO errand_app")
