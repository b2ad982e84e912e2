"""SQL for one shard: Citus's planner sees neither its tables nor its functions."""

import re
from collections.abc import Collection, Mapping

from db.schema.tables import OWNED_TABLES

FUNCTIONS = (
    "changed_users",
    "family_of",
    "find_task_texts",
    "has_list",
    "has_subtasks",
    "has_task",
    "owner_of_calendar",
    "purge_lists",
    "purge_replays",
    "purge_trash",
    "replaced_hash",
    "stored_rows",
)
"""The functions that read or write tables of users: each shard has its own, named after it."""


def on_shard(
    sql: str, shards: Mapping[str, int], suffix: int, functions: Collection[str] = FUNCTIONS
) -> str:
    """The SQL with the tables of the shard, each under its own name, and with its functions.

    `shards` has the number of each table's shard; that of the users' is the functions' suffix.
    """

    def renamed(found: re.Match[str]) -> str:
        table = found["table"]
        alias = found["alias"] or f" AS {table}"
        return f"{table}_{shards[table]}{alias}"

    # Neither a column (`tasks.id`, `alike.tasks`, `count(*) AS tasks`), nor an alias that is
    # referred to (`FOR UPDATE OF tasks`), nor a text ('tasks').
    names = "|".join(OWNED_TABLES)
    table = rf"""(?<![.\w"'])(?<!\bAS )(?<!\bOF )(?P<table>{names})\b(?![."'(])(?P<alias> AS )?"""
    called = rf"""(?<![.\w"'])({"|".join(functions)})(?=\()"""
    return re.sub(called, rf"\1_{suffix}", re.sub(table, renamed, sql))
