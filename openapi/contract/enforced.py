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
    if not settings.requests_a_minute:
        _take_out_responses(document, "429")
        _take_out_headers(document, "RateLimit", "RateLimit-Policy")
    if not settings.require_if_match:
        _take_out_responses(document, "428")
    if not settings.cors_origins:
        _take_out_headers(document, "Access-Control-Allow-Origin")
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
            operation["responses"].pop(status, None)


def _take_out_headers(document: Document, *names: str) -> None:
    shared = document.get("components", {}).get("responses", {}).values()
    own = (each for operation in _operations(document) for each in operation["responses"].values())
    for response in (*shared, *own):
        for name in names:
            response.get("headers", {}).pop(name, None)
        if not response.get("headers", True):
            del response["headers"]


def _operations(document: Document) -> Iterator[Document]:
    for item in document.get("paths", {}).values():
        for operation in item.values():
            if isinstance(operation, dict) and "responses" in operation:
                yield operation
