"""Schemas of the contract, compiled once to validators that name every fault."""

import re
from collections.abc import Iterator
from typing import Any, Literal

from jsonschema_rs import Draft202012Validator, ValidationError, ValidationErrorKind

from db.zones import is_zone
from openapi.contract.faults import Unsupported, Where
from openapi.http.problems import Fault
from openapi.operations import caseless_items

Direction = Literal["request", "response"]

# Keywords with the same meaning in OpenAPI 3.0 and in JSON Schema 2020-12.
SAME = {
    *("type", "enum", "format", "pattern", "minLength", "maxLength"),
    *("minimum", "maximum", "multipleOf"),
    *("minItems", "maxItems", "uniqueItems"),
    *("minProperties", "maxProperties", "required"),
}
ANNOTATIONS = {"title", "description", "default", "example", "externalDocs", "deprecated"}
OF_SCHEMAS = {"allOf", "anyOf", "oneOf"}
TRANSLATED = {
    *("nullable", "exclusiveMinimum", "exclusiveMaximum", "readOnly", "writeOnly"),
    *("items", "properties", "additionalProperties", "not", "discriminator"),
    *OF_SCHEMAS,
}
INTEGER_RANGES = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}
EXCLUDING = re.compile(r"\^\[\^([^\\\]^]|\\x[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4})\]\*\$")
FORMATS = {"time-zone": is_zone}
LONGEST_MESSAGE = 300
LONGEST_NAME = 64
DEEPEST = 64
MISPLACED_DEFAULT = "only fields of the outermost object can have defaults"


class Schema:
    """One schema of the contract, as it applies to requests or to responses."""

    def __init__(self, schema: dict[str, Any], direction: Direction, where: Where) -> None:
        self._validator = validator_of(translate(schema, direction, where), where)
        self.accepts = self._validator.is_valid
        self.defaults = _defaults(schema, where) if direction == "request" else {}

    def faults(self, value: Any) -> Iterator[Fault]:
        """All faults of the value, each with its place."""
        for error in self._validator.iter_errors(value):
            for path, detail in _spelled_out(error):
                yield Fault(detail, pointer="".join(f"/{_escaped(part)}" for part in path))


def validator_of(translated: dict[str, Any], where: Where) -> Draft202012Validator:
    """The validator of a translated schema; raises if a keyword has a value it cannot have."""
    try:
        return Draft202012Validator(
            translated,
            formats=FORMATS,
            validate_formats=True,
            ignore_unknown_formats=False,
            mask="this value",
            keywords={caseless_items.NAME: caseless_items.UniqueWithoutCase},
        )
    except ValueError as error:
        raise Unsupported(str(error), where) from error


def translate(schema: dict[str, Any], direction: Direction, where: Where) -> dict[str, Any]:
    """An OpenAPI 3.0 schema as JSON Schema 2020-12; raises if a keyword is not supported."""
    _refuse_unknown(schema, where)
    translated = {key: value for key, value in schema.items() if key in SAME}
    for key in OF_SCHEMAS & schema.keys():
        translated[key] = [
            translate(each, direction, (*where, key, str(index)))
            for index, each in enumerate(schema[key])
        ]
    if "discriminator" in schema:
        translated.setdefault("allOf", []).append(
            _translate_discriminator(schema["discriminator"], translated.pop("oneOf", []), where)
        )
    for key in {"items", "not"} & schema.keys():
        translated[key] = translate(schema[key], direction, (*where, key))
    if schema.get("type") == "object" and "not" in schema and not schema.get("nullable"):
        # Another type is one fault, and not also one against `not`.
        translated["not"].setdefault("type", "object")
    _translate_properties(schema, translated, direction, where)
    _translate_numbers(schema, translated, where)
    _translate_nullable(schema, translated, where)
    if direction == "response":
        _translate_excluding(translated)
        _translate_suffix(translated)
        return translated
    if schema.get(caseless_items.NAME):
        # It finds exact duplicates, too: these would be two faults.
        translated.pop("uniqueItems", None)
        translated[caseless_items.NAME] = True
    if {"items", "maxItems"} <= translated.keys():
        _count_before_items(translated)
    return translated


