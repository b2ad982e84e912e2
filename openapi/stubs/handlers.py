"""The handler of an operation, typed from the contract."""

import builtins
import keyword
from typing import NamedTuple

from openapi.operations.idempotency import ARGUMENT as KEY
from openapi.operations.parameters import argument_of
from openapi.stubs.layout import WIDTH, Brackets, lines, sentence
from openapi.stubs.missing import Missing, NoStub
from openapi.stubs.schemas import JSON, Node

# The server sets these headers; a handler returns the others.
OF_THE_SERVER = {
    *("RateLimit", "RateLimit-Policy", "Access-Control-Allow-Origin", "Idempotency-Replayed")
}
MOST_POSITIONAL = 5
SOURCES = {
    "Any": "typing",
    "UUID": "uuid",
    "AsyncIterator": "collections.abc",
    "Context": "handlers.context",
    "Returned": "handlers.etags",
}


class Argument(NamedTuple):
    """One parameter of a handler."""

    name: str
    annotation: str
    is_optional: bool

    @property
    def text(self) -> str:
        """The parameter as it is declared."""
        if not self.annotation:
            return self.name
        default = " = None" if self.is_optional else ""
        return f"{self.name}: {self.annotation}{default}"


CONTEXT = Argument("context", "Context", is_optional=False)
BY_KEYWORD = Argument("*", "", is_optional=False)


class Handler(NamedTuple):
    """The text of a handler, and the names that it needs to be imported."""

    text: str
    needs: set[str]


def handler_of(operation: Missing) -> Handler:
    """The handler of an operation."""
    arguments = _arguments(operation)
    returned = _returned(operation)
    text = "\n".join(
        [
            *_signature(operation.id, arguments, returned),
            f'    """{sentence(_summary(operation))}"""',
            "    raise NotImplementedError",
        ]
    )
    needed = {name for name in SOURCES if _has_word(name, [returned, *_annotations(arguments)])}
    return Handler(text + "\n", needed)


def imports_of(names: set[str]) -> dict[str, set[str]]:
    """The names by the modules that have them."""
    imports: dict[str, set[str]] = {}
    for name in names:
        imports.setdefault(SOURCES[name], set()).add(name)
    return imports


def _annotations(arguments: list[Argument]) -> list[str]:
    return [each.annotation for each in arguments]


def _has_word(name: str, texts: list[str]) -> bool:
    return any(name in text for text in texts)


def _arguments(operation: Missing) -> list[Argument]:
    """`context`, then what every request has, the body, and what a request may lack.

    If they are many, those after the path are keyword-only, in the order of the contract.
    """
    parameters = [each for each in operation.parameters if argument_of(each) != KEY]
    in_path = [each for each in parameters if each["in"] == "path"]
    others = [each for each in parameters if each["in"] != "path"]
    first = [CONTEXT, *(_argument(operation, each) for each in in_path)]
    rest = [_argument(operation, each) for each in others]
    if operation.body:
        annotation = operation.schemas.annotation(operation.media_of_body.get("schema", {}))
        rest.append(_or_none("body", annotation, operation.body.get("required", False)))
    if len(first) + len(rest) > MOST_POSITIONAL:
        return [*first, BY_KEYWORD, *rest]
    return [*first, *sorted(rest, key=lambda each: each.is_optional)]


def _argument(operation: Missing, parameter: Node) -> Argument:
    name = argument_of(parameter)
    if not name.isidentifier() or keyword.iskeyword(name):
        raise NoStub(
            f"{operation.id}: no argument of Python can be named {name!r}:"
            f" rename the parameter {parameter['name']}"
        )
    # A default of the contract is filled in before the handler is called.
    is_always_there = parameter.get("required", False) or "default" in parameter["schema"]
    annotation = operation.schemas.annotation(parameter["schema"], uuids=True)
    return _or_none(name, annotation, is_always_there)


def _or_none(name: str, annotation: str, is_always_there: bool) -> Argument:
    if is_always_there:
        return Argument(name, annotation, is_optional=False)
    has_none = annotation == "Any" or annotation.endswith("| None")
    return Argument(name, annotation if has_none else f"{annotation} | None", is_optional=True)


def _returned(operation: Missing) -> str:
    """The type of what the handler returns: a value, or with a status and headers."""
    status, response = operation.success
    headers = response.get("headers", {}).keys() - OF_THE_SERVER
    others = [each for each in operation.definition["responses"] if str(status) < each < "400"]
    if headers or others:
        return "Returned"
    content = response.get("content", {})
    if not content:
        return "None"
    if JSON not in content:
        return "AsyncIterator[Any]"
    return operation.schemas.annotation(operation.schema_of_success)


def _summary(operation: Missing) -> str:
    return operation.definition.get("summary") or operation.id.replace("_", " ")


def _signature(name: str, arguments: list[Argument], returned: str) -> list[str]:
    whole = Brackets(f"async def {name}(", [each.text for each in arguments], f") -> {returned}:")
    shadowing = {each.name for each in arguments if hasattr(builtins, each.name)}
    if not shadowing:
        return lines(whole)
    one_by_one = [
        f"    {each.text}," + ("  # noqa: A002" if each.name in shadowing else "")
        for each in arguments
    ]
    flat = lines(whole)
    if len(flat) == 1 and len(flat[0]) <= WIDTH:
        return [f"{flat[0]}  # noqa: A002"]
    return [whole.before, *one_by_one, whole.after]
