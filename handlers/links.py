"""Where tasks are, and links from one page of a list to the others (RFC 8288)."""

from collections.abc import Mapping
from uuid import UUID

Parameters = Mapping[str, int | str | bool | list[str] | None]


def path_of_tasks(user_id: UUID | str) -> str:
    """The path of a user's tasks."""
    return f"/api/{user_id}/tasks"


def path_of_trash(user_id: UUID | str) -> str:
    """The path of a user's deleted tasks."""
    return f"/api/{user_id}/trash"


def path_of_task(user_id: UUID | str, task_id: str) -> str:
    """The path of one task."""
    return f"/api/{user_id}/tasks/{task_id}"


def links_by_offset(path: str, offset: int, limit: int, more: bool, filters: Parameters) -> str:
    """The value of a `Link` header: pages that are counted."""
    places: dict[str, Parameters] = {"first": {"offset": 0}}
    if offset > 0:
        places["prev"] = {"offset": max(0, offset - limit)}
    if more:
        places["next"] = {"offset": offset + limit}
    return _links(path, places, {"limit": limit, **filters})


def links_by_cursor(
    path: str, previous: str | None, following: str | None, limit: int, filters: Parameters
) -> str:
    """The value of a `Link` header: pages that begin beside a task, wherever it may move."""
    places: dict[str, Parameters] = {"first": {}}
    if previous:
        places["prev"] = {"cursor": previous}
    if following:
        places["next"] = {"cursor": following}
    return _links(path, places, {"limit": limit, **filters})


def _links(path: str, places: Mapping[str, Parameters], alike: Parameters) -> str:
    return ", ".join(
        f'<{path}?{_query({**place, **alike})}>; rel="{relation}"'
        for relation, place in places.items()
    )


def _query(parameters: Parameters) -> str:
    return "&".join(
        f"{name}={str(each).lower() if isinstance(each, bool) else each}"
        for name, value in parameters.items()
        for each in (value if isinstance(value, list) else [value])
        if each is not None
    )
