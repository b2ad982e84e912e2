"""The changes between two versions of a contract, and which of them break clients.

A valid request must stay valid, and a response must be one that clients of the old contract expect.
Clients are assumed to ignore new fields, headers and errors. Descriptions and examples are not
compared.
"""

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from openapi.contract.document import Contract
from openapi.contract.faults import Unsupported, keys_of

Node = dict[str, Any]
Direction = Literal["request", "response"]

METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}
WIDER = [("integer", "number"), ("int32", "int64"), ("float", "double")]  # `not` has no hash


class Change(NamedTuple):
    """A change with its location, and whether it can break a client of the old contract."""

    text: str
    breaks: bool

    def within(self, name: str) -> "Change":
        """The same change, as seen from around that part of the contract."""
        return Change(f"{name}: {self.text}", self.breaks)


Compare = Callable[[Node, Node], Iterator[Change]]

# Whether a schema with the value `b` of these keywords allows everything that one with `a` allows.
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


def changes_between(old: Path, new: Path) -> list[Change]:
    """The changes from the contract in one file to that in another."""
    return _compared(_operations_in(old), _operations_in(new))


def _operations_in(path: Path) -> dict[str, Node]:
    contract = Contract.load(path)
    try:
        return _operations(contract.document)
    except Unsupported as error:
        raise contract.refuse(error) from None


def changes(old: Node, new: Node) -> list[Change]:
    """Each change that a client of one of the two contracts can notice, in the order of places."""
    return _compared(_operations(old), _operations(new))


def breaking_changes(old: Node, new: Node) -> list[str]:
    """Each change that can break a client of the old contract, with its location."""
    return [each.text for each in changes(old, new) if each.breaks]


def _compared(old: dict[str, Node], new: dict[str, Node]) -> list[Change]:
    return sorted(_each(old, new, _operation))


def _operations(document: Node) -> dict[str, Node]:
    """Every operation by method and path; references and inherited parts are resolved."""
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


def _followed(node: Any, document: Node, seen: tuple[str, ...] = ()) -> Any:
    """The node with its references resolved, and without an allOf that only adds a description."""
    match node:
        case [*_]:
            return [_followed(each, document, seen) for each in node]
        case {"$ref": str(reference)}:
            keys = keys_of(reference)
            if reference in seen:
                raise Unsupported("recursive schemas are not supported", keys)
            return _followed(_at(document, keys), document, (*seen, reference))
        case {"allOf": [only], **rest} if "properties" not in rest:
            return {**_followed(only, document, seen), **_followed(rest, document, seen)}
        case {**entries}:
            return {
                key: _branches(entries, each, document, seen)
                if key in BRANCHES
                else _followed(each, document, seen)
                for key, each in entries.items()
            }
    return node


def _at(document: Node, keys: tuple[str, ...]) -> Any:
    node: Any = document
    for key in keys:
        node = node[int(key)] if isinstance(node, list) else node[key]
    return node


def _branches(schema: Any, branches: Any, document: Node, seen: tuple[str, ...]) -> dict[str, Node]:
    """The branches by the value of the discriminator, or the name of the schema, or in order."""
    values = {to: value for value, to in schema.get("discriminator", {}).get("mapping", {}).items()}
    named = {}
    for index, branch in enumerate(branches):
        reference = branch.get("$ref", f"/{index}")
        name = values.get(reference, reference.rpartition("/")[2])
        named[name] = _followed(branch, document, seen)
    return named


def _operation(old: Node, new: Node) -> Iterator[Change]:
    yield from _changed(old, new, "operationId")
    yield from _changed(old, new, "deprecated", breaks=False)
    for way in old["security"]:
        if not any(_suffices(way, needed) for needed in new["security"]):
            yield Change(f"{way or 'no authentication'} no longer suffices", breaks=True)
    for way in new["security"]:
        if not any(_suffices(way, needed) for needed in old["security"]):
            yield Change(f"{way or 'no authentication'} now suffices", breaks=False)
    yield from _parts(old["inputs"], new["inputs"], "request")
    yield from _each(old["responses"], new["responses"], _response)


