"""Everything that a user has, as files."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import asdict
from itertools import chain
from typing import Any
from uuid import UUID

from db.transfers.lines import Line, Lines
from db.transfers.staging import fault_at
from db.transfers.stamps import Limits
from handlers.context import Context
from handlers.files import File
from handlers.formats.exports import from_json_lines, from_rows
from handlers.formats.google import from_google
from handlers.formats.todoist import from_todoist
from handlers.formats.todos import from_todos
from handlers.icalendars import todo_parts

NAMES = {
    "application/jsonl": "tasks.jsonl",
    "text/csv": "tasks.csv",
    "text/calendar": "tasks.ics",
}
"""The name of the file of each media type."""

Exported = AsyncGenerator[dict[str, Any], None]


async def export_tasks(
    context: Context, user_id: UUID
) -> tuple[AsyncGenerator[Any, None], int, dict[str, str]]:
    """All that the user has, in the format that the client prefers."""
    with_trash = context.media_type == "application/jsonl"
    lines = context.transfers.exported(user_id, with_trash=with_trash)
    items: AsyncGenerator[Any, None] = lines
    if context.media_type == "text/csv":
        items = _rows(lines)
    elif context.media_type == "text/calendar":
        items = todo_parts(_tasks(lines))
    name = NAMES[context.media_type]
    return items, 200, {"Content-Disposition": f'attachment; filename="{name}"'}


async def _rows(lines: Exported) -> Exported:
    """Each task, with the title of its list."""
    titles: dict[str | None, str] = {}
    async with aclosing(lines):
        async for line in lines:
            if line["kind"] == "list":
                titles[line["list"]["id"]] = line["list"]["title"]
            elif line["kind"] == "task":
                yield {**line["task"], "list": titles.get(line["task"]["list_id"])}


async def _tasks(lines: Exported) -> Exported:
    async with aclosing(lines):
        async for line in lines:
            if line["kind"] == "task":
                yield line["task"]


async def import_tasks(
    context: Context, user_id: UUID, dry_run: bool, body: File
) -> dict[str, Any]:
    """Import all lists and tasks of a file, or none."""
    limits = Limits(context.max_tasks, context.max_lists)
    lines = _incoming(body, user_id)
    result = await context.transfers.imported(user_id, lines, limits, dry_run=dry_run)
    return {"dry_run": dry_run, "lists": asdict(result.lists), "tasks": asdict(result.tasks)}


def _incoming(file: File, user_id: UUID) -> Lines:
    """The lines as they are imported."""
    match file.media_type:
        case "application/jsonl":
            return from_json_lines(file.lines)
        case "text/calendar":
            return _checked(from_todos(file.lines, user_id), file)
        case "application/json":
            return _checked(from_google(file.lines, user_id), file)
    first = next(file.lines, None)
    lines = chain([] if first is None else [first], file.lines)
    if isinstance(first, Line) and "TYPE" in first.value:
        return _checked(from_todoist(lines, user_id), file)
    return from_rows(lines, user_id)


def _checked(lines: Lines, file: File) -> Lines:
    """Lines of other programs: what becomes of them is what a client could send."""
    for each in lines:
        faults = file.faults(each.value) if isinstance(each, Line) else []
        yield from (fault_at(each, *fault) for fault in faults if isinstance(each, Line))
        if not faults:
            yield each
