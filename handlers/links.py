"""The paths of tasks, and the links between the pages of a list (RFC 8288)."""

from collections.abc import Mapping
from urllib.parse import quote
from uuid import UUID

Value = int | str | bool | list[str]
Parameters = Mapping[str, Value | None]


def path_of_tasks(user_id: UUID | str) -> str:
    """The path of a user's tasks."""
    return f"/api/{user_id}/tasks"


def path_of_trash(user_id: UUID | str) -> str:
    """The path of a user's deleted tasks."""
    return f"/api/{user_id}/trash"


def path_of_tags(user_id: UUID | str) -> str:
    """The path of a user's tags."""
    return f"/api/{user_id}/tags"


def path_of_reminders(user_id: UUID | str) -> str:
    """The path of the reminders of a user's tasks."""
    return f"/api/{user_id}/reminders"


def path_of_task(user_id: UUID | str, task_id: str) -> str:
    """The path of one task."""
    return f"/api/{user_id}/tasks/{task_id}"


def path_of_list(user_id: UUID | str, list_id: str) -> str:
    """The path of one list."""
    return f"/api/{user_id}/lists/{list_id}"


def path_of_calendar(secret: str) -> str:
    """The secret path of a calendar."""
    return f"/calendar/{secret}.ics"


def links_by_offset(path: str, offset: int, limit: int, more: bool, filters: Parameters) -> str:
    """The value of a `Link` header: pages by offset."""
    pages = [("first", "offset=0&")]
    if offset > 0:
        pages.append(("prev", f"offset={max(0, offset - limit)}&"))
    if more:
        pages.append(("next", f"offset={offset + limit}&"))
    return _links(path, pages, limit, filters)


def links_by_cursor(
    path: str, previous: str | None, following: str | None, limit: int, filters: Parameters
) -> str:
    """The value of a `Link` header: pages by keyset cursor."""
    pages = [("first", "")]
    if previous:
        pages.append(("prev", f"cursor={previous}&"))
    if following:
        pages.append(("next", f"cursor={following}&"))
    return _links(path, pages, limit, filters)


def links_by_name(path: str, following: str | None, limit: int) -> str:
    """The value of a `Link` header: pages of what comes after a name."""
    pages = [("first", "")]
    if following is not None:
        pages.append(("next", f"after={quote(following, safe='')}&"))
    return _links(path, pages, limit, {})


def _links(path: str, pages: list[tuple[str, str]], limit: int, filters: Parameters) -> str:
    query = f"limit={limit}"
    for name, value in filters.items():
        if value is not None:
            query += _query(name, value)
    links = [f'<{path}?{start}{query}>; rel="{relation}"' for relation, start in pages]
    return ", ".join(links)


def _quoted(value: int | str) -> str:
    return quote(value, safe=":") if isinstance(value, str) else str(value)


def _query(name: str, value: Value) -> str:
    values = value if isinstance(value, list) else [value]
    texts = (str(each).lower() if isinstance(each, bool) else _quoted(each) for each in values)
    return "".join(f"&{name}={text}" for text in texts)
