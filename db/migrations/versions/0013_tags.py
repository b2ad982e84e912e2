"""Tasks have tags, and each tag has its tasks in the order of creation."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from db.migrations.isolation import isolate

revision = "0013"
down_revision = "0012"

# It runs with the rights of the server's role: what it writes is subject to the policies.
KEEP_TASK_TAGS = """
CREATE FUNCTION keep_task_tags() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, {schema}, pg_temp
AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        DELETE FROM task_tags
         WHERE user_id = OLD.user_id AND created_at = OLD.created_at AND task_id = OLD.id
           AND tag IN (SELECT jsonb_array_elements_text(OLD.tag_keys));
    END IF;
    IF NEW.deleted_at IS NULL THEN
        INSERT INTO task_tags (user_id, tag, created_at, task_id, name)
        SELECT NEW.user_id, pair.tag, NEW.created_at, NEW.id, pair.name
          FROM ROWS FROM (jsonb_array_elements_text(NEW.tag_keys),
                          jsonb_array_elements_text(NEW.tags)) AS pair(tag, name);
    END IF;
    RETURN NULL;
END $$
"""

# The conditions are false for tasks without tags, and a toggle names none of these columns.
TRIGGERS = """
CREATE TRIGGER keep_tags_of_new_task AFTER INSERT ON tasks
    FOR EACH ROW WHEN (NEW.tag_keys IS NOT NULL) EXECUTE FUNCTION keep_task_tags();
CREATE TRIGGER keep_tags_of_changed_task AFTER UPDATE OF tags, deleted_at ON tasks
    FOR EACH ROW WHEN ((OLD.tag_keys IS NOT NULL OR NEW.tag_keys IS NOT NULL)
        AND (OLD.tags <> NEW.tags OR (OLD.deleted_at IS NULL) <> (NEW.deleted_at IS NULL)))
    EXECUTE FUNCTION keep_task_tags();
"""


def upgrade() -> None:
    op.add_column(
        "tasks", sa.Column("tags", JSONB, nullable=False, server_default=sa.text("'[]'::jsonb"))
    )
    op.add_column("tasks", sa.Column("tag_keys", JSONB))
    op.create_table(
        "task_tags",
        sa.Column("user_id", sa.Uuid, sa.ForeignKey("users.id", ondelete="CASCADE")),
        sa.Column("tag", sa.Text(collation="C")),
        sa.Column("created_at", sa.DateTime(timezone=True)),
        sa.Column("task_id", sa.Uuid),
        sa.Column("name", sa.String(50), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "tag", "created_at", "task_id"),
    )
    isolate("task_tags")
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    op.execute(KEEP_TASK_TAGS.format(schema=schema))
    op.execute(TRIGGERS)