def _translate_discriminator(
    discriminator: dict[str, Any], branches: list[dict[str, Any]], where: Where
) -> dict[str, Any]:
    """The same as oneOf, but only the branch that the discriminator names is checked."""
    name = discriminator["propertyName"]
    fields = [each.get("properties", {}).get(name) or {} for each in branches]
    enums = [each.get("enum", ()) for each in fields]
    values = [value for each in enums for value in each]
    if (
        not branches
        or any(len(each) != 1 for each in enums)
        or len(set(values)) < len(values)
        or set(discriminator.get("mapping", values)) != set(values)
        or any(each.get("type") != "object" or name not in each["required"] for each in branches)
    ):
        raise Unsupported(
            f"a discriminator wants oneOf several objects that require {name!r},"
            " each with one value of its own, which the mapping names",
            (*where, "discriminator"),
        )
    required = {"type": "object", "required": [name]}
    chosen = {**required, "properties": {name: {"enum": values}}}
    for value, branch in zip(reversed(values), reversed(branches), strict=True):
        named = {**required, "properties": {name: {"const": value}}}
        chosen = {"if": named, "then": branch, "else": chosen}
    return chosen


def _refuse_unknown(schema: dict[str, Any], where: Where) -> None:
    if len(where) > DEEPEST:
        raise Unsupported("recursive schemas are not supported", where)
    known = SAME | ANNOTATIONS | TRANSLATED
    for key in schema:
        if key not in known and not key.startswith("x-"):
            raise Unsupported(f"the schema keyword {key!r} is not supported", (*where, key))


def _translate_properties(
    schema: dict[str, Any], translated: dict[str, Any], direction: Direction, where: Where
) -> None:
    if (
        schema.get("type") != "object"
        and not {"properties", "additionalProperties"} & schema.keys()
    ):
        return
    hidden = "readOnly" if direction == "request" else "writeOnly"
    properties = schema.get("properties", {})
    if "" in properties:
        raise Unsupported("a field needs a name: faults within it would lack their place", where)
    # Always present, even if empty: otherwise the validator does not name unknown fields.
    translated["properties"] = {
        # false: any value of a field that may not be sent is a fault
        name: False
        if each.get(hidden)
        else translate(each, direction, (*where, "properties", name))
        for name, each in properties.items()
    }
    translated["required"] = [
        name for name in schema.get("required", ()) if not properties.get(name, {}).get(hidden)
    ]
    rest = schema.get("additionalProperties", True)
    if rest is True:
        raise Unsupported("an object must say which fields it has: additionalProperties", where)
    if rest is False and (absent := set(schema.get("required", ())) - properties.keys()):
        raise Unsupported(f"no object can have the required {absent}", (*where, "required"))
    translated["additionalProperties"] = rest and translate(
        rest, direction, (*where, "additionalProperties")
    )


def _translate_numbers(schema: dict[str, Any], translated: dict[str, Any], where: Where) -> None:
    for bound in ("minimum", "maximum"):
        exclusive = "exclusive" + bound.capitalize()
        if not schema.get(exclusive):
            continue
        if bound not in schema:
            raise Unsupported(f"{exclusive} needs a {bound} beside it", (*where, exclusive))
        translated[exclusive] = translated.pop(bound)
    if schema.get("format") in INTEGER_RANGES:
        lowest, highest = INTEGER_RANGES[translated.pop("format")]
        translated["minimum"] = max(lowest, translated.get("minimum", lowest))
        translated["maximum"] = min(highest, translated.get("maximum", highest))


def _translate_nullable(schema: dict[str, Any], translated: dict[str, Any], where: Where) -> None:
    if not schema.get("nullable"):
        return
    if "type" not in schema:
        raise Unsupported("nullable needs a type beside it", (*where, "nullable"))
    translated["type"] = [schema["type"], "null"]
    if "enum" in schema:
        translated["enum"] = [*schema["enum"], None]


