"""Tasks have reminders, and each user has those of open tasks in the order of time."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from db.migrations.isolation import isolate, row_security

revision = "0025"
down_revision = "0024"

# It runs with the rights of the server's role: what it writes is subject to the policies.
KEEP_TASK_REMINDERS = """
CREATE FUNCTION keep_task_reminders() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, {schema}, pg_temp
AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        DELETE FROM task_reminders
         WHERE user_id = OLD.user_id AND task_id = OLD.id
           AND at IN (SELECT jsonb_array_elements_text(OLD.reminder_times)::timestamptz);
    END IF;
    IF NEW.deleted_at IS NULL AND NOT NEW.completed THEN
        INSERT INTO task_reminders (user_id, at, task_id)
        SELECT NEW.user_id, each::timestamptz, NEW.id
          FROM jsonb_array_elements_text(NEW.reminder_times) AS each;
    END IF;
    RETURN NULL;
END $$
"""

# The conditions are false for tasks without reminders, and a toggle of these names no such column.
TRIGGERS = """
CREATE TRIGGER keep_reminders_of_new_task AFTER INSERT ON tasks
    FOR EACH ROW WHEN (NEW.reminder_times IS NOT NULL) EXECUTE FUNCTION keep_task_reminders();
CREATE TRIGGER keep_reminders_of_changed_task AFTER UPDATE OF reminder_times, deleted_at ON tasks
    FOR EACH ROW WHEN ((OLD.reminder_times IS NOT NULL OR NEW.reminder_times IS NOT NULL)
        AND (OLD.reminder_times IS DISTINCT FROM NEW.reminder_times
             OR OLD.completed <> NEW.completed
             OR (OLD.deleted_at IS NULL) <> (NEW.deleted_at IS NULL)))
    EXECUTE FUNCTION keep_task_reminders();
"""

# The same as before, for statements that change neither tasks that recur nor tasks with reminders.
REPLACED_HASH = """
CREATE OR REPLACE FUNCTION replaced_hash(
    owner uuid, task uuid, deleted boolean, expected bigint[], next_revision bigint
) RETURNS bigint LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT coalesce(
        (SELECT CASE WHEN deleted THEN 0 ELSE hash_of(revision) END FROM tasks
          WHERE user_id = owner AND id = task AND (deleted_at IS NOT NULL) = deleted
            AND (expected IS NULL OR revision = ANY (expected))
            AND (next_revision IS NULL OR (recurrence IS NULL AND reminders IS NULL))),
        hash_of(next_revision), 0);
END
"""


def upgrade() -> None:
    op.add_column("tasks", sa.Column("reminders", JSONB))
    op.add_column("tasks", sa.Column("reminder_times", JSONB))
    op.create_table(
        "task_reminders",
        sa.Column("user_id", sa.Uuid, sa.ForeignKey("users.id", ondelete="CASCADE")),
        sa.Column("at", sa.DateTime(timezone=True)),
        sa.Column("task_id", sa.Uuid),
        sa.PrimaryKeyConstraint("user_id", "at", "task_id"),
    )
    isolate("task_reminders")
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    op.execute(KEEP_TASK_REMINDERS.format(schema=schema))
    op.execute(TRIGGERS)
    with row_security():
        op.execute(REPLACED_HASH)
