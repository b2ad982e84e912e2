"""The indexes of the table of tasks, and the lists that they serve."""

from sqlalchemy import Index, text

from db.schema.fields import Serves

NEWEST_FIRST = (text("created_at DESC"), text("id DESC"))


def _newest_first(name: str, field: str, condition: str) -> Index:
    """The tasks with each value of a field but the usual one, the newest first."""
    return Index(
        name,
        *("user_id", field, *NEWEST_FIRST),
        postgresql_where=text(f"deleted_at IS NULL AND {condition}"),
        info={"serves": Serves("created_at", deleted=False, filter=field)},
    )


TASK_INDEXES = (
    Index("tasks_by_revision_range", "user_id", "revision_range"),
    Index(
        "tasks_newest_first",
        *("user_id", *NEWEST_FIRST),
        postgresql_where=text("deleted_at IS NULL"),
        info={"serves": Serves("created_at", deleted=False)},
    ),
    Index("tasks_by_title", "user_id", "title", "id"),
    Index("tasks_by_due", "user_id", "due", "id", postgresql_where=text("due IS NOT NULL")),
    Index("tasks_by_priority", "user_id", "priority", "id"),
    Index("tasks_by_position", "user_id", "position", "id"),
    Index("tasks_by_completion_range", "user_id", "completion_range"),
    _newest_first("tasks_by_priority_newest_first", "priority", "priority <> 0"),
    Index(
        "tasks_in_trash_newest_first",
        *("user_id", *NEWEST_FIRST),
        postgresql_where=text("deleted_at IS NOT NULL"),
        info={"serves": Serves("created_at", deleted=True)},
    ),
    Index(
        "tasks_in_trash",
        *("user_id", text("deleted_at DESC"), text("id DESC")),
        postgresql_where=text("deleted_at IS NOT NULL"),
        info={"serves": Serves("deleted_at", deleted=True)},
    ),
    _newest_first("tasks_of_list_newest_first", "list_id", "list_id IS NOT NULL"),
    Index(
        "tasks_of_list_by_position",
        *("user_id", "list_id", "position", "id"),
        postgresql_where=text("deleted_at IS NULL AND list_id IS NOT NULL"),
        info={"serves": Serves("position", deleted=False, filter="list_id")},
    ),
    _newest_first("tasks_of_parent_newest_first", "parent_id", "parent_id IS NOT NULL"),
    _newest_first("tasks_of_series_newest_first", "series_id", "series_id IS NOT NULL"),
    Index(
        "tasks_by_deletion",
        *("user_id", "deletion"),
        postgresql_where=text("deletion IS NOT NULL"),
    ),
    Index("tasks_to_purge", "deleted_at", postgresql_where=text("deleted_at IS NOT NULL")),
)
