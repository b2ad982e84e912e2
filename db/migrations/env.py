"""How Alembic connects, and what it compares the database with."""

from alembic import context
from sqlalchemy import create_engine, text
from sqlalchemy.pool import StaticPool

from db.migrations.compatibility import note_oldest_code, oldest_code_of, require_stopped
from db.schema.tables import METADATA

# Any number will do, as long as nothing else locks it; see `pg_advisory_xact_lock`.
MIGRATION_LOCK = 0x657272616E64
LOCK_TIMEOUT = "500ms"

engine = create_engine(
    "postgresql+psycopg2://", creator=context.config.attributes["connect"], poolclass=StaticPool
)
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=METADATA)
    with context.begin_transaction():
        # Held until the end of the transaction: servers that start together migrate one by one.
        connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
        # Policies apply to the tables' owner, too: a statement from which they hide rows must fail.
        connection.execute(text("SET LOCAL row_security = off"))
        # Every statement of the servers waits behind a migration that waits for a table.
        connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
        current = context.get_context().get_current_revision()
        pending = context.script.iterate_revisions(context.get_revision_argument(), current)
        oldest_code = oldest_code_of(pending)
        require_stopped(connection, oldest_code)
        context.run_migrations()
        note_oldest_code(connection, oldest_code)
