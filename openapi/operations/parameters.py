"""Parameters of the path, the query and the headers: from text to values, strictly."""

import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote_to_bytes
from uuid import UUID

from pydantic import TypeAdapter

from openapi.contract.document import Unsupported, Where
from openapi.http.problems import MALFORMED, Fault, Problem
from openapi.operations.schemas import Schema

BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,30})", re.ASCII)
NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?", re.ASCII)
BOOLEANS = {"true": True, "false": False}

# In a fourth of the time that UUID itself takes.
_uuid = TypeAdapter(UUID).validator.validate_python

STYLES = {"path": "simple", "query": "form", "header": "simple"}


class WrongText(ValueError):
    """The text does not spell a value of the parameter's type."""


def _integer(text: str) -> int:
    if not INTEGER.fullmatch(text):
        raise WrongText("this is not an integer")
    return int(text)


def _number(text: str) -> float:
    if not NUMBER.fullmatch(text):
        raise WrongText("this is not a number")
    return float(text)


def _boolean(text: str) -> bool:
    if text not in BOOLEANS:
        raise WrongText("this is neither `true` nor `false`")
    return BOOLEANS[text]


READERS: dict[str, Callable[[str], Any]] = {
    "string": str,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
}


class Parameter:
    """One parameter of an operation."""

    def __init__(self, definition: dict[str, Any], where: Where) -> None:
        self.name: str = definition["name"]
        self.location: str = definition["in"]
        self.argument = self.name.lower().replace("-", "_")
        where = (*where, f"the parameter {self.name}")
        _refuse_unsupported(definition, where)
        schema = definition["schema"]
        self.required: bool = definition.get("required", False)
        self.is_array = schema["type"] == "array"
        repeats = self.location == "query" and definition.get("explode", True)
        self._separator = None if repeats else ","
        item = schema["items"] if self.is_array else schema
        self._read = READERS[item["type"]]
        self._is_uuid = item.get("format") == "uuid"
        self._schema = Schema(schema, "request", where)
        self.has_default = "default" in schema
        self.default = self._default(schema["default"], where) if self.has_default else None

    def value(self, texts: list[str]) -> Any:
        """What the texts spell, checked against the schema; a UUID becomes one."""
        if not self.is_array:
            return self._checked(self._read(texts[0]))
        parts = texts if self._separator is None else texts[0].split(self._separator)
        return self._checked([self._read(part) for part in parts])

    def _checked(self, value: Any) -> Any:
        if not self._schema.accepts(value):
            raise WrongText(next(iter(self._schema.faults(value))).detail)
        if self._is_uuid:
            return [_uuid(part) for part in value] if self.is_array else _uuid(value)
        return value

    def _default(self, value: Any, where: Where) -> Any:
        try:
            return self._checked(value)
        except WrongText as error:
            place = (*where, "schema", "default")
            raise Unsupported(f"the default breaks its own schema: {error}", place) from None

    @property
    def takes_many(self) -> bool:
        """Whether it may stand more than once."""
        return self.is_array and self._separator is None


def _refuse_unsupported(definition: dict[str, Any], where: Where) -> None:
    location = definition["in"]
    if location not in STYLES:
        raise Unsupported(f"parameters in the {location} are not supported", where)
    if definition.get("style", STYLES[location]) != STYLES[location]:
        raise Unsupported(f"the style {definition['style']!r} is not supported here", where)
    if definition.get("allowReserved") or definition.get("allowEmptyValue"):
        raise Unsupported("allowReserved and allowEmptyValue are not supported", where)
    schema = definition.get("schema", {})
    item = schema.get("items", {}) if schema.get("type") == "array" else schema
    if item.get("type") not in READERS or schema.get("nullable"):
        raise Unsupported("a parameter needs a plain type, or an array of one", where)


class Parameters:
    """All parameters of an operation."""

    def __init__(self, definitions: list[dict[str, Any]], where: Where) -> None:
        parameters = [Parameter(each, where) for each in definitions]
        self.arguments = {each.argument: each for each in parameters}
        if len(self.arguments) < len(parameters):
            raise Unsupported("two parameters have the same name", where)
        self._path = {each.name: each for each in parameters if each.location == "path"}
        self._query = {each.name: each for each in parameters if each.location == "query"}
        self._headers = [
            (each.name.lower().encode(), each) for each in parameters if each.location == "header"
        ]
        self._defaults = {each.argument: each.default for each in parameters if each.has_default}

    @property
    def in_path(self) -> list[str]:
        """The names of those in the path."""
        return sorted(self._path)

    @property
    def in_headers(self) -> set[bytes]:
        """The names of those in headers, in small letters."""
        return {name for name, _ in self._headers}

    def read(
        self,
        path: dict[str, str],
        query: bytes,
        headers: dict[bytes, bytes],
        faults: list[Fault],
    ) -> dict[str, Any]:
        """The arguments of the handler; what is wrong with them is added to the faults."""
        values = dict(self._defaults)
        for name, text in path.items():
            _take(self._path[name], [text], values, faults)
        if query or self._query:
            self._read_query(query, values, faults)
        for header, parameter in self._headers:
            if header in headers:
                _take(parameter, [headers[header].decode("latin-1")], values, faults)
            elif parameter.required:
                faults.append(_missing(parameter))
        return values

    def _read_query(self, query: bytes, values: dict[str, Any], faults: list[Fault]) -> None:
        given: dict[str, list[str]] = {}
        for name, text in pairs(query):
            given.setdefault(name, []).append(text)
        for name, texts in given.items():
            parameter = self._query.get(name)
            if parameter is None:
                faults.append(Fault("this parameter is unknown", parameter=name[:200]))
            elif len(texts) > 1 and not parameter.takes_many:
                faults.append(Fault("this parameter stands more than once", parameter=name))
            else:
                _take(parameter, texts, values, faults)
        for name, parameter in self._query.items():
            if parameter.required and name not in given:
                faults.append(_missing(parameter))


def pairs(query: bytes) -> Iterator[tuple[str, str]]:
    """The names and values of a query string, decoded."""
    for piece in query.split(b"&") if query else ():
        name, _, value = piece.partition(b"=")
        yield decoded(name.replace(b"+", b" ")), decoded(value.replace(b"+", b" "))


def decoded(text: bytes) -> str:
    """Percent-encoded UTF-8 as text."""
    if b"%" in text:
        if BROKEN_ESCAPE.search(text):
            raise Problem(MALFORMED, "A `%` in the URL is not followed by two hexadecimal digits.")
        text = unquote_to_bytes(text)
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        raise Problem(MALFORMED, "The URL is not UTF-8.") from None


def _take(
    parameter: Parameter, texts: list[str], values: dict[str, Any], faults: list[Fault]
) -> None:
    try:
        values[parameter.argument] = parameter.value(texts)
    except WrongText as error:
        faults.append(Fault(str(error), parameter=parameter.name))


def _missing(parameter: Parameter) -> Fault:
    return Fault("this parameter is required", parameter=parameter.name)
