"""What writes call is PL/pgSQL: it keeps its plan, which an SQL function makes at each call."""

from alembic import op

revision = "0029"
down_revision = "0028"
oldest_code = "0026"

# A statement sees nothing that was committed while it waited for a lock. Each query of a volatile
# function does.
HAS_TASK = """
CREATE OR REPLACE FUNCTION has_task(owner uuid, task uuid) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    RETURN EXISTS (SELECT FROM tasks WHERE tasks.user_id = owner AND tasks.id = task);
END $$
"""
HAS_LIST = """
CREATE OR REPLACE FUNCTION has_list(owner uuid, list uuid) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM lists
         WHERE lists.user_id = owner AND lists.id = list AND lists.deleted_at IS NULL);
END $$
"""
HAS_SUBTASKS = """
CREATE OR REPLACE FUNCTION has_subtasks(owner uuid, task uuid) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM tasks
         WHERE tasks.user_id = owner AND tasks.parent_id = task AND tasks.deleted_at IS NULL);
END $$
"""
REPLACED_HASH = """
CREATE OR REPLACE FUNCTION replaced_hash(
    owner uuid, task uuid, deleted boolean, expected bigint[], next_revision bigint
) RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    RETURN coalesce(
        (SELECT CASE WHEN deleted THEN 0 ELSE hash_of(tasks.revision) END FROM tasks
          WHERE tasks.user_id = owner AND tasks.id = task
            AND (tasks.deleted_at IS NOT NULL) = deleted
            AND (expected IS NULL OR tasks.revision = ANY (expected))
            AND (next_revision IS NULL
                 OR (tasks.recurrence IS NULL AND tasks.reminders IS NULL))),
        hash_of(next_revision), 0);
END $$
"""


def upgrade() -> None:
    for function in (HAS_TASK, HAS_LIST, HAS_SUBTASKS, REPLACED_HASH):
        op.execute(function)
