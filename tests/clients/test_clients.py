"""Clients that others' generators make of the contract, type-checked and run."""

import re

import pytest

from tests.support.programs import Client

LIVED = "the task has lived\n"

MODELS = {
    *("ChangePage", "Cleared", "Fault", "Health", "Me", "Problem", "Readiness"),
    *("Calendar", "CreatedCalendar", "DueReminder", "Occurrence", "Reminder"),
    *("Batch", "BatchResult", "BatchResults"),
    *("BatchCreate", "BatchDelete", "BatchRestore", "BatchToggle", "BatchUpdate"),
    *("DeletedTask", "Task", "TaskCreate", "TaskMove", "TaskPatch", "TaskUpdate"),
    *("DeletedList", "ListCreate", "ListPatch", "TaskList"),
    *("ListChange", "ListTombstone", "TaskChange", "TaskTombstone"),
    *("ExportBegin", "ExportEnd", "ExportedList", "ExportedDeletedList", "ExportedTask"),
    *("ExportedDeletedTask", "ExportRow", "Imported", "ImportCounts", "ImportRow", "TodoistRow"),
    *("GoogleTasks", "GoogleTaskList", "GoogleTask"),
    *("DayCount", "ListCount", "PriorityCount", "Summary", "TagCount"),
}
SCALARS = {
    "BatchOperation",
    "Change",
    "Completed",
    "Completion",
    "ExportLine",
    "SkippedDue",
    "CompletedAt",
    "Count",
    "Cursor",
    "Description",
    "DueAt",
    "DueOn",
    "EntityTags",
    "Id",
    "ListIdOfTask",
    "ListTitle",
    "Moment",
    "ParentId",
    "Position",
    "Priority",
    "Recurrence",
    "RecursFrom",
    "Reminders",
    "Revision",
    "SeriesId",
    "Sort",
    "StartOn",
    "Tag",
    "Tags",
    "TimeZone",
    "Timestamp",
    "Title",
    "Token",
}
ENUMS = {
    *("CreateTaskIfNoneMatch", "CreateListIfNoneMatch", "HealthStatus", "Priority", "Sort"),
    *("ReadinessStatus", "RecursFrom", "ShowCalendarAs"),
    *("GoogleTasksKind", "GoogleTaskStatus", "TodoistRowTYPE"),
    *("ExportTasksFormat", "ExportBeginKind", "ExportEndKind"),
    *("ExportedListKind", "ExportedDeletedListKind", "ExportedTaskKind", "ExportedDeletedTaskKind"),
    *("TaskChangeKind", "TaskTombstoneKind", "ListChangeKind", "ListTombstoneKind"),
    *("BatchCreateOp", "BatchDeleteOp", "BatchRestoreOp", "BatchToggleOp", "BatchUpdateOp"),
}
OPERATIONS = {
    *("list_tasks", "create_task", "get_task", "update_task", "delete_task", "toggle_task"),
    *("patch_task", "restore_task", "move_task", "batch_tasks", "list_changes", "list_trash"),
    *("stream_changes", "export_tasks", "import_tasks"),
    *("list_lists", "create_list", "get_list", "patch_list", "delete_list", "restore_list"),
    *("clear_completed", "list_tags", "get_summary", "skip_task", "list_occurrences"),
    "list_reminders",
    *("get_calendar", "create_calendar", "delete_calendar", "show_calendar"),
    *("get_me", "erase_user", "get_liveness", "get_readiness"),
}

pytestmark = pytest.mark.long


def test_a_typescript_client_is_strictly_typed_and_lives_the_life_of_a_task(
    typescript: Client,
) -> None:
    typescript.runs("tsc")

    assert typescript.runs("node", "built/life_of_a_task.js", typescript.server) == LIVED


def test_names_in_a_typescript_client_are_those_of_the_contract(typescript: Client) -> None:
    contract = (typescript.folder / "contract.ts").read_text()

    [operations] = re.findall(r"^export interface operations \{\n(.+?)^\}", contract, re.M | re.S)
    assert set(re.findall(r"^    (\S+): \{$", operations, re.M)) == OPERATIONS
    schemas = re.findall(r"^export type (\w+) = components\['schemas'\]\['(\w+)'\]", contract, re.M)
    assert {name for pair in schemas for name in pair} == MODELS | SCALARS
    assert "handlers" not in contract


def test_a_python_client_is_strictly_typed_and_lives_the_life_of_a_task(python: Client) -> None:
    python.runs("mypy", "life_of_a_task.py")

    assert python.runs("python", "life_of_a_task.py", python.server) == LIVED


def test_names_in_a_python_client_are_those_of_the_contract(python: Client) -> None:
    package = python.folder / "errand_client"

    operations = [path for path in package.glob("api/*/*.py") if path.stem != "__init__"]
    assert {path.stem for path in operations} == OPERATIONS
    assert {path.parent.name for path in operations} == {
        *("tasks", "lists", "overviews", "changes", "calendar", "users", "health", "transfer")
    }
    exported = "from errand_client import models; print(*models.__all__)"
    assert set(python.runs("python", "-c", exported).split()) == MODELS | ENUMS
    assert not [path for path in package.rglob("*.py") if "handlers" in path.read_text()]
