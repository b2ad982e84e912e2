"""Breaking changes between two versions of a contract.

A request that was valid must stay valid, and a response must be one that clients know. They are
taken to ignore a field, a header or an error that is new to them.
"""

from collections.abc import Callable, Collection, Iterator
from typing import Any, Literal

Node = dict[str, Any]
Compare = Callable[[Node, Node], Iterator[str]]
Direction = Literal["request", "response"]

METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}
WIDER = {("integer", "number"), ("int32", "int64"), ("float", "double")}

# Whether a schema with the value `b` of these keywords allows all that one with `a` allows.
RULES: dict[str, Callable[[Any, Any], Any]] = {
    "type format pattern multipleOf not": lambda a, b: b is None or a == b or (a, b) in WIDER,
    "maximum maxLength maxItems maxProperties": lambda a, b: (
        b in (None, a) or (a is not None and a < b)
    ),
    "minimum minLength minItems minProperties": lambda a, b: (
        b in (None, a) or (a is not None and a > b)
    ),
    "exclusiveMinimum exclusiveMaximum uniqueItems": lambda a, b: a or not b,
    "nullable": lambda a, b: b or not a,
    "enum": lambda a, b: b is None or (a is not None and all(value in b for value in a)),
}
# Schemas that are compared branch by branch. A value needs one branch, of allOf every branch.
BRANCHES = {"anyOf", "oneOf", "allOf"}


def breaking_changes(old: Node, new: Node) -> list[str]:
    """Each change that can break a client of the old contract, with its location."""
    return sorted(_each(_operations(old), _operations(new), _operation))


def _operations(document: Node) -> dict[str, Node]:
    """Every operation by its method and path, with all that it refers to and inherits."""
    whole = _followed(document, document)
    return {
        f"{method.upper()} {path}": {
            **operation,
            "security": operation.get("security", whole.get("security")) or [{}],
            "inputs": {
                f"{part['in']} parameter {part['name']}": part
                for part in (*item.get("parameters", ()), *operation.get("parameters", ()))
            }
            | ({"body": operation["requestBody"]} if "requestBody" in operation else {}),
        }
        for path, item in whole["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


def _followed(node: Any, document: Node) -> Any:
    """The node without references, and without an allOf that only adds a description to one."""
    match node:
        case [*_]:
            return [_followed(each, document) for each in node]
        case {"$ref": str(reference)}:
            target: Any = document
            for key in reference.removeprefix("#/").split("/"):
                target = target[key]
            return _followed(target, document)
        case {"allOf": [only], **rest} if "properties" not in rest:
            return {**_followed(only, document), **_followed(rest, document)}
        case {**entries}:
            return {
                key: _branches(entries, each, document)
                if key in BRANCHES
                else _followed(each, document)
                for key, each in entries.items()
            }
    return node


def _branches(schema: Any, branches: Any, document: Node) -> dict[str, Node]:
    """The branches by the value of the discriminator, or the name of the schema, or in order."""
    values = {to: value for value, to in schema.get("discriminator", {}).get("mapping", {}).items()}
    named = {}
    for index, branch in enumerate(branches):
        reference = branch.get("$ref", f"/{index}")
        name = values.get(reference, reference.rpartition("/")[2])
        named[name] = _followed(branch, document)
    return named


def _operation(old: Node, new: Node) -> Iterator[str]:
    yield from _changed(old, new, "operationId")
    for way in old["security"]:
        if not any(_suffices(way, needed) for needed in new["security"]):
            yield f"{way or 'no authentication'} no longer suffices"
    yield from _parts(old["inputs"], new["inputs"], "request")
    yield from _each(old["responses"], new["responses"], _response)


def _suffices(way: dict[str, list[str]], needed: dict[str, list[str]]) -> bool:
    return all(name in way and set(way[name]) >= set(scopes) for name, scopes in needed.items())


def _response(old: Node, new: Node) -> Iterator[str]:
    yield from _parts(old.get("headers", {}), new.get("headers", {}), "response")
    yield from _content(old, new, "response")


def _parts(old: Node, new: Node, direction: Direction) -> Iterator[str]:
    """A request's parameters and body, or a response's headers."""
    before, after = ([name for name in each if each[name].get("required")] for each in (old, new))
    yield from _required(before, after, new, direction)
    yield from _each(old, new, lambda a, b: _content(a, b, direction))


def _content(old: Node, new: Node, direction: Direction) -> Iterator[str]:
    yield from _changed(old, new, "style", "explode")
    yield from _schema(old.get("schema", {}), new.get("schema", {}), direction)
    before, after = (each.get("content", {}) for each in (old, new))
    yield from _each(before, after, lambda a, b: _content(a, b, direction))


def _schema(old: Node, new: Node, direction: Direction) -> Iterator[str]:
    a, b = (old, new) if direction == "request" else (new, old)
    for keywords, holds in RULES.items():
        broken = (key for key in keywords.split() if not holds(a.get(key), b.get(key)))
        yield from _changed(old, new, *broken)
    if direction == "request" and "default" in old:
        yield from _changed(old, new, "default")
    if old.get("additionalProperties") is not False:
        yield from _changed(old, new, "additionalProperties")
    for keyword in BRANCHES:
        yield from _alternatives(old, new, keyword, direction)
    before, after = _children(old, direction), _children(new, direction)
    yield from _each(before, after, lambda a, b: _schema(a, b, direction))
    yield from _required(old.get("required", ()), new.get("required", ()), after, direction)


def _alternatives(old: Node, new: Node, keyword: str, direction: Direction) -> Iterator[str]:
    before, after = old.get(keyword), new.get(keyword)
    if before is None or after is None:
        if before != after:
            yield f"{keyword} is {'new' if before is None else 'gone'}"
        return
    if (direction == "request") is (keyword != "allOf"):
        yield from (f"{keyword}: {name} is gone" for name in before.keys() - after.keys())
    else:
        yield from (f"{keyword}: {name} is new" for name in after.keys() - before.keys())
    for name in before.keys() & after.keys():
        yield from (f"{name}: {each}" for each in _schema(before[name], after[name], direction))


def _children(schema: Node, direction: Direction) -> dict[str, Node]:
    hidden = "readOnly" if direction == "request" else "writeOnly"
    fields = schema.get("properties", {}).items()
    items = {"[]": schema["items"]} if "items" in schema else {}
    return items | {name: field for name, field in fields if not field.get(hidden)}


def _required(
    old: Collection[str], new: Collection[str], present: Collection[str], direction: Direction
) -> Iterator[str]:
    for name in present:
        if direction == "request" and name in new and name not in old:
            yield f"{name} is now required"
        if direction == "response" and name in old and name not in new:
            yield f"{name} is no longer always there"


def _changed(old: Node, new: Node, *keys: str) -> Iterator[str]:
    for key in keys:
        if old.get(key) != new.get(key):
            yield f"{key} was {old.get(key)!r}, is {new.get(key)!r}"


def _each(old: dict[str, Node], new: dict[str, Node], changes: Compare) -> Iterator[str]:
    """What was removed, and what has changed of the rest."""
    yield from (f"{name} is gone" for name in old.keys() - new.keys())
    for name in old.keys() & new.keys():
        yield from (f"{name}: {change}" for change in changes(old[name], new[name]))
