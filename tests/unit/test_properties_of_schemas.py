"""Random schemas and values are validated as by OpenAPI's own dialect of JSON Schema."""

from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openapi.contract.faults import Unsupported
from openapi.operations.schemas import Schema
from tests.support.references import openapi_validator, property_settings, resolve

Direction = Literal["request", "response"]

NAMES = st.sampled_from(["a", "b", " ", "a/b", "~", "~1", "0"])
NUMBERS = st.integers(-3, 3) | st.sampled_from([-0.0, 0.5, 1.0, 2.5, 2**31, -(2**63) - 1, 10**40])
STRINGS = st.sampled_from(["", "a", "ab", "é", "👩‍👩‍👧", "\x00", "b\n"])
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, STRINGS)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
SIZES = st.integers(0, 3)

ANY = {"enum": st.lists(VALUES, min_size=1, max_size=3, unique_by=repr)}
KEYWORDS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "string": {
        "minLength": SIZES,
        "maxLength": SIZES,
        "pattern": st.sampled_from(
            ["^a", "b", r"^[^\u0000]*$", r"^[^\x00]*$", "^[^b]*$", "^[^^]*$", "^.{1,2}$"]
        ),
    },
    "integer": {"format": st.sampled_from(["int32", "int64"]), "multipleOf": st.integers(1, 3)},
    "number": {"multipleOf": st.sampled_from([1, 2, 0.5])},
    "boolean": {},
    "array": {"minItems": SIZES, "maxItems": SIZES, "uniqueItems": st.booleans()},
    "object": {"minProperties": SIZES, "maxProperties": SIZES},
}
BOUNDS = {
    "minimum": NUMBERS,
    "maximum": NUMBERS,
    "exclusiveMinimum": st.booleans(),
    "exclusiveMaximum": st.booleans(),
}


OBJECT = {"type": "object", "additionalProperties": False}


def some_of(keywords: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=keywords)


@st.composite
def schemas(draw: st.DrawFn, depth: int = 3) -> dict[str, Any]:
    """A schema of OpenAPI 3.0 that the compiler accepts."""
    kind = draw(st.sampled_from([*KEYWORDS, *KEYWORDS, None]))
    if kind is None:
        schema = draw(some_of({**ANY, **KEYWORDS["string"], **KEYWORDS["array"]}))
    else:
        schema = {
            "type": kind,
            **draw(some_of({**ANY, **KEYWORDS[kind]}) | some_of(KEYWORDS[kind])),
        }
        schema |= draw(some_of({"nullable": st.booleans()}))
    if kind in ("integer", "number"):
        schema |= draw(some_of(BOUNDS))
        for bound, exclusive in [("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")]:
            if bound not in schema:
                schema.pop(exclusive, None)  # means nothing alone
    inner = schemas(depth=depth - 1) if depth else st.just({})
    if kind == "object" or (kind is None and draw(st.booleans())):
        schema |= draw(fields(inner))
    if kind == "array" or (kind is None and draw(st.booleans())):
        schema["items"] = draw(inner)
    if depth and draw(st.integers(0, 3)) == 0:
        combined = st.lists(inner, min_size=1, max_size=3)
        schema |= draw(some_of({"allOf": combined, "anyOf": combined, "oneOf": combined}))
        schema |= draw(some_of({"not": inner}))
    return schema


@st.composite
def fields(draw: st.DrawFn, inner: st.SearchStrategy[dict[str, Any]]) -> dict[str, Any]:
    """The keywords of an object's fields."""
    hidden = st.sampled_from([{}, {}, {"readOnly": True}, {"writeOnly": True}, {"readOnly": False}])
    field = st.builds(lambda schema, more: {**schema, **more}, inner, hidden)
    properties = draw(st.dictionaries(NAMES, field, max_size=3))
    rest = draw(st.just(False) | inner)
    known = st.sampled_from([*properties]) if properties else st.nothing()
    required = draw(
        st.lists(NAMES if rest is not False else known, max_size=len(properties), unique=True)
    )
    return {
        "additionalProperties": rest,
        **({"properties": properties} if properties else {}),
        **({"required": required} if required else {}),
    }


@st.composite
def values_for(draw: st.DrawFn, schema: dict[str, Any]) -> Any:
    """A value that often obeys the schema."""
    if "enum" in schema and draw(st.booleans()):
        return draw(st.sampled_from(schema["enum"]))
    kind = draw(st.sampled_from([schema.get("type"), schema.get("type"), None]))
    if kind == "object":
        known = {name: values_for(each) for name, each in schema.get("properties", {}).items()}
        required = {name: known.pop(name) for name in schema.get("required", []) if name in known}
        return draw(st.fixed_dictionaries(required, optional={**known, "unknown": VALUES}))
    if kind == "array":
        return draw(st.lists(values_for(schema.get("items", {})), max_size=3))
    simple = {"string": STRINGS, "integer": NUMBERS, "number": NUMBERS, "boolean": st.booleans()}
    return draw(simple.get(str(kind), VALUES))


