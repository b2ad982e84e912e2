"""Links from one page of a list to the others (RFC 8288)."""

from typing import Any
from urllib.parse import urlencode


def page_links(
    path: str, offset: int, limit: int, more: bool, filters: dict[str, bool | None]
) -> str:
    """The value of a `Link` header: the first page, and the neighbours that there are."""
    offsets = {"first": 0}
    if offset > 0:
        offsets["prev"] = max(0, offset - limit)
    if more:
        offsets["next"] = offset + limit
    chosen = {name: str(value).lower() for name, value in filters.items() if value is not None}

    def link(relation: str, start: int) -> str:
        query: dict[str, Any] = {"offset": start, "limit": limit, **chosen}
        return f'<{path}?{urlencode(query)}>; rel="{relation}"'

    return ", ".join(link(relation, start) for relation, start in offsets.items())
