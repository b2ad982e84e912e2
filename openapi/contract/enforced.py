"""The contract reduced by the settings: the served document is exactly what is enforced."""

from collections.abc import Iterable, Iterator
from copy import deepcopy
from typing import Any

from openapi.settings import Settings

Document = dict[str, Any]

COMPONENT = "#/components/"
RESPONSE = COMPONENT + "responses/"
OF_TOKENS = ("not-yours", "keys-away")  # examples among others of the statuses 403 and 503


def as_enforced(document: Document, settings: Settings) -> Document:
    """Return the contract without what these settings switch off, and without unused components."""
    document = deepcopy(document)
    if not settings.requires_tokens:
        _remove_security(document)
    if not settings.requests_a_minute:
        _remove_responses(document, "429")
        _remove_headers(document, "RateLimit", "RateLimit-Policy")
    if not settings.require_if_match:
        _remove_responses(document, "428")
    if not settings.cors_origins:
        _remove_headers(document, "Access-Control-Allow-Origin")
    _set_maximum(document, "wait", settings.long_poll_timeout)
    _remove_unused_components(document)
    return document


def _remove_security(document: Document) -> None:
    # An empty list says that no operation requires a token; without it, the document would not say.
    document["security"] = []
    document.get("components", {}).pop("securitySchemes", None)
    for operation in _operations(document):
        operation.pop("security", None)
    _remove_responses(document, "401")
    shared = document.get("components", {}).get("responses", {})
    for response in shared.values():
        for media in response.get("content", {}).values():
            for name in OF_TOKENS:
                media.get("examples", {}).pop(name, None)
    for operation in _operations(document):
        forbidden = operation["responses"].get("403", {})
        forbidden = shared.get(forbidden.get("$ref", "").removeprefix(RESPONSE), forbidden)
        if not any(media.get("examples") for media in forbidden.get("content", {}).values()):
            operation["responses"].pop("403", None)


def _remove_responses(document: Document, *statuses: str) -> None:
    for operation in _operations(document):
        for status in statuses:
            operation["responses"].pop(status, None)


def _remove_headers(document: Document, *names: str) -> None:
    shared = document.get("components", {}).get("responses", {}).values()
    own = (each for operation in _operations(document) for each in operation["responses"].values())
    for response in (*shared, *own):
        for name in names:
            response.get("headers", {}).pop(name, None)
        if not response.get("headers", True):
            del response["headers"]


def _set_maximum(document: Document, parameter: str, maximum: int) -> None:
    for operation in _operations(document):
        for each in operation.get("parameters", ()):
            if each.get("name") == parameter:
                each["schema"]["maximum"] = maximum


def _operations(document: Document) -> Iterator[Document]:
    for item in document.get("paths", {}).values():
        for operation in item.values():
            if isinstance(operation, dict) and "responses" in operation:
                yield operation


def _remove_unused_components(document: Document) -> None:
    """Keep the components that the paths refer to, directly or through other components."""
    components = document.get("components", {})
    used: set[tuple[str, str]] = set()
    pending = list(_references(document.get("paths", {})))
    while pending:
        kind, name = component = pending.pop()
        if component not in used:
            used.add(component)
            pending += _references(components.get(kind, {}).get(name))
    for kind in components.keys() - {"securitySchemes"}:
        named = {name: each for name, each in components[kind].items() if (kind, name) in used}
        components[kind] = named
        if not named:
            del components[kind]


def _references(node: Any) -> Iterator[tuple[str, str]]:
    """The components that this part of the document refers to, by kind and name."""
    children: Iterable[Any] = ()
    if isinstance(node, dict):
        reference = node.get("$ref")
        if isinstance(reference, str) and reference.startswith(COMPONENT):
            kind, name = reference.removeprefix(COMPONENT).split("/", 1)
            yield kind, name
        children = node.values()
    elif isinstance(node, list):
        children = node
    for child in children:
        yield from _references(child)
