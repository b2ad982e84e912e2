"""Random parameters are read as by a reference parser."""

import json
import re
import string
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema.exceptions import FormatError

from openapi.contract.faults import Unsupported
from openapi.http.problems import MALFORMED, Fault, Problem
from openapi.operations.parameters import Parameters, decoded, pairs
from tests.support.references import openapi_validator, property_settings
from tests.support.requests import request_with

Texts = dict[str, list[str]]

INTEGER = r"-?(0|[1-9]\d{0,30})"
NUMBER = INTEGER + r"(\.\d{1,30})?([eE][+-]?\d{1,2})?"

TYPES: list[dict[str, Any]] = [
    {"type": "string"},
    {"type": "string", "enum": ["a", "b", ""]},
    {"type": "string", "minLength": 1, "maxLength": 3},
    {"type": "string", "format": "uuid", "minLength": 36, "maxLength": 36},
    {"type": "string", "format": "uuid"},
    {"type": "integer"},
    {"type": "integer", "format": "int32", "minimum": -1},
    {"type": "integer", "format": "int64", "maximum": 9, "exclusiveMaximum": True},
    {"type": "number"},
    {"type": "number", "minimum": 0, "exclusiveMinimum": True},
    {"type": "boolean"},
    {"type": "boolean", "enum": [True]},
]
BOUNDS: list[dict[str, Any]] = [{}, {"minItems": 1, "maxItems": 2}, {"uniqueItems": True}]
UUIDS = st.uuids().flatmap(
    lambda each: st.sampled_from([str(each), str(each).upper(), each.hex, f"{{{each}}}"])
)
EDGES = [-(2**31) - 1, -2, -1, 0, 8, 9, 2**31 - 1, 2**31, 2**63 - 1, 2**63, 10**30, 10**31]
WORDS = {
    "string": st.sampled_from(["", "a", "b", "abc", "abcd", "é"]) | UUIDS | st.text(max_size=4),
    "integer": st.sampled_from(EDGES).map(str) | st.integers().map(str),
    "number": st.floats().map(str) | st.sampled_from(["0", "-0", "0.0", "1e5", "1E-99", "1e999"]),
    "boolean": st.sampled_from(["true", "false"]),
}
NOT_QUITE = st.sampled_from(
    [" 1", "1 ", "1\n", "٣", "00", "+1", "1.", ".5", "1_0", "0x1", "NaN", "Infinity", "True", ""]
)


USER = "0190a1b2-0000-7000-8000-00000000a11c"


def texts_for(definition: dict[str, Any]) -> st.SearchStrategy[str]:
    """Texts that mostly spell a value of the parameter, or nearly."""
    schema = definition["schema"]
    words = st.one_of(WORDS[schema.get("items", schema)["type"]], NOT_QUITE)
    usual = words | st.lists(words, min_size=2, max_size=3).map(",".join)
    in_header = definition["in"] == "header"
    return usual.filter(lambda text: not in_header or all(ord(each) < 256 for each in text))


@st.composite
def definitions(draw: st.DrawFn, location: str, name: str) -> dict[str, Any]:
    """A parameter, of a plain type or an array of one."""
    schema: dict[str, Any] = draw(st.sampled_from(TYPES))
    if draw(st.booleans()):
        schema = {"type": "array", "items": schema, **draw(st.sampled_from(BOUNDS))}
    explode = draw(st.sampled_from([{}, {"explode": True}, {"explode": False}]))
    required = {"required": True} if location == "path" or draw(st.booleans()) else {}
    return {"name": name, "in": location, "schema": schema, **explode, **required}


def spelled(schema: dict[str, Any], text: str) -> Any:
    """The value of a text; raises ValueError if it is invalid."""
    kind = schema["type"]
    if kind == "string":
        return text
    if kind == "boolean":
        return {"true": True, "false": False}.get(text) if text in ("true", "false") else no_value()
    if not re.fullmatch(INTEGER if kind == "integer" else NUMBER, text, re.ASCII):
        no_value()
    return json.loads(text) if kind == "integer" else float(text)


def no_value() -> None:
    raise ValueError


def value_of(definition: dict[str, Any], texts: list[str]) -> Any:
    """The value of a parameter; raises ValueError if it breaks the contract."""
    schema = definition["schema"]
    is_array = schema["type"] == "array"
    item = schema["items"] if is_array else schema
    repeats = is_array and definition["in"] == "query" and definition.get("explode", True)
    if len(texts) > 1 and not repeats:
        no_value()
    parts = texts[0].split(",") if is_array and not repeats else texts
    values = [spelled(item, part) for part in parts]
    value = values if is_array else values[0]
    if not openapi_validator(schema, "request").is_valid(value):
        no_value()
    if item.get("format") == "uuid":
        values = [UUID(each) for each in values]
    return values if is_array else values[0]


