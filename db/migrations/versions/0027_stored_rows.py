"""How much waits for the purge, and for how long, as far as that costs nothing to know."""

import sqlalchemy as sa
from alembic import op

from db.migrations.isolation import row_security

revision = "0027"
down_revision = "0026"
oldest_code = "0026"

# Counts are those of the last VACUUM or ANALYZE. The oldest is the first entry of an index.
STORED_ROWS = """
    CREATE FUNCTION stored_rows() RETURNS json
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp
    AS $$
        SELECT json_build_object(
            'trash', (SELECT reltuples FROM pg_class WHERE oid = 'tasks_to_purge'::regclass),
            'replays', (SELECT reltuples FROM pg_class WHERE oid = 'replays'::regclass),
            'oldest', extract(epoch FROM now() - least(
                (SELECT min(deleted_at) FROM tasks WHERE deleted_at IS NOT NULL),
                (SELECT min(deleted_at) FROM lists WHERE deleted_at IS NOT NULL))))
    $$
"""


def upgrade() -> None:
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    with row_security():
        op.execute(STORED_ROWS.format(schema=schema))
    op.execute("REVOKE EXECUTE ON FUNCTION stored_rows FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION stored_rows TO errand_app")
