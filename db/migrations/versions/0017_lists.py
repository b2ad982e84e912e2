"""Lists, and the tasks in them."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op

from db.migrations.isolation import isolate, let_the_owner_purge, row_security

revision = "0017"
down_revision = "0016"

# As `has_task`: it sees what was committed while its statement waited for a lock.
HAS_LIST = """
CREATE FUNCTION has_list(owner uuid, list uuid) RETURNS boolean LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT EXISTS (
        SELECT FROM lists
         WHERE lists.user_id = owner AND lists.id = list AND lists.deleted_at IS NULL);
END
"""

# As `purge_trash` does it: one purge at a time, past users whose row is locked.
PURGE_LISTS = """
    CREATE FUNCTION purge_lists(older_than interval, at_most integer) RETURNS bigint
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp
    AS $$
        SELECT pg_advisory_xact_lock('users'::regclass::oid::bigint);
        WITH doomed AS MATERIALIZED (
            SELECT lists.user_id, lists.id FROM lists JOIN users ON users.id = lists.user_id
             WHERE lists.deleted_at < now() - greatest(older_than, interval '1 day')
             ORDER BY lists.deleted_at
             LIMIT at_most
               FOR UPDATE OF users SKIP LOCKED),
        purged AS (
            DELETE FROM lists USING doomed
             WHERE lists.user_id = doomed.user_id
               AND lists.id = doomed.id
               AND lists.deleted_at < now() - greatest(older_than, interval '1 day')
            RETURNING lists.user_id, lists.revision),
        noted AS (
            UPDATE users
               SET revision = users.revision + 1,
                   purged_revision = greatest(users.purged_revision, gone.revision)
              FROM (SELECT user_id, max(revision) AS revision FROM purged GROUP BY user_id) AS gone
             WHERE users.id = gone.user_id)
        SELECT count(*) FROM purged
    $$
"""


def upgrade() -> None:
    op.create_table(
        "lists",
        sa.Column("user_id", sa.Uuid, sa.ForeignKey("users.id", ondelete="CASCADE")),
        sa.Column("id", sa.Uuid),
        sa.Column("title", sa.String(255, collation="C"), nullable=False),
        sa.Column("position", sa.String(100, collation="C"), nullable=False),
        _moment("created_at"),
        _moment("updated_at"),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("user_id", "id"),
    )
    op.create_index("lists_by_revision", "lists", ["user_id", "revision"])
    in_trash = sa.text("deleted_at IS NOT NULL")
    op.create_index("lists_to_purge", "lists", ["deleted_at"], postgresql_where=in_trash)
    isolate("lists")
    let_the_owner_purge("lists", "deleted_at IS NOT NULL")
    _add_lists_to_tasks()
    _create_functions()


def _add_lists_to_tasks() -> None:
    op.add_column("tasks", sa.Column("list_id", sa.Uuid))
    op.add_column("tasks", sa.Column("deletion", sa.BigInteger))
    op.create_index(
        "tasks_of_list_newest_first",
        "tasks",
        ["user_id", "list_id", sa.text("created_at DESC"), sa.text("id DESC")],
        postgresql_where=sa.text("deleted_at IS NULL AND list_id IS NOT NULL"),
    )
    op.create_index(
        "tasks_by_deletion",
        "tasks",
        ["user_id", "deletion"],
        postgresql_where=sa.text("deletion IS NOT NULL"),
    )


def _create_functions() -> None:
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    with row_security():
        op.execute(HAS_LIST)
        op.execute(PURGE_LISTS.format(schema=schema))
    for function in ("has_list", "purge_lists"):
        op.execute(f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {function} TO errand_app")


def _moment(name: str) -> sa.Column[datetime]:
    return sa.Column(
        name, sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()")
    )
