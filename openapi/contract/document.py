"""The contract, loaded and checked by Connexion."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from connexion.exceptions import InvalidSpecification
from connexion.http_facts import METHODS
from connexion.spec import Specification

from openapi.contract.enforced import as_enforced
from openapi.contract.faults import (
    MERGE,
    SeveralUnsupported,
    Unsupported,
    UnusableContract,
    dangling,
    refusal,
)
from openapi.settings import Settings

# The implementations in C are ten times as fast, which matters at the start.
PlainLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
PlainDumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

CONTRACT = Path(__file__).parents[1] / "openapi.yaml"


class Loader(PlainLoader):  # type: ignore[misc]
    """Keeps merged fields in their place: generators make arguments in this order."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge the mappings that `<<` names in its place; PyYAML puts them first."""
        names = [key.value for key, _ in node.value]
        super().flatten_mapping(node)
        if MERGE not in names:
            return
        place, own_size = names.index(MERGE), len(names) - 1
        merged, own = node.value[: -own_size or None], node.value[len(node.value) - own_size :]
        known = {key.value for key, _ in own}
        merged = [pair for pair in merged if pair[0].value not in known]
        node.value = [*own[:place], *merged, *own[place:]]

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[str, Any]:
        """The mapping; a status that is written as a number becomes text, as in JSON."""
        mapping = super().construct_mapping(node, deep=deep)
        return {str(key): value for key, value in mapping.items()}


class Dumper(PlainDumper):  # type: ignore[misc]
    """Writes without YAML's aliases, which not every tool supports."""

    def ignore_aliases(self, data: Any) -> bool:
        """True: a part that the document has in several places is repeated."""
        return True


@dataclass(frozen=True)
class Contract:
    """The document as it is served, and as Connexion reads it: only what is enforced."""

    path: Path
    text: bytes
    written: bytes
    specification: Specification

    @classmethod
    def load(cls, path: Path = CONTRACT, settings: Settings | None = None) -> "Contract":
        """Read it, follow its references, and check it against OpenAPI's own schema."""
        text = path.read_bytes()
        try:
            document = yaml.load(text, Loader=Loader)  # noqa: S506
        except yaml.YAMLError as error:
            raise UnusableContract(f"{path}: {error}") from error
        if not isinstance(document, dict):
            raise UnusableContract(f"{path}: this is not an OpenAPI document")
        if "openapi" not in document:
            raise UnusableContract(f"{path}: this is not OpenAPI 3.0: it has no field `openapi`")
        _check_references(path, text, document)
        if settings is not None:
            document = as_enforced(document, settings)
        written = yaml.dump(document, Dumper=Dumper, sort_keys=False).encode()
        return cls(path, text, written, _specification(path, text, document))

    @property
    def document(self) -> dict[str, Any]:
        """The document with its references."""
        document: dict[str, Any] = self.specification.raw
        return document

    @property
    def changed_at(self) -> datetime:
        """When its file was last changed."""
        return datetime.fromtimestamp(int(self.path.stat().st_mtime), UTC)

    def operations(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """The path, the method and the definition of each operation, references resolved."""
        for path, item in self.specification["paths"].items():
            for method in item:
                if method in METHODS:
                    yield path, method, item[method]

    def refuse(self, fault: Unsupported) -> UnusableContract:
        """The error for something that is not supported, with its line."""
        return refusal(self.path, self.text, fault, Loader)


def _check_references(path: Path, text: bytes, document: dict[str, Any]) -> None:
    if faults := list(dangling(document, document)):
        raise refusal(path, text, SeveralUnsupported(faults), Loader)


def _specification(path: Path, text: bytes, document: dict[str, Any]) -> Specification:
    try:
        return Specification.from_dict(document)
    except InvalidSpecification as error:
        from openapi.contract.validity import invalid_parts  # noqa: PLC0415

        if faults := list(invalid_parts(document)):
            raise refusal(path, text, SeveralUnsupported(faults), Loader) from error
        raise UnusableContract(f"{path}: {error}") from error
