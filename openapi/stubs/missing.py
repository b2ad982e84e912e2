"""The operations of the contract that nothing implements yet."""

import ast
import keyword
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from openapi.contract.document import CONTRACT, Contract
from openapi.stubs.schemas import Node, Schemas

CONTROLLER = "x-openapi-router-controller"
ROOT = CONTRACT.parents[1]
HANDLERS = "handlers"
OWNER = "user_id"


class NoStub(Exception):
    """No code can be made of it, or none is needed; the text says why."""


@dataclass(frozen=True)
class Missing:
    """An operation whose handler does not exist, its own references followed."""

    id: str
    module: str
    """The name of the handler's module in `handlers`."""

    method: str
    path: str
    definition: Node
    parameters: list[Node]
    schemas: Schemas

    @property
    def is_of_a_user(self) -> bool:
        """Whether its path names the owner of what it is about."""
        return f"{{{OWNER}}}" in self.path

    @property
    def body(self) -> Node | None:
        """The description of the request's body."""
        body = self.schemas.followed(self.definition.get("requestBody"))
        return body if body else None

    @property
    def media_of_body(self) -> Node:
        """The first media type of the body."""
        return _first(self.body["content"]) if self.body else {}

    @property
    def success(self) -> tuple[int, Node]:
        """The status of success, and its response."""
        status = min(self.definition["responses"])
        return int(status), self.schemas.followed(self.definition["responses"][status])

    @property
    def schema_of_success(self) -> Node:
        """The schema of the response's body; empty if it has none."""
        schema: Node = _first(self.success[1].get("content", {})).get("schema", {})
        return schema


def _first(content: dict[str, Node]) -> Node:
    return next(iter(content.values()), {})


def missing_operations(contract: Contract, ids: Collection[str] = ()) -> list[Missing]:
    """The operations without a handler: all, or those that are named."""
    operations = {each.id: each for each in operations_of(contract)}
    for name in ids:
        if name not in operations:
            similar = get_close_matches(name, operations, 1)
            advice = f"; did you mean {similar[0]}?" if similar else ""
            raise NoStub(f"the contract has no operation {name}{advice}")
    absent = {name: each for name, each in operations.items() if not _is_implemented(each)}
    for name in ids:
        if name not in absent:
            raise NoStub(f"{name} is there already, in {file_of(operations[name])}")
    return [each for name, each in absent.items() if not ids or name in ids]


def operations_of(contract: Contract) -> Iterator[Missing]:
    """Every operation of the contract, as if it were missing."""
    schemas = Schemas(contract.document)
    for path, method, _ in contract.operations():
        item: dict[str, Any] = contract.document["paths"][path]
        definition = schemas.followed(item[method])
        module, name = _place(path, method, definition)
        parts = [*item.get("parameters", ()), *definition.get("parameters", ())]
        parameters = {
            (each["name"], each["in"]): {**each, "schema": schemas.followed(each["schema"])}
            for each in map(schemas.followed, parts)
        }
        yield Missing(name, module, method, path, definition, [*parameters.values()], schemas)


def _place(path: str, method: str, definition: Node) -> tuple[str, str]:
    """The module of the handler, and its function."""
    name = definition.get("operationId")
    if not name:
        raise NoStub(f"{method.upper()} {path} needs an operationId")
    controller = definition.get(CONTROLLER)
    whole = f"{controller}.{name}" if controller else name
    package, _, rest = whole.partition(".")
    module, _, function = rest.partition(".")
    if package != HANDLERS or not all(map(_is_name, (module, function))):
        raise NoStub(
            f"{method.upper()} {path}: name the handler's module as {CONTROLLER}: {HANDLERS}.NAME,"
            " and its function as operationId"
        )
    return module, function


def _is_name(text: str) -> bool:
    return text.isidentifier() and not keyword.iskeyword(text)


def file_of(operation: Missing) -> str:
    """Where its handler belongs, as a path in the project."""
    return f"{HANDLERS}/{operation.module}.py"


def _is_implemented(operation: Missing) -> bool:
    file = ROOT / file_of(operation)
    return file.exists() and operation.id in names_in(file)


def names_in(file: Path) -> set[str]:
    """What a module defines or imports at its top."""
    try:
        tree = ast.parse(file.read_bytes())
    except SyntaxError as error:
        raise NoStub(f"{file}:{error.lineno}: this is not Python: {error.msg}") from error
    return set(_names(tree.body))


def _names(body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.Import() | ast.ImportFrom():
                yield from (each.asname or each.name for each in node.names)
            case ast.Assign() | ast.AnnAssign():
                yield from _targets(node)


def _targets(node: ast.stmt) -> Iterator[str]:
    for each in ast.walk(node):
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
            yield each.id
