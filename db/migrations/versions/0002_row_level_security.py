"""The second wall: the server is a role that sees the rows of one user at a time."""

from alembic import op

from db.migrations.isolation import isolate

revision = "0002"
down_revision = "0001"

# Roles are the whole cluster's: another of its databases may be making it at this moment.
CREATE_ROLE = """
DO $$ BEGIN
    IF to_regrole('errand_app') IS NULL THEN
        CREATE ROLE errand_app LOGIN NOSUPERUSER NOBYPASSRLS;
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;
    WHEN insufficient_privilege THEN
        RAISE insufficient_privilege USING MESSAGE =
            'the role errand_app is missing, and ' || current_user || ' may not create it:'
            ' have a role with CREATEROLE run CREATE ROLE errand_app LOGIN first';
END $$
"""
GRANT_SCHEMA = """
DO $$ BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO errand_app', current_schema());
END $$
"""


def upgrade() -> None:
    op.execute(CREATE_ROLE)
    op.execute(GRANT_SCHEMA)
    op.execute("GRANT SELECT ON alembic_version TO errand_app")
    isolate("users", owner="id")
    isolate("tasks")
