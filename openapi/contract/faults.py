"""Faults of a contract, each with its place, so that all can be shown together."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

Where = tuple[str, ...]

MERGE = "<<"
MOST_KEYS = 16


class UnusableContract(Exception):
    """The contract has something that the server would not do: the server must not start."""


class Unsupported(Exception):
    """Something in the contract is not supported; `where` are the keys that lead to it."""

    def __init__(self, detail: str, where: Where) -> None:
        super().__init__(detail)
        self.where = where

    @property
    def all(self) -> list["Unsupported"]:
        """All faults in this one."""
        return [self]


class SeveralUnsupported(Unsupported):
    """Several faults of one part of the contract."""

    def __init__(self, faults: list[Unsupported]) -> None:
        super().__init__("\n".join(map(str, faults)), faults[0].where)
        self._faults = faults

    @property
    def all(self) -> list[Unsupported]:
        """All faults in this one."""
        return self._faults


class Parts:
    """Collects the faults of independent parts; each part is one `with`."""

    def __init__(self) -> None:
        self._faults: list[Unsupported] = []

    def __enter__(self) -> None:
        """Begin a part."""

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> bool:
        """Collect the faults of the part for `check`."""
        if not isinstance(error, Unsupported):
            return False
        self._faults += error.all
        return True

    def check(self) -> None:
        """Raise the faults of all parts together."""
        if len(self._faults) == 1:
            raise self._faults[0]
        if self._faults:
            raise SeveralUnsupported(self._faults)


def refusal(path: Path, text: bytes, fault: Unsupported, loader: Any) -> UnusableContract:
    """Name every fault, and the line in which it stands, in the order of the lines."""
    root: yaml.Node = yaml.compose(text, Loader=loader)  # type: ignore[assignment]
    found: dict[tuple[int, str], str] = {}
    for each in fault.all:
        line = int(_descend(root, root, each.where).start_mark.line) + 1
        # A part that several operations refer to is listed once.
        found.setdefault((line, str(each)), f"{path}:{line}: {each} (at {_place(each)})")
    return UnusableContract("\n".join(found[key] for key in sorted(found)))


def _place(fault: Unsupported) -> str:
    """The keys that lead to the fault; shortened, because a recursive schema would have many."""
    rest = ["…"] if len(fault.where) > MOST_KEYS else []
    return ".".join([*fault.where[:MOST_KEYS], *rest])


def keys_of(reference: str) -> Where:
    """The keys that lead to the target of a `$ref`."""
    _, *keys = reference.split("/")
    return tuple(key.replace("~1", "/").replace("~0", "~") for key in keys)


def dangling(node: Any, document: Any, where: Where = ()) -> Iterator[Unsupported]:
    """Each `$ref` without a target in the document."""
    if isinstance(node, dict):
        reference = node.get("$ref")
        if isinstance(reference, str) and not _leads_somewhere(reference, document):
            detail = f"the reference {reference!r} leads to nothing in this document"
            yield Unsupported(detail, (*where, "$ref"))
        children: Iterator[tuple[Any, Any]] = iter(node.items())
    elif isinstance(node, list):
        children = iter(enumerate(node))
    else:
        return
    for key, child in children:
        yield from dangling(child, document, (*where, str(key)))


def _leads_somewhere(reference: str, document: Any) -> bool:
    node = document
    for key in keys_of(reference):
        if isinstance(node, list) and key.isdigit() and int(key) < len(node):
            node = node[int(key)]
        elif isinstance(node, dict) and key in node:
            node = node[key]
        else:
            return False
    return reference.startswith("#/")


def _descend(root: yaml.Node, node: yaml.Node, where: Sequence[str]) -> yaml.Node:
    """The node those keys lead to, through references; or the last one that is there."""
    if (reference := _child(node, "$ref")) and list(where) != ["$ref"]:
        node = _descend(root, root, keys_of(reference.value))
    if not where or (child := _child(node, where[0])) is None:
        return node
    return _descend(root, child, where[1:])


def _child(node: yaml.Node, key: str) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return _value(node, key)
    if isinstance(node, yaml.SequenceNode) and key.isdigit() and int(key) < len(node.value):
        child: yaml.Node = node.value[int(key)]
        return child
    return None


def _value(node: yaml.MappingNode, key: str) -> yaml.Node | None:
    """The value of a key: the mapping's own, or one that is merged into it."""
    children: list[tuple[yaml.Node, yaml.Node]] = node.value
    for name, value in children:
        if name.value == key:
            return value
    for name, value in children:
        if name.value == MERGE:
            merged = value.value if isinstance(value, yaml.SequenceNode) else [value]
            found = (_child(each, key) for each in merged)
            if child := next((each for each in found if each is not None), None):
                return child
    return None