@pytest.mark.parametrize("direction", ["request", "response"])
@property_settings(100)
@given(data=st.data())
def test_schema_is_validated_as_by_the_reference_validator(
    direction: Direction, data: st.DataObject
) -> None:
    written = data.draw(schemas())
    schema = Schema(written, direction, ())
    reference = openapi_validator(written, direction)

    for _ in range(3):
        value = data.draw(values_for(written))
        faults = list(schema.faults(value))

        assert schema.accepts(value) is reference.is_valid(value)
        assert schema.accepts(value) is not bool(faults)
        for fault in faults:
            assert fault.detail
            assert fault.pointer is not None
            assert is_a_place(fault.pointer, value)


def is_a_place(pointer: str, value: Any) -> bool:
    """Whether a fault can be there: at a value, or at a field that is missing."""
    if pointer == "":
        return True
    parent = resolve(pointer.rpartition("/")[0], value)
    if isinstance(parent, list):
        resolve(pointer, value)
    return isinstance(parent, list | dict)


def choice(value: str, fields: dict[str, Any]) -> dict[str, Any]:
    """One kind of object, which says of itself which one it is."""
    properties = {**fields.get("properties", {}), "kind": {"type": "string", "enum": [value]}}
    required = [*fields.get("required", []), "kind"]
    return {**fields, "type": "object", "properties": properties, "required": required}


@property_settings(100)
@given(data=st.data())
def test_discriminator_agrees_with_one_of_and_names_faults_of_one_choice(
    data: st.DataObject,
) -> None:
    choices = [choice(name, data.draw(fields(schemas(depth=1)))) for name in ("x", "y")]
    schema = Schema({"oneOf": choices, "discriminator": {"propertyName": "kind"}}, "request", ())
    reference = openapi_validator({"oneOf": choices}, "request")
    first = Schema(choices[0], "request", ())

    for _ in range(3):
        value = data.draw(values_for(data.draw(st.sampled_from(choices))))

        assert schema.accepts(value) is reference.is_valid(value)
        assert schema.accepts(value) is not bool(list(schema.faults(value)))
        if isinstance(value, dict) and value.get("kind") == "x":
            assert sorted(map(str, schema.faults(value))) == sorted(map(str, first.faults(value)))


@property_settings(100)
@given(
    st.dictionaries(st.text(max_size=70), st.none(), max_size=4),
    st.lists(st.text(min_size=1, max_size=4), unique=True, max_size=3),
)
def test_every_unknown_and_every_missing_field_is_named(
    value: dict[str, None], fields: list[str]
) -> None:
    schema = Schema(
        {**OBJECT, "required": fields, "properties": {name: {} for name in fields}}, "request", ()
    )

    pointers = [fault.pointer for fault in schema.faults(value)]

    wrong = value.keys() ^ set(fields)
    assert sorted(map(str, pointers)) == sorted(pointer_to(name[:64]) for name in wrong)


def pointer_to(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")


KINDS = {"discriminator": {"propertyName": "kind"}}
OF_X = {**OBJECT, "properties": {"kind": {"enum": ["x"]}}, "required": ["kind"]}


@pytest.mark.parametrize(
    "schema",
    [
        {"additionalProperties": True},
        {**OBJECT, "required": ["a"]},
        {**OBJECT, "properties": {"": {}}},
        {"type": "integer", "exclusiveMinimum": True},
        {"type": "object", "patternProperties": {}},
        {"nullable": True},
        {"type": "string", "format": "colour"},
        {"type": "string", "pattern": "("},
        KINDS,
        {**KINDS, "oneOf": []},
        {**KINDS, "oneOf": [{"type": "string"}]},
        {**KINDS, "oneOf": [OF_X, OF_X]},
        {**KINDS, "oneOf": [{**OF_X, "required": []}]},
        {**KINDS, "oneOf": [{**OF_X, "properties": {"kind": {"enum": ["x", "y"]}}}]},
        {"oneOf": [OF_X], "discriminator": {"propertyName": "kind", "mapping": {"y": "Y"}}},
    ],
    ids=str,
)
def test_schema_that_would_not_be_enforced_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(Unsupported):
        Schema(schema, "request", ())


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"type": "integer", "default": ""}}},
        {"properties": {"a": {"type": "integer", "minimum": 1, "default": 0}}},
        {"properties": {"a": {**OBJECT, "properties": {"b": {"default": 1}}}}},
        {"properties": {"a": {"type": "array", "items": {"default": 1}}}},
        {"allOf": [{**OBJECT, "properties": {"a": {"default": 1}}}]},
        {"additionalProperties": {"default": 1}},
    ],
    ids=str,
)
def test_default_that_is_invalid_or_unused_is_refused(
    schema: dict[str, Any],
) -> None:
    with pytest.raises(Unsupported, match="default"):
        Schema({**OBJECT, **schema}, "request", ())
