"""Everything that a user has, as files."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any
from uuid import UUID

from handlers.context import Context
from handlers.icalendars import todo_parts

NAMES = {
    "application/jsonl": "tasks.jsonl",
    "text/csv": "tasks.csv",
    "text/calendar": "tasks.ics",
}
"""The name of the file of each media type."""

Lines = AsyncGenerator[dict[str, Any], None]


async def export_tasks(
    context: Context, user_id: UUID
) -> tuple[AsyncGenerator[Any, None], int, dict[str, str]]:
    """All that the user has, in the format that the client prefers."""
    with_trash = context.media_type == "application/jsonl"
    lines = context.exports.lines(user_id, with_trash=with_trash)
    items: AsyncGenerator[Any, None] = lines
    if context.media_type == "text/csv":
        items = _rows(lines)
    elif context.media_type == "text/calendar":
        items = todo_parts(_tasks(lines))
    name = NAMES[context.media_type]
    return items, 200, {"Content-Disposition": f'attachment; filename="{name}"'}


async def _rows(lines: Lines) -> Lines:
    """Each task, with the title of its list."""
    titles: dict[str | None, str] = {}
    async with aclosing(lines):
        async for line in lines:
            if line["kind"] == "list":
                titles[line["list"]["id"]] = line["list"]["title"]
            elif line["kind"] == "task":
                yield {**line["task"], "list": titles.get(line["task"]["list_id"])}


async def _tasks(lines: Lines) -> Lines:
    async with aclosing(lines):
        async for line in lines:
            if line["kind"] == "task":
                yield line["task"]
