"""What statements compute of a task is stored with it: reads and writes then cost less.

The ranges of revisions are no generated columns any more: each write would parse their expressions.
`rare_fields` is what clients read of the fields that most tasks do not use.
"""

import sqlalchemy as sa
from alembic import op

from db.migrations.isolation import open_to_their_owner
from db.postgres.connector import IS_DISTRIBUTED

revision = "0030"
down_revision = "0029"

RANGES = {"revision_range": "revision", "completion_range": "completion_revision"}

# An SQL function would be prepared anew by each statement that calls it.
HASH_OF = """
CREATE OR REPLACE FUNCTION hash_of(revision bigint) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    RETURN ('x' || encode(substr(sha256(revision::text::bytea), 1, 6), 'hex'))::bit(48)::bigint;
END $$
"""

# For an UPDATE of distributed tables a function must be immutable; with these settings it is.
RARE_OF = """
CREATE FUNCTION rare_of(
    priority smallint, due_on date, due_at timestamptz, start_on date, tags jsonb, list_id uuid,
    parent_id uuid, recurrence text, recurs_from smallint, time_zone text, reminders jsonb,
    series_id uuid
) RETURNS json LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN json_strip_nulls(json_build_object(
        'priority', (ARRAY['none', 'low', 'medium', 'high', 'urgent'])[nullif(priority, 0) + 1],
        'due_on', due_on,
        'due_at', to_char(due_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'start_on', start_on,
        'tags', nullif(tags, '[]'),
        'list_id', list_id,
        'parent_id', parent_id,
        'recurrence', recurrence,
        'recurs_from', (ARRAY['due', 'completion'])[nullif(recurs_from, 0) + 1],
        'time_zone', time_zone,
        'reminders', reminders,
        'series_id', series_id));
END $$
"""
RARE_FIELDS = """
UPDATE tasks SET rare_fields = rare_of(
    priority, due_on, due_at, start_on, tags, list_id, parent_id, recurrence, recurs_from,
    time_zone, reminders, series_id)
 WHERE priority <> 0 OR tags <> '[]' OR recurs_from <> 0
    OR num_nonnulls(due_on, due_at, start_on, list_id, parent_id, recurrence, time_zone, reminders,
                    series_id) > 0
"""


def upgrade() -> None:
    op.execute(HASH_OF)
    op.add_column("tasks", sa.Column("rare_fields", sa.JSON))
    op.execute(RARE_OF)
    with open_to_their_owner("tasks"):
        op.execute(RARE_FIELDS)
    op.execute("DROP FUNCTION rare_of")
    if op.get_bind().scalar(sa.text(f"SELECT {IS_DISTRIBUTED}")):
        _write_ranges_anew()
        return
    for name in RANGES:
        op.execute(f"ALTER TABLE tasks ALTER COLUMN {name} DROP EXPRESSION")


def _write_ranges_anew() -> None:
    """The same for distributed tables, whose columns keep their expressions."""
    for name in RANGES:
        op.drop_column("tasks", name)
        op.add_column("tasks", sa.Column(name, sa.BigInteger))
    with open_to_their_owner("tasks"):
        for name, of in RANGES.items():
            op.execute(f"UPDATE tasks SET {name} = {of} >> 8")
    for name in RANGES:
        op.create_index(f"tasks_by_{name}", "tasks", ["user_id", name])
