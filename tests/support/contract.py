"""What the contract says of error responses; `assert_refused` checks it."""

import re
from functools import cache
from typing import Any

import httpx
import yaml
from jsonschema import Draft202012Validator

from openapi.contract.document import CONTRACT
from tests.support.responses import assert_problem

METHODS = {"get", "put", "post", "delete", "patch"}

# Problems of no operation: there is none at an unknown path or for another method.
WITHOUT_OPERATION = {"unknown-path", "method-not-allowed"}

DOCUMENT: dict[str, Any] = yaml.load(CONTRACT.read_text(), yaml.CSafeLoader)


def as_json_schema(node: Any) -> Any:
    """An OpenAPI 3.0 schema as JSON Schema: null is a type."""
    if isinstance(node, list):
        return [as_json_schema(each) for each in node]
    if not isinstance(node, dict):
        return node
    translated = {key: as_json_schema(each) for key, each in node.items()}
    if translated.pop("nullable", False):
        translated["type"] = [node["type"], "null"]
    return translated


@cache
def problem_validator() -> Draft202012Validator:
    """The schema Problem."""
    return Draft202012Validator(
        {**as_json_schema(DOCUMENT), "$ref": "#/components/schemas/Problem"}
    )


def operation_at(method: str, path: str) -> dict[str, Any]:
    """The operation of the contract, HEAD's being GET's."""
    name = {"head": "get"}.get(method.lower(), method.lower())
    for template, item in DOCUMENT["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]*", template), path) and name in item:
            operation: dict[str, Any] = item[name]
            return operation
    raise AssertionError(f"the contract has no {method} {path}")


def methods_of(template: str) -> set[str]:
    """The methods of a path."""
    named = {name.upper() for name in DOCUMENT["paths"][template].keys() & METHODS}
    return named | {"OPTIONS"} | ({"HEAD"} if "GET" in named else set())


def assert_refused(response: httpx.Response, status: int, name: str) -> dict[str, Any]:
    """The response is that problem, declared by the contract, and short; returns it."""
    problem = assert_problem(response, status, name)
    problem_validator().validate(problem)
    assert len(response.content) < 2000 or len(problem["errors"]) > 1
    if name not in WITHOUT_OPERATION:
        path = response.request.url.raw_path.partition(b"?")[0].decode()
        assert str(status) in operation_at(response.request.method, path)["responses"]
    return problem
