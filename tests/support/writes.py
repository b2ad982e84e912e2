"""The ways to write the fields of a task."""

from typing import Any

from tests.support.users import User

WRITES = ["POST", "PUT", "PATCH", "create", "update"]
"""Three requests of their own, and two operations of a batch."""


def written(user: User, way: str, fields: dict[str, Any], **before: Any) -> Any:
    """The response to a write of the fields: of a new task, or of one with other fields before."""
    if way in ("POST", "create"):
        body = {"title": "x", **fields}
        if way == "POST":
            return user.post(user.tasks, json=body)
        return user.post(f"{user.tasks}/batch", json={"operations": [{"op": way, **body}]})
    task = user.creates(**before)
    if way in ("PUT", "PATCH"):
        kind = "application/merge-patch+json" if way == "PATCH" else "application/json"
        return user.request(way, task.url, json=fields, headers={"Content-Type": kind})
    operation = {"op": way, "id": task.document["id"], **fields}
    return user.post(f"{user.tasks}/batch", json={"operations": [operation]})


def task_in(response: Any) -> Any:
    """The task that the response has."""
    assert response.is_success, response.text
    document = response.json()
    return document["results"][0]["task"] if "results" in document else document


def prefix(way: str) -> str:
    """The place of the fields in the body."""
    return "/operations/0" if way in ("create", "update") else ""
