"""The tools that the contract offers to agents, as an OpenAPI document of its own."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from connexion.http_facts import METHODS

from db.owner import OWNER

TOOL = "x-tool"
ARGUMENT = "x-tool-argument"
OWN = "@me"
"""The caller's id in a path, until a request is sent: no argument can be this text unescaped."""

Document = dict[str, Any]


def tools_of(contract: Document) -> Document:
    """The operations with `x-tool`, with the arguments and results that agents need.

    The path names its owner by itself. Headers with `x-tool-argument` are arguments of that name,
    which an answer of the status `required-with` makes required; other headers are left out. A
    list is an object that also says how to go on. Nothing of it is shared with the contract.
    """
    contract = deepcopy(contract)
    paths: Document = {}
    for path, method, operation in _operations(contract):
        own_path = path.replace(f"{{{OWNER}}}", OWN)
        paths.setdefault(own_path, {})[method] = _tool(contract, operation)
    schemas = contract["components"]["schemas"]
    return {
        "openapi": contract["openapi"],
        "info": contract["info"],
        "paths": paths,
        "components": {"schemas": schemas},
    }


def headers_of_arguments(contract: Document) -> dict[str, str]:
    """The header of each argument that is sent in one, by the argument's name."""
    return {
        argument["name"]: parameter["name"]
        for _, _, operation in _operations(contract)
        for parameter in _parameters(contract, operation)
        if (argument := parameter.get(ARGUMENT))
    }


def _operations(contract: Document) -> Iterator[tuple[str, str, Document]]:
    for path, item in contract["paths"].items():
        for method in item.keys() & METHODS:
            if item[method].get(TOOL):
                yield path, method, item[method]


def _tool(contract: Document, operation: Document) -> Document:
    responses = {
        status: _result(_resolved(contract, response))
        for status, response in operation["responses"].items()
        if status.startswith("2")
    }
    kept = ("operationId", "summary", "description", "requestBody")
    return {
        **{name: operation[name] for name in kept if name in operation},
        "parameters": list(_arguments(contract, operation)),
        "responses": responses,
    }


def _arguments(contract: Document, operation: Document) -> Iterator[Document]:
    statuses = operation["responses"].keys()
    for parameter in _parameters(contract, operation):
        if argument := parameter.get(ARGUMENT):
            described = {name: argument[name] for name in ("name", "description", "schema")}
            yield {"in": "header", "required": argument["required-with"] in statuses, **described}
        elif parameter.get(TOOL, parameter["in"] != "header" and parameter["name"] != OWNER):
            yield parameter


def _parameters(contract: Document, operation: Document) -> Iterator[Document]:
    for parameter in operation.get("parameters", ()):
        yield _resolved(contract, parameter)


def _result(response: Document) -> Document:
    """The response, of a list as a page: its items, and the arguments of the next page."""
    for media in response.get("content", {}).values():
        schema = media["schema"]
        if schema.get("type") == "array":
            return {**response, "content": {"application/json": {"schema": _page(schema)}}}
    return response


def _page(items: Document) -> Document:
    further = "What to call the tool with, besides the same arguments, for more; null at the end."
    return {
        "type": "object",
        "required": ["items", "next"],
        "properties": {
            "items": items,
            "next": {"type": "object", "nullable": True, "description": further},
        },
    }


def _resolved(contract: Document, node: Document) -> Document:
    """The part of the document that a reference names, or the node itself."""
    while (reference := node.get("$ref")) is not None:
        node = contract
        for name in reference.removeprefix("#/").split("/"):
            node = node[name]
    return node
