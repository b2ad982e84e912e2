"""The contract, loaded and checked by Connexion, and the places of what is wrong with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from connexion.exceptions import InvalidSpecification
from connexion.spec import Specification

from openapi.contract.enforced import as_enforced
from openapi.settings import Settings

# The ones written in C are ten times as fast, which a start notices.
PlainLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
PlainDumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

CONTRACT = Path(__file__).parents[1] / "openapi.yaml"

MERGE = "<<"

Where = tuple[str, ...]


class Loader(PlainLoader):  # type: ignore[misc]
    """Keeps merged fields where they are merged: generators make arguments of the order."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge what `<<` names; PyYAML alone puts it first."""
        names = [key.value for key, _ in node.value]
        super().flatten_mapping(node)
        if MERGE not in names:
            return
        place, own_size = names.index(MERGE), len(names) - 1
        merged, own = node.value[: -own_size or None], node.value[len(node.value) - own_size :]
        known = {key.value for key, _ in own}
        merged = [pair for pair in merged if pair[0].value not in known]
        node.value = [*own[:place], *merged, *own[place:]]


class Dumper(PlainDumper):  # type: ignore[misc]
    """Writes everything out where it belongs: not every tool follows YAML's aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        """Whether what the document has in several places is repeated in each."""
        return True


class UnusableContract(Exception):
    """The contract says something that the server would not do: it must not start."""


class Unsupported(Exception):
    """Something in the contract is not supported; `where` are the keys that lead to it."""

    def __init__(self, detail: str, where: Where) -> None:
        super().__init__(detail)
        self.where = where


@dataclass(frozen=True)
class Contract:
    """The document as it is served, and as Connexion reads it: what of the file is enforced."""

    path: Path
    written: bytes
    specification: Specification

    @classmethod
    def load(cls, path: Path = CONTRACT, settings: Settings | None = None) -> "Contract":
        """Read it, follow its references, and check it against OpenAPI's own schema."""
        try:
            document = yaml.load(path.read_bytes(), Loader=Loader)  # noqa: S506
            if not isinstance(document, dict):
                raise UnusableContract(f"{path}: this is not an OpenAPI document")
            if settings is not None:
                document = as_enforced(document, settings)
            written = yaml.dump(document, Dumper=Dumper, sort_keys=False).encode()
            return cls(path, written, Specification.from_dict(document))
        except (InvalidSpecification, yaml.YAMLError) as error:
            raise UnusableContract(f"{path}: {error}") from error

    @property
    def document(self) -> dict[str, Any]:
        """What the file says, its references kept."""
        document: dict[str, Any] = self.specification.raw
        return document

    @property
    def changed_at(self) -> datetime:
        """When its file was last changed."""
        return datetime.fromtimestamp(int(self.path.stat().st_mtime), UTC)

    def refuse(self, problem: Unsupported) -> UnusableContract:
        """Say what is not supported, and in which line it stands."""
        line = self._line(problem.where)
        return UnusableContract(f"{self.path}:{line}: {problem} (at {'.'.join(problem.where)})")

    def _line(self, where: Where) -> int:
        root: yaml.Node = yaml.compose(self.path.read_bytes(), Loader=Loader)  # type: ignore[assignment]
        return int(_descend(root, root, where).start_mark.line) + 1


def _descend(root: yaml.Node, node: yaml.Node, where: Sequence[str]) -> yaml.Node:
    """The node those keys lead to, through references; or the last one that is there."""
    if reference := _child(node, "$ref"):
        keys = [key.replace("~1", "/").replace("~0", "~") for key in reference.value.split("/")[1:]]
        node = _descend(root, root, keys)
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
