"""Links from one page of a list to the others (RFC 8288)."""


def page_links(
    path: str, offset: int, limit: int, more: bool, filters: dict[str, bool | None]
) -> str:
    """The value of a `Link` header: the first page, and the neighbours that there are."""
    offsets = {"first": 0}
    if offset > 0:
        offsets["prev"] = max(0, offset - limit)
    if more:
        offsets["next"] = offset + limit
    chosen = "".join(
        f"&{name}={str(value).lower()}" for name, value in filters.items() if value is not None
    )
    return ", ".join(
        f'<{path}?offset={start}&limit={limit}{chosen}>; rel="{relation}"'
        for relation, start in offsets.items()
    )