def _suffices(way: dict[str, list[str]], needed: dict[str, list[str]]) -> bool:
    return all(name in way and set(way[name]) >= set(scopes) for name, scopes in needed.items())


def _response(old: Node, new: Node) -> Iterator[Change]:
    yield from _parts(old.get("headers", {}), new.get("headers", {}), "response")
    yield from _content(old, new, "response")


def _parts(old: Node, new: Node, direction: Direction) -> Iterator[Change]:
    """A request's parameters and body, or a response's headers."""
    before, after = ([name for name in each if each[name].get("required")] for each in (old, new))
    yield from _required(before, after, new, direction)
    yield from _each(old, new, lambda a, b: _content(a, b, direction))


def _content(old: Node, new: Node, direction: Direction) -> Iterator[Change]:
    yield from _changed(old, new, "style", "explode")
    yield from _schema(old.get("schema", {}), new.get("schema", {}), direction)
    before, after = (each.get("content", {}) for each in (old, new))
    yield from _each(before, after, lambda a, b: _content(a, b, direction))


def _schema(old: Node, new: Node, direction: Direction) -> Iterator[Change]:
    a, b = (old, new) if direction == "request" else (new, old)
    for keywords, holds in RULES.items():
        for key in keywords.split():
            yield from _changed(old, new, key, breaks=not holds(a.get(key), b.get(key)))
    if direction == "request":
        yield from _changed(old, new, "default", breaks="default" in old)
    is_open = old.get("additionalProperties") is not False
    yield from _changed(old, new, "additionalProperties", breaks=is_open)
    for keyword in BRANCHES:
        yield from _alternatives(old, new, keyword, direction)
    before, after = _children(old, direction), _children(new, direction)
    yield from _each(before, after, lambda a, b: _schema(a, b, direction))
    yield from _required(old.get("required", ()), new.get("required", ()), after, direction)


def _alternatives(old: Node, new: Node, keyword: str, direction: Direction) -> Iterator[Change]:
    before, after = old.get(keyword), new.get(keyword)
    if before is None or after is None:
        if before != after:
            yield Change(f"{keyword} is {'new' if before is None else 'gone'}", breaks=True)
        return
    narrows = (direction == "request") is (keyword != "allOf")
    for name in before.keys() - after.keys():
        yield Change(f"{keyword}: {name} is gone", breaks=narrows)
    for name in after.keys() - before.keys():
        yield Change(f"{keyword}: {name} is new", breaks=not narrows)
    for name in before.keys() & after.keys():
        yield from (each.within(name) for each in _schema(before[name], after[name], direction))


def _children(schema: Node, direction: Direction) -> dict[str, Node]:
    hidden = "readOnly" if direction == "request" else "writeOnly"
    fields = schema.get("properties", {}).items()
    items = {"[]": schema["items"]} if "items" in schema else {}
    return items | {name: field for name, field in fields if not field.get(hidden)}


def _required(
    old: Collection[str], new: Collection[str], present: Collection[str], direction: Direction
) -> Iterator[Change]:
    """The names that have become required or optional."""
    sent, got = direction == "request", direction == "response"
    for name in present:
        if name in new and name not in old:
            yield Change(f"{name} is now {'required' if sent else 'always there'}", breaks=sent)
        if name in old and name not in new:
            text = "required" if sent else "always there"
            yield Change(f"{name} is no longer {text}", breaks=got)


def _changed(old: Node, new: Node, *keys: str, breaks: bool = True) -> Iterator[Change]:
    for key in keys:
        if old.get(key) != new.get(key):
            yield Change(f"{key} was {old.get(key)!r}, is {new.get(key)!r}", breaks)


def _each(old: dict[str, Node], new: dict[str, Node], compare: Compare) -> Iterator[Change]:
    """The removed entries, the added ones, and the changes of the others."""
    yield from (Change(f"{name} is gone", breaks=True) for name in old.keys() - new.keys())
    yield from (Change(f"{name} is new", breaks=False) for name in new.keys() - old.keys())
    for name in old.keys() & new.keys():
        yield from (each.within(name) for each in compare(old[name], new[name]))
