"""An index of the words of tasks, which searches bring up to date."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TSVECTOR

from db.migrations.isolation import isolate, open_to_their_owner, row_security

revision = "0016"
down_revision = "0015"

# With row-level security the server's role cannot use the index: its operator is not leak-proof.
# The function uses it, and returns only rows of the user that the statement names. It reads a
# limited number of rows, and no index but this one: `@@` with a user's words finds no others.
FIND_TASK_TEXTS = """
CREATE FUNCTION find_task_texts(words tsquery, at_most integer)
    RETURNS TABLE (user_id uuid, task_id uuid, lexemes tsvector)
    LANGUAGE sql STABLE SECURITY DEFINER ROWS 100
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off SET enable_indexscan = off
BEGIN ATOMIC
    SELECT found.user_id, found.task_id, found.lexemes
      FROM (SELECT task_texts.* FROM task_texts
             WHERE task_texts.lexemes @@ words LIMIT at_most) AS found
     WHERE found.user_id = nullif(current_setting('errand.user_id', true), '')::uuid;
END
"""


def upgrade() -> None:
    op.add_column(
        "users",
        sa.Column("indexed_revision", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    )
    with open_to_their_owner("tasks"):
        op.create_table(
            "task_texts",
            sa.Column("user_id", sa.Uuid, primary_key=True),
            sa.Column("task_id", sa.Uuid, primary_key=True),
            sa.Column("lexemes", TSVECTOR, nullable=False),
            sa.ForeignKeyConstraint(
                ["user_id", "task_id"], ["tasks.user_id", "tasks.id"], ondelete="CASCADE"
            ),
        )
    # All users share the list of what the index does not have yet, and each search reads it.
    op.create_index(
        "task_texts_by_lexeme",
        "task_texts",
        ["lexemes"],
        postgresql_using="gin",
        postgresql_with={"gin_pending_list_limit": 128},
    )
    isolate("task_texts")
    op.execute("CREATE POLICY search ON task_texts FOR SELECT TO CURRENT_USER USING (true)")
    with row_security():
        op.execute(FIND_TASK_TEXTS)
    op.execute("REVOKE EXECUTE ON FUNCTION find_task_texts FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION find_task_texts TO errand_app")