def _count_before_items(translated: dict[str, Any]) -> None:
    """Check the length of an array before its items, which may be half a million."""
    translated["if"] = {"maxItems": translated["maxItems"]}
    of_items = {"items", "uniqueItems", caseless_items.NAME} & translated.keys()
    translated["then"] = {name: translated.pop(name) for name in of_items}


def _translate_suffix(translated: dict[str, Any]) -> None:
    """Match only the end of a time: its format excludes line breaks before it."""
    if translated.get("format") == "date-time" and "pattern" in translated:
        translated["pattern"] = translated["pattern"].removeprefix("^.*")


def _translate_excluding(translated: dict[str, Any]) -> None:
    """Search for an excluded character, which is faster than to match all other characters.

    Only in responses: in a request, the fault would show a pattern that is not in the contract.
    """
    excluding = EXCLUDING.fullmatch(translated.get("pattern", ""))
    if excluding and "not" not in translated:
        del translated["pattern"]
        translated["not"] = {"type": "string", "pattern": f"[{excluding[1]}]"}


def _defaults(schema: dict[str, Any], where: Where) -> dict[str, Any]:
    """The defaults of an object's fields; raises for any other default, which would be ignored."""
    defaults = {}
    for part, place in _parts(schema, where):
        _defaults_refused(part, place)
        if "default" not in part:
            continue
        if place[:-1] != (*where, "properties"):
            raise Unsupported(MISPLACED_DEFAULT, (*place, "default"))
        if not Schema(part, "request", place).accepts(part["default"]):
            raise Unsupported("the default breaks its own schema", (*place, "default"))
        defaults[place[-1]] = part["default"]
    return defaults


def _defaults_refused(schema: dict[str, Any], where: Where) -> None:
    for part, place in _parts(schema, where):
        if "default" in part:
            raise Unsupported(MISPLACED_DEFAULT, (*place, "default"))
        _defaults_refused(part, place)


def _parts(schema: dict[str, Any], where: Where) -> Iterator[tuple[dict[str, Any], Where]]:
    """The schemas directly within a schema, and their places."""
    for name, each in schema.get("properties", {}).items():
        yield each, (*where, "properties", name)
    for key in ("items", "not", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield schema[key], (*where, key)
    for key in OF_SCHEMAS & schema.keys():
        for index, each in enumerate(schema[key]):
            yield each, (*where, key, str(index))


def _spelled_out(error: ValidationError) -> Iterator[tuple[list[str | int], str]]:
    """One fault for each field; the validator may name several fields in one message."""
    path = list(error.instance_path)
    kind = error.kind
    if isinstance(kind, ValidationErrorKind.AdditionalProperties):
        for name in kind.unexpected:
            yield [*path, name], "this field is unknown"
    elif isinstance(kind, ValidationErrorKind.Required):
        yield [*path, kind.property], "this field is required"
    elif isinstance(kind, ValidationErrorKind.FalseSchema):
        yield path, "clients cannot set this field"
    elif isinstance(kind, ValidationErrorKind.UniqueItems):
        yield [*path, _repeated(error.instance)], "this value is there already"
    elif isinstance(kind, ValidationErrorKind.Custom):
        yield [*path, caseless_items.repeated(error.instance) or 0], caseless_items.DETAIL
    elif isinstance(kind, ValidationErrorKind.Not) and (
        names := _excluded(kind.schema, error.instance)
    ):
        *others, name = names
        yield [*path, name], f"this field does not go together with {', '.join(others)}"
    else:
        yield path, error.message[:LONGEST_MESSAGE]


def _repeated(values: Any) -> int:
    """The index of the first value that is equal to one before it."""
    return next((index for index, each in enumerate(values) if each in values[:index]), 0)


def _excluded(schema: Any, value: Any) -> list[str]:
    """The fields that an object may not have together, if the schema of `not` names them."""
    required: list[str] = schema.get("required", []) if isinstance(schema, dict) else []
    return required if isinstance(value, dict) and value.keys() >= set(required) else []


def _escaped(part: str | int) -> str:
    """A step of a JSON pointer (RFC 6901)."""
    return str(part)[:LONGEST_NAME].replace("~", "~0").replace("/", "~1")
