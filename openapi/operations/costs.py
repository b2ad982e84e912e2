"""The cost of a request for the rate limit: one, or one for each item of a field."""

from collections.abc import Mapping
from typing import Any, Protocol

from openapi.contract.faults import Unsupported, Where

COST = "x-rate-limit-cost"


class CallerQuota(Protocol):
    """The quota of the caller, after the request was admitted and counted as one."""

    async def charge(self, requests: int) -> None:
        """Count the request as so many in all; raise if too few are left."""


def costly_field(definition: Mapping[str, Any], body: Mapping[str, Any], where: Where) -> str:
    """The field of the body whose items are counted; empty if each request costs one."""
    field: str = definition.get(COST, "")
    if field and not (body.get("required") and _is_in_all(body["content"], field)):
        raise Unsupported(f"the body needs the field {field!r}, an array", (*where, COST))
    return field


def _is_in_all(content: Mapping[str, Any], field: str) -> bool:
    schemas = [media["schema"] for media in content.values()]
    return all(
        field in each.get("required", ()) and each["properties"][field].get("type") == "array"
        for each in schemas
    )