def expected(definitions: list[dict[str, Any]], given: Texts) -> tuple[dict[str, Any], set[str]]:
    """The arguments of the handler, and the parameters at fault."""
    values: dict[str, Any] = {}
    at_fault = given.keys() - {each["name"] for each in definitions}
    for definition in definitions:
        name = definition["name"]
        try:
            if name in given:
                values[name.lower().replace("-", "_")] = value_of(definition, given[name])
            elif definition.get("required"):
                no_value()
        except (ValueError, FormatError):
            at_fault = at_fault | {name}
    return values, set(at_fault)


def parameters_at_fault(faults: list[Fault]) -> set[str]:
    assert all(fault.detail and fault.pointer is None for fault in faults)
    places = [fault.parameter for fault in faults]
    assert len(set(places)) == len(places)
    return {place for place in places if place is not None}


def written(text: str) -> st.SearchStrategy[str]:
    """The text, percent-encoded in a random way."""
    return st.sampled_from([quote(text), quote_plus(text), quote(text, safe=",:/?@")])


@property_settings(250)
@given(st.data())
def test_query_is_read_as_by_the_reference_parser(data: st.DataObject) -> None:
    defined = {name: data.draw(definitions("query", name)) for name in ["a", "B-c", "d[]"]}
    names = data.draw(st.lists(st.sampled_from([*defined, *defined, "A", "", "é"]), max_size=5))
    given: Texts = {}
    pieces = []
    for name in names:
        text = data.draw(texts_for(defined.get(name, defined["a"])))
        given.setdefault(name, []).append(text)
        pieces.append(f"{data.draw(written(name))}={data.draw(written(text))}")
    request = request_with("&".join(pieces).encode())

    values, faults = Parameters([*defined.values()], ()).read({}, request)

    wanted, at_fault = expected([*defined.values()], given)
    assert parameters_at_fault(faults) == at_fault
    assert repr(sorted(values.items())) == repr(sorted(wanted.items()))


@property_settings(250)
@given(st.data())
def test_paths_and_headers_are_read_as_by_the_reference_parser(data: st.DataObject) -> None:
    places = {"id": "path", "If-Match": "header", "X-Trace": "header"}
    defined = {name: data.draw(definitions(place, name)) for name, place in places.items()}
    given = {
        name: [data.draw(texts_for(definition))]
        for name, definition in defined.items()
        if name == "id" or data.draw(st.booleans())
    }
    path = {"id": given["id"][0]}
    headers = {
        name.lower().encode(): texts[0].encode("latin-1")
        for name, texts in given.items()
        if name != "id"
    }
    request = request_with(headers={**headers, b"x-other": b"1"})

    values, faults = Parameters([*defined.values()], ()).read(path, request)

    wanted, at_fault = expected([*defined.values()], given)
    assert parameters_at_fault(faults) == at_fault
    assert repr(sorted(values.items())) == repr(sorted(wanted.items()))


def reference_pairs(query: bytes) -> list[tuple[str, str]]:
    """The pairs of a query as the standard library reads it; ValueError if it would guess."""
    text = "".join(chr(byte) if byte < 128 else f"%{byte:02X}" for byte in query)
    for escape in text.split("%")[1:]:
        if not (len(escape) > 1 and set(escape[:2]) <= set(string.hexdigits)):
            raise ValueError("a broken escape")
    found: list[tuple[str, str]] = []
    for piece in text.split("&") if text else []:
        # An empty piece is a parameter without a name, which the standard library passes over.
        found += parse_qsl(piece, keep_blank_values=True, errors="strict") or [("", "")]
    return found


QUERIES = st.lists(
    st.one_of(
        st.sampled_from([b"&", b"=", b"+", b"%", b"%2", b"%20", b"%C3%A9", b"%c3", b"%00", b";"]),
        st.binary(max_size=2),
        st.text(max_size=2).map(lambda text: quote(text).encode()),
    ),
    max_size=8,
).map(b"".join)


@property_settings(400)
@given(QUERIES)
def test_query_is_decoded_as_by_the_standard_library(query: bytes) -> None:
    try:
        found: Any = list(pairs(query))
    except Problem as problem:
        assert problem.kind is MALFORMED
        found = "refused"

    try:
        assert found == reference_pairs(query)
    except ValueError:
        assert found == "refused"


@property_settings(200)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_percent_encoded_text_is_decoded_unchanged(text: str) -> None:
    assert decoded(quote(text, safe="").encode()) == text


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "string", "format": "uuid", "default": USER.upper()}, USER),
        ({"type": "number", "default": 1}, "1"),
        ({"type": "boolean", "default": False}, "false"),
        ({"type": "array", "items": {"type": "integer"}, "default": [1, 2]}, "1,2"),
    ],
)
def test_default_equals_its_text_parsed(schema: dict[str, Any], text: str) -> None:
    parameters = Parameters([{"name": "a", "in": "query", "explode": False, "schema": schema}], ())

    without, with_it = request_with(), request_with(f"a={text}".encode())
    assert parameters.read({}, without) == parameters.read({}, with_it)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer", "default": "1"},
        {"type": "integer", "maximum": 5, "default": 6},
        {"type": "string", "format": "uuid", "default": "me"},
    ],
)
def test_default_that_breaks_its_own_schema_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(Unsupported):
        Parameters([{"name": "a", "in": "query", "schema": schema}], ())
