"""Slow and obvious implementations, with which the fast ones are compared."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Literal

from hypothesis import settings
from jsonschema import Draft4Validator, Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

Errors = Iterator[ValidationError]

INTEGERS = {"int32": range(-(2**31), 2**31), "int64": range(-(2**63), 2**63)}
DEEPEST_BODY = 200
LONGEST_INTEGER = 4300


def property_settings(examples: int) -> settings:
    """Many examples, new in each run; a failure is reproduced by its blob."""
    return settings(
        max_examples=in_this_run(examples),
        deadline=None,
        database=None,
        print_blob=True,
        derandomize=False,
    )


def in_this_run(examples: int) -> int:
    """How many of these are tried: all, or with the profile `short` three of ten."""
    return max(1, examples * settings().max_examples // 100)


def json_value(body: bytes) -> Any:
    """The value of a JSON body, by the standard library; raises ValueError if there is none."""
    value = json.loads(
        body.decode("utf-8"),
        object_pairs_hook=_without_duplicates,
        parse_constant=_refuse,
        parse_int=_number(int),
        parse_float=_number(float),
    )
    json.dumps(value, ensure_ascii=False).encode("utf-8")  # fails on a lone surrogate
    if _depth(value) > DEEPEST_BODY:
        raise ValueError("too deep")
    return value


def _number(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        whole = text.lstrip("-").lower().partition("e")[0].partition(".")[0]
        if len(whole) > LONGEST_INTEGER:
            raise ValueError("too long")
        return kind(text)

    return read


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _depth(value: Any) -> int:
    """The depth of nested arrays and objects; empty ones do not count."""
    depth = 0
    level = [value]
    while level := [each for each in level if each and isinstance(each, list | dict)]:
        depth += 1
        level = [each for of in level for each in (of.values() if isinstance(of, dict) else of)]
    return depth


def openapi_validator(
    schema: dict[str, Any], direction: Literal["request", "response"]
) -> Draft202012Validator:
    """OpenAPI 3.0's own dialect, which is JSON Schema's draft 4 with these differences."""
    hidden = "readOnly" if direction == "request" else "writeOnly"

    def hide(_: Any, is_hidden: bool, __: Any, ___: Any) -> Errors:
        if is_hidden:
            yield ValidationError("not to be sent")

    def required(validator: Any, names: list[str], value: Any, schema: dict[str, Any]) -> Errors:
        fields = schema.get("properties", {})
        shown = [name for name in names if not fields.get(name, {}).get(hidden)]
        yield from Draft4Validator.VALIDATORS["required"](validator, shown, value, schema)

    dialect = extend(
        Draft4Validator,
        {
            "type": _unless_null(Draft4Validator.VALIDATORS["type"]),
            "enum": _unless_null(Draft4Validator.VALIDATORS["enum"]),
            "format": _integer_format,
            "pattern": _pattern,
            "required": required,
            hidden: hide,
        },
        type_checker=Draft202012Validator.TYPE_CHECKER,
    )
    return dialect(schema)


def _unless_null(check: Any) -> Any:
    def checked(validator: Any, given: Any, value: Any, schema: dict[str, Any]) -> Errors:
        if not (value is None and schema.get("nullable")):
            yield from check(validator, given, value, schema)

    return checked


def _pattern(validator: Any, pattern: str, value: Any, _: Any) -> Errors:
    """In Python, `$` would also be before a line break at the end."""
    if validator.is_type(value, "string") and not re.search(pattern.replace("$", r"\Z"), value):
        yield ValidationError("another pattern")


def _integer_format(validator: Any, name: str, value: Any, _: Any) -> Errors:
    """The formats of text are left to `Draft202012Validator.FORMAT_CHECKER`."""
    if name in INTEGERS and validator.is_type(value, "number"):
        if not INTEGERS[name][0] <= value <= INTEGERS[name][-1]:
            yield ValidationError(f"beyond {name}")
    elif name not in INTEGERS:
        Draft202012Validator.FORMAT_CHECKER.check(value, name)


def resolve(pointer: str, value: Any) -> Any:
    """The value at a JSON pointer (RFC 6901); raises LookupError if there is none."""
    steps = pointer.split("/")
    if steps[0]:
        raise LookupError(pointer)
    for step in steps[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(value, list | dict):
            raise LookupError(pointer)
        value = value[int(name)] if isinstance(value, list) else value[name]
    return value
