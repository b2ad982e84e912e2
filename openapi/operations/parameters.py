"""Parameters in the path, the query and the headers: texts are parsed strictly to values."""

import keyword
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes
from uuid import UUID

from pydantic import TypeAdapter

from openapi.contract.faults import Parts, Unsupported, Where
from openapi.http.problems import MALFORMED, MOST_FAULTS, Fault, Problem
from openapi.http.request import Request
from openapi.operations.schemas import Schema

BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,30})", re.ASCII)
NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?", re.ASCII)
MOST_PARAMETERS = 10_000
BOOLEANS = {"true": True, "false": False}

# It takes a quarter of the time of `UUID`.
_uuid = TypeAdapter(UUID).validator.validate_python

LONGEST_NAME = 200
HIDDEN = "x-secret"

STYLES = {"path": "simple", "query": "form", "header": "simple"}


class WrongText(ValueError):
    """The text is not a value of the parameter's type."""


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
        self.argument = argument_of(definition)
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
        self.is_secret: bool = schema.get(HIDDEN, False)
        self._schema = Schema(schema, "request", where)
        self._accepts = self._schema.accepts
        self.has_default = "default" in schema
        self.default = self._default(schema["default"], where) if self.has_default else None

    def value(self, text: str) -> Any:
        """The value of the text, validated by the schema; a UUID in text becomes a UUID."""
        if self.is_array:
            return self.value_of_all([text])
        value = self._read(text)
        if not self._accepts(value):
            raise self._fault(value)
        return _uuid(value) if self._is_uuid else value

    def value_of_all(self, texts: list[str]) -> Any:
        """The same, of a parameter that may be given more than once."""
        if not self.is_array:
            return self.value(texts[0])
        parts = texts if self._separator is None else texts[0].split(self._separator)
        values = [self._read(part) for part in parts]
        if not self._accepts(values):
            raise self._fault(values)
        return list(map(_uuid, values)) if self._is_uuid else values

    def _fault(self, value: Any) -> WrongText:
        return WrongText(next(iter(self._schema.faults(value))).detail)

    def _default(self, value: Any, where: Where) -> Any:
        if not self._accepts(value):
            place = (*where, "schema", "default")
            reason = self._fault(value)
            raise Unsupported(f"the default breaks its own schema: {reason}", place)
        if self._is_uuid:
            return list(map(_uuid, value)) if self.is_array else _uuid(value)
        return value

    @property
    def is_repeatable(self) -> bool:
        """Whether it may be given more than once."""
        return self.is_array and self._separator is None


def argument_of(definition: dict[str, Any]) -> str:
    """The name of the handler's argument for a parameter."""
    name: str = definition["name"]
    argument = name.lower().replace("-", "_")
    return f"{argument}_" if keyword.iskeyword(argument) else argument


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
        parameters, parts = [], Parts()
        for each in definitions:
            with parts:
                parameters.append(Parameter(each, where))
        parts.check()
        self.arguments = {each.argument: each for each in parameters}
        if len(self.arguments) < len(parameters):
            raise Unsupported("two parameters have the same name", where)
        self._path = {
            each.name: (each.argument, each.value) for each in parameters if each.location == "path"
        }
        self._query = {each.name: each for each in parameters if each.location == "query"}
        self._requires_query = any(each.required for each in self._query.values())
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
        """The names of those in headers, in lower case."""
        return {name for name, _ in self._headers}

    @property
    def have_secret(self) -> bool:
        """Whether one of them is a secret, which no log may show."""
        return any(each.is_secret for each in self.arguments.values())

    def read(self, path: Mapping[str, str], request: Request) -> tuple[dict[str, Any], list[Fault]]:
        """The arguments of the handler, with defaults; and the faults of the others."""
        values = self._defaults.copy()
        faults: list[Fault] = []
        for name, text in path.items():
            argument, value = self._path[name]
            try:
                values[argument] = value(text)
            except WrongText as error:
                faults.append(Fault(str(error), parameter=name))
        if request.query or self._requires_query:
            of_query, faults_of_query = self._read_query(request.query)
            values.update(of_query)
            faults += faults_of_query
        for header, parameter in self._headers:
            given = request.headers.get(header)
            if given is not None:
                try:
                    values[parameter.argument] = parameter.value(given.decode("latin-1"))
                except WrongText as error:
                    faults.append(Fault(str(error), parameter=parameter.name))
            elif parameter.required:
                faults.append(_missing(parameter))
        return values, faults

    def _read_query(self, query: bytes) -> tuple[dict[str, Any], list[Fault]]:
        texts: dict[str, list[str]] = {}
        for name, text in pairs(query):
            texts.setdefault(name, []).append(text)
        values: dict[str, Any] = {}
        faults: list[Fault] = []
        for name, each in texts.items():
            if len(faults) > MOST_FAULTS:
                break
            parameter = self._query.get(name)
            if parameter is None:
                faults.append(Fault("this parameter is unknown", parameter=name[:LONGEST_NAME]))
            elif len(each) > 1 and not parameter.is_repeatable:
                faults.append(Fault("this parameter is given more than once", parameter=name))
            else:
                try:
                    values[parameter.argument] = parameter.value_of_all(each)
                except WrongText as error:
                    faults.append(Fault(str(error), parameter=name))
        faults += [
            _missing(parameter)
            for name, parameter in self._query.items()
            if parameter.required and name not in texts
        ]
        return values, faults


def pairs(query: bytes) -> Iterator[tuple[str, str]]:
    """The names and values of a query string, decoded."""
    pieces = query.split(b"&") if query else []
    if len(pieces) > MOST_PARAMETERS:
        raise Problem(MALFORMED, f"The query has more than {MOST_PARAMETERS:,} parameters.")
    for piece in pieces:
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


def _missing(parameter: Parameter) -> Fault:
    return Fault("this parameter is required", parameter=parameter.name)
