"""Tasks below other tasks."""

import sqlalchemy as sa
from alembic import op

from db.migrations.isolation import row_security

revision = "0018"
down_revision = "0017"

# As `has_task`: it sees what was committed while its statement waited for a lock.
HAS_SUBTASKS = """
CREATE FUNCTION has_subtasks(owner uuid, task uuid) RETURNS boolean LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT EXISTS (
        SELECT FROM tasks
         WHERE tasks.user_id = owner AND tasks.parent_id = task AND tasks.deleted_at IS NULL);
END
"""

# The tasks, all that is below them, what their deletions took along, and all that is above them or
# the parents. Each LATERAL with OFFSET is one search in an index, whatever the planner expects.
FAMILY_OF = """
CREATE FUNCTION family_of(owner uuid, task_ids uuid[], parent_ids uuid[]) RETURNS SETOF uuid
LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH RECURSIVE
    below AS (
        SELECT unnest(task_ids) AS id
         UNION
        SELECT child.id FROM below, LATERAL (
            SELECT tasks.id FROM tasks
             WHERE tasks.user_id = owner AND tasks.parent_id = below.id
               AND tasks.deleted_at IS NULL
            OFFSET 0) AS child),
    above AS (
        SELECT unnest(task_ids || parent_ids) AS id
         UNION
        SELECT task.parent_id FROM above, LATERAL (
            SELECT tasks.parent_id FROM tasks
             WHERE tasks.user_id = owner AND tasks.id = above.id AND tasks.parent_id IS NOT NULL
            OFFSET 0) AS task),
    deleted AS (
        SELECT tasks.revision FROM tasks
         WHERE tasks.user_id = owner AND tasks.id = ANY (task_ids)
           AND tasks.deleted_at IS NOT NULL),
    taken_along AS (
        SELECT task.id FROM deleted, LATERAL (
            SELECT tasks.id FROM tasks
             WHERE tasks.user_id = owner AND tasks.deletion = deleted.revision
            OFFSET 0) AS task)
    SELECT id FROM below UNION SELECT id FROM above UNION SELECT id FROM taken_along;
END
"""


def upgrade() -> None:
    op.add_column("tasks", sa.Column("parent_id", sa.Uuid))
    op.create_index(
        "tasks_of_parent_newest_first",
        "tasks",
        ["user_id", "parent_id", sa.text("created_at DESC"), sa.text("id DESC")],
        postgresql_where=sa.text("deleted_at IS NULL AND parent_id IS NOT NULL"),
    )
    with row_security():
        op.execute(HAS_SUBTASKS)
        op.execute(FAMILY_OF)
    for function in ("has_subtasks", "family_of"):
        op.execute(f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {function} TO errand_app")
