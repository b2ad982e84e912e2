"""Files in bodies of requests: read line by line, and checked by the contract.

Each line is a value, or a fault with the number of the line.
"""

import csv
from collections.abc import Callable, Iterator, Mapping
from io import TextIOWrapper
from itertools import islice
from typing import IO, Any

from jiter import from_json

from db.errors import LineFault
from db.transfers.lines import Line, Lines
from handlers.csv_cells import value_of
from openapi.contract.faults import Unsupported, Where
from openapi.http.media_types import CALENDAR, CSV, JSON, JSON_LINES
from openapi.operations.bodies import parsed
from openapi.operations.items import ITEM_SCHEMA
from openapi.operations.schemas import LONGEST_MESSAGE, Schema

MOST_BYTES_OF_LINE = 128 * 1024
MOST_BYTES_OF_JSON = 8 * 1024 * 1024
# For some 4,000 tasks of Google Tasks: the server does nothing else while it reads the document.
MOST_SYNTAX_OF_JSON = 128 * 1024
MOST_FAULTS_OF_LINE = 20
TOO_LONG = f"A line has at most {MOST_BYTES_OF_LINE:,} bytes."
NO_UTF_8 = "This is not UTF-8."
NO_CALENDAR = "A calendar begins with BEGIN:VCALENDAR, and ends with END:VCALENDAR."

Read = Callable[[IO[bytes]], Lines]


def reader_of(media_type: str, media: Mapping[str, Any], where: Where) -> Read:
    """How a file of a media type of the contract is read."""
    if media_type == JSON:
        return _document(Schema(media["schema"], "request", (*where, "schema")))
    if media_type == CALENDAR:
        return _todos
    if ITEM_SCHEMA not in media or media_type not in (JSON_LINES, CSV):
        raise Unsupported("a file is JSON Lines or CSV with items, JSON or a calendar", where)
    schema, place = media[ITEM_SCHEMA], (*where, ITEM_SCHEMA)
    if media_type == JSON_LINES:
        return _json_lines(Schema(schema, "request", place))
    kinds = enumerate(schema["oneOf"])
    return _csv_rows([_Columns(each, (*place, "oneOf", str(index))) for index, each in kinds])


def _document(schema: Schema) -> Read:
    def read(file: IO[bytes]) -> Lines:
        body = file.read(MOST_BYTES_OF_JSON + 1)
        if len(body) > MOST_BYTES_OF_JSON:
            yield LineFault(f"A JSON document has at most {MOST_BYTES_OF_JSON:,} bytes.")
            return
        yield from _checked(Line(None, parsed(body, MOST_SYNTAX_OF_JSON)), schema)

    return read


def _json_lines(schema: Schema) -> Read:
    def read(file: IO[bytes]) -> Lines:
        for number, text in _lines(file):
            if len(text) > MOST_BYTES_OF_LINE:
                yield LineFault(TOO_LONG, number)
                return
            try:
                value = from_json(text, catch_duplicate_keys=True, allow_inf_nan=False)
            except ValueError as error:
                complaint = str(error)[:LONGEST_MESSAGE]
                yield LineFault(f"This is not valid JSON: {complaint}.", number)
            else:
                yield from _checked(Line(number, value), schema)

    return read


def _checked(line: Line, schema: Schema) -> Lines:
    if schema.accepts(line.value):
        yield line
        return
    for fault in islice(schema.faults(line.value), MOST_FAULTS_OF_LINE):
        yield LineFault(fault.detail, line.number, fault.pointer or "")


def _lines(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Each line with its number; of one that is too long, more than a line may have."""
    number = 0
    while text := file.readline(MOST_BYTES_OF_LINE + 1):
        number += 1
        yield number, text


class _Columns:
    """A kind of table: its columns, and the schema of its rows."""

    def __init__(self, schema: Mapping[str, Any], where: Where) -> None:
        self.properties: dict[str, Any] = schema["properties"]
        self._required = {*schema["required"]}
        self._is_escaped: bool = schema.get("x-escaped-cells", False)
        self.schema = Schema({**schema}, "request", where)

    def has(self, names: list[str]) -> bool:
        """Whether a table with these columns is of this kind."""
        return self._required <= {*names} <= self.properties.keys() and len({*names}) == len(names)

    def row(self, names: list[str], cells: list[str]) -> dict[str, Any]:
        """The values of a row; an empty cell of a column without null is left out."""
        row = {}
        for name, cell in zip(names, cells, strict=True):
            schema = self.properties[name]
            value = value_of(cell, schema, is_escaped=self._is_escaped)
            if value is not None or schema.get("nullable"):
                row[name] = value
        return row


def _csv_rows(kinds: list[_Columns]) -> Read:
    def read(file: IO[bytes]) -> Lines:
        rows = csv.reader(_texts(file), strict=True)
        try:
            names = next(rows, [])
            columns = next((each for each in kinds if each.has(names)), None)
            if columns is None:
                yield LineFault(_wrong_names(names, kinds), 1)
                return
            begin = rows.line_num + 1
            for cells in rows:
                number, begin = begin, rows.line_num + 1
                if not any(cells):
                    continue
                if len(cells) != len(names):
                    yield LineFault(f"{len(cells)} cells, but {len(names)} columns.", number)
                    continue
                yield from _checked(Line(number, columns.row(names, cells)), columns.schema)
        except UnicodeDecodeError:
            yield LineFault(NO_UTF_8, rows.line_num + 1)
        except csv.Error as error:
            yield LineFault(f"This is not valid CSV: {error}.", max(rows.line_num, 1))

    return read


def _texts(file: IO[bytes]) -> Iterator[str]:
    """The lines as text, with their ends; a byte order mark is left out."""
    texts = TextIOWrapper(file, encoding="utf-8-sig", newline="")
    try:
        while text := texts.readline(MOST_BYTES_OF_LINE + 1):
            if len(text) > MOST_BYTES_OF_LINE:
                raise csv.Error(TOO_LONG)
            yield text
    finally:
        texts.detach()


def _wrong_names(names: list[str], kinds: list[_Columns]) -> str:
    known = [*kinds[0].properties]
    unknown = [each[:50] for each in names if each not in known][:5]
    if unknown:
        return f"The first row has names of columns: {', '.join(known)}. Unknown: {unknown}."
    return "The first row lacks a required column, or names one twice."


def _todos(file: IO[bytes]) -> Lines:
    """The text of each to-do of a calendar; other components are left out."""
    todo: list[bytes] = []
    begin, size, last = 0, 0, b""
    for number, text in _lines(file):
        last = text.strip().upper()
        if number == 1 and last.removeprefix(b"\xef\xbb\xbf") != b"BEGIN:VCALENDAR":
            yield LineFault(NO_CALENDAR, 1)
            return
        if last == b"BEGIN:VTODO":
            begin, size, todo = number, 0, []
        size += len(text)
        if begin:
            todo.append(text)
            if size > MOST_BYTES_OF_LINE:
                yield LineFault("A to-do is too large.", begin)
                return
            if last == b"END:VTODO":
                try:
                    yield Line(begin, b"".join(todo).decode())
                except UnicodeDecodeError:
                    yield LineFault(NO_UTF_8, begin)
                begin = 0
    if last != b"END:VCALENDAR":
        yield LineFault(NO_CALENDAR, 1)
