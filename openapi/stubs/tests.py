"""The test of an operation over HTTP."""

from typing import Any

from openapi.operations.idempotency import ARGUMENT as KEY
from openapi.operations.parameters import argument_of
from openapi.stubs.layout import Brackets, Part, lines, literal
from openapi.stubs.missing import OWNER, Missing
from openapi.stubs.schemas import JSON

USER = "alice"
SHORTCUTS = {"get", "post", "put", "patch", "delete", "options", "head"}
WITHOUT_BODY = {"get", "delete", "options", "head"}
CREATED = 201
IMPORTS = {
    "tests.support.operations": {"OPERATIONS", "assert_as_described"},
    "tests.support.users": {"User"},
}


def test_of(operation: Missing, others: list[Missing]) -> str:
    """A test that the operation responds as the contract describes."""
    status, response = operation.success
    head = Brackets(
        f"def test_{operation.id}_responds_as_described(", [f"{USER}: User"], ") -> None:"
    )
    before, path = _path(operation, others)
    body: list[str] = [*before, *_lines(_request(operation, path, "response = ")), ""]
    body.append(f"    assert response.status_code == {status}")
    if not response.get("content") or JSON in response["content"]:
        body.append(f'    assert_as_described(response, OPERATIONS["{operation.id}"])')
    return "\n".join([*lines(head), *body]) + "\n"


def _lines(part: Part) -> list[str]:
    return lines(part, "    ")


def _path(operation: Missing, others: list[Missing]) -> tuple[list[str], str]:
    """What a test does first to have what the path names, and the path as an expression."""
    path = operation.path.replace(f"{{{OWNER}}}", f"{{{USER}.id}}")
    first: list[str] = []
    for parameter in operation.parameters:
        name, place = parameter["name"], f"{{{parameter['name']}}}"
        if parameter["in"] != "path" or name == OWNER:
            continue
        creator = _creator(operation, place, others)
        if creator and not first:
            sent = _request(creator, _path(creator, others)[1], "created = ", ".json()")
            first = [*_lines(sent), ""]
            path = path.replace(place, f"{{created['{_id_in(creator, name)}']}}")
        else:
            path = path.replace(place, str(operation.schemas.sample(parameter["schema"])))
    return first, f'f"{path}"' if "{" in path else f'"{path}"'


def _creator(operation: Missing, place: str, others: list[Missing]) -> Missing | None:
    """The operation that creates what this part of the path names."""
    collection = operation.path.partition(f"/{place}")[0]
    for other in others:
        creates = (other.path, other.method, other.success[0]) == (collection, "post", CREATED)
        if creates and _id_in(other, place.strip("{}")):
            return other
    return None


def _id_in(creator: Missing, name: str) -> str | None:
    """The property of what is created that goes into paths."""
    properties = creator.schemas.followed(creator.schema_of_success).get("properties", {})
    return next((each for each in (name, "id") if each in properties), None)


def _request(operation: Missing, path: str, before: str, after: str = "") -> Part:
    method = operation.method
    options = _options(operation)
    if method not in SHORTCUTS or ("json" in options and method in WITHOUT_BODY):
        head, arguments = f"{before}{USER}.request(", [f'"{method.upper()}"', path]
    else:
        head, arguments = f"{before}{USER}.{method}(", [path]
    given = [literal(value, f"{name}=") for name, value in options.items()]
    return Brackets(head, [*arguments, *given], f"){after}")


def _options(operation: Missing) -> dict[str, Any]:
    """The parameters that a request must have, and its body."""
    options: dict[str, Any] = {}
    for parameter in operation.parameters:
        if parameter.get("required") and argument_of(parameter) != KEY:
            kind = {"query": "params", "header": "headers"}.get(parameter["in"])
            if kind:
                value = operation.schemas.sample(parameter["schema"])
                shown = str(value) if kind == "headers" else value
                options.setdefault(kind, {})[parameter["name"]] = shown
    if operation.body:
        options["json"] = operation.schemas.example(operation.media_of_body)
    return options
