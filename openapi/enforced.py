"""The contract as this server keeps it: what its settings leave out is not served either."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from openapi.settings import Settings

Document = dict[str, Any]


def as_enforced(document: Document, settings: Settings) -> Document:
    """What is served is what is enforced, no more and no less."""
    document = deepcopy(document)
    if not settings.asks_for_tokens:
        _take_out_security(document)
    return document


def _take_out_security(document: Document) -> None:
    document.pop("security", None)
    document.get("components", {}).pop("securitySchemes", None)
    for operation in _operations(document):
        operation.pop("security", None)
    _take_out_responses(document, "401", "403")


def _take_out_responses(document: Document, *statuses: str) -> None:
    for operation in _operations(document):
        for status in statuses:
            operation.get("responses", {}).pop(status, None)


def _operations(document: Document) -> Iterator[Document]:
    for item in document.get("paths", {}).values():
        for operation in item.values():
            if isinstance(operation, dict) and "responses" in operation:
                yield operation
