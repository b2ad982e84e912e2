"""Google Tasks, as Takeout exports it: one JSON document with all lists and their tasks."""

from typing import Any
from uuid import UUID

from db.errors import LineFault
from db.transfers.lines import Incoming, Line, Lines
from handlers.formats.ids import id_from

UNTITLED = "Untitled"


def from_google(lines: Lines, user_id: UUID) -> Lines:
    """The tasks that are not deleted, and their lists."""
    for each in lines:
        if isinstance(each, LineFault):
            yield each
            continue
        for index, found in enumerate(each.value["items"]):
            title = found.get("title") or UNTITLED
            list_id = id_from(user_id, f"google {found['id']}")
            pointer = f"/items/{index}"
            fields = {"id": list_id, "title": title}
            yield Line(None, Incoming("list", fields), pointer)
            for number, task in enumerate(found.get("items", ())):
                if not task.get("deleted"):
                    incoming = Incoming("task", _fields(task, user_id, list_id))
                    yield Line(None, incoming, f"{pointer}/items/{number}")


def _fields(task: dict[str, Any], user_id: UUID, list_id: str) -> dict[str, Any]:
    parent = task.get("parent")
    is_completed = task.get("status") == "completed"
    completed_at = {"completed_at": task["completed"]} if task.get("completed") else {}
    return {
        "id": id_from(user_id, f"google {task['id']}"),
        "title": task.get("title") or UNTITLED,
        "description": task.get("notes") or None,
        "completed": is_completed,
        **(completed_at if is_completed else {}),
        # Google Tasks has days only, written as midnight in UTC.
        "due_on": task["due"][:10] if task.get("due") else None,
        "list_id": list_id,
        "parent_id": id_from(user_id, f"google {parent}") if parent else None,
    }
