"""Encodings of responses: how the value of a handler is written, by media type."""

from collections.abc import Mapping
from contextlib import aclosing
from typing import Any, Protocol

import orjson

from db.records import Records
from openapi.contract.faults import Unsupported, Where
from openapi.http.media_types import CALENDAR, CSV, EVENT_STREAM, JSON, JSON_LINES
from openapi.http.problems import ResponseBreaksContract
from openapi.http.response import Chunks, Header
from openapi.operations.columns import ColumnsSchema
from openapi.operations.csv_encoding import CsvRows
from openapi.operations.items import ITEM_SCHEMA, checked, generator, item_schema
from openapi.operations.schemas import Schema

TYPES_OF_EVENTS = {"event": "string", "id": "string", "retry": "integer"}
COMMENT = b":\n\n"


class Encoding(Protocol):
    """Validates and writes the value of a handler. `header` is the Content-Type."""

    header: Header

    def __init__(self, media: Mapping[str, Any], name: str, where: Where) -> None:
        """Compile a media type of the contract; `name` is what errors call the response."""

    def encode(self, value: Any) -> bytes | Chunks:
        """The body, whole or in chunks; raises ResponseBreaksContract."""


class JsonDocument:
    """One JSON value."""

    header = (b"content-type", JSON.encode())

    def __init__(self, media: Mapping[str, Any], name: str, where: Where) -> None:
        if ITEM_SCHEMA in media:
            raise Unsupported("a JSON document is no sequence of items", (*where, ITEM_SCHEMA))
        schema, place = media.get("schema", {}), (*where, "schema")
        self._schema = Schema(schema, "response", place)
        self._columns = ColumnsSchema.of(schema, place)
        self._name = f"the body of {name}"

    def encode(self, value: Any) -> bytes:
        """The value as JSON."""
        if isinstance(value, Records):
            if self._columns and self._columns.accept(value):
                return value.as_json()
            value = value.as_dicts()
        return orjson.dumps(checked(value, self._schema, self._name))


class CalendarText:
    """The text of a calendar (RFC 5545), whole or in parts."""

    header = (b"content-type", f"{CALENDAR}; charset=utf-8".encode())

    def __init__(self, media: Mapping[str, Any], name: str, where: Where) -> None:
        self._is_in_parts = ITEM_SCHEMA in media
        self._schema = (
            item_schema(media, where)
            if self._is_in_parts
            else Schema(media.get("schema", {}), "response", (*where, "schema"))
        )
        self._name = f"the body of {name}"

    def encode(self, value: Any) -> bytes | Chunks:
        """The text in UTF-8."""
        return self._parts(value) if self._is_in_parts else self._encoded(value)

    async def _parts(self, items: Any) -> Chunks:
        async with aclosing(generator(items, self._name)) as each:
            async for item in each:
                yield self._encoded(item)

    def _encoded(self, value: Any) -> bytes:
        text: str = checked(value, self._schema, self._name)
        return text.encode()


class JsonLines:
    """A line of JSON for each item of a generator (https://jsonlines.org)."""

    header = (b"content-type", JSON_LINES.encode())

    def __init__(self, media: Mapping[str, Any], name: str, where: Where) -> None:
        self._schema = item_schema(media, where)
        self._name = f"an item of {name}"

    async def encode(self, items: Any) -> Chunks:
        """Each item as a line."""
        async with aclosing(generator(items, self._name)) as each:
            async for item in each:
                plain = checked(item, self._schema, self._name)
                yield orjson.dumps(plain, option=orjson.OPT_APPEND_NEWLINE)


class EventStream:
    """Server-sent events. An item has `data`, any JSON value, and may have the other fields.

    An item that is None is a comment: it begins a response whose first event is late, and keeps
    proxies from ending one that waits.
    """

    header = (b"content-type", EVENT_STREAM.encode())

    def __init__(self, media: Mapping[str, Any], name: str, where: Where) -> None:
        self._schema = item_schema(media, where)
        self._name = f"an event of {name}"
        _check_event_schema(media[ITEM_SCHEMA], (*where, ITEM_SCHEMA))

    async def encode(self, items: Any) -> Chunks:
        """Each item as an event or a comment."""
        async with aclosing(generator(items, self._name)) as each:
            async for item in each:
                if item is None:
                    yield COMMENT
                else:
                    yield self._event(checked(item, self._schema, self._name))

    def _event(self, item: Mapping[str, Any]) -> bytes:
        lines = [f"{name}: {item[name]}" for name in ("event", "id", "retry") if name in item]
        if any({"\n", "\r", "\0"} & set(line) for line in lines):
            raise ResponseBreaksContract(f"{self._name}: a line break in {lines}")
        head = "".join(f"{line}\n" for line in lines).encode()
        return b"%bdata: %b\n\n" % (head, orjson.dumps(item["data"]))


ENCODINGS: dict[str, type[Encoding]] = {
    JSON: JsonDocument,
    JSON_LINES: JsonLines,
    EVENT_STREAM: EventStream,
    CALENDAR: CalendarText,
    CSV: CsvRows,
}


def _check_event_schema(schema: Mapping[str, Any], where: Where) -> None:
    properties: dict[str, Any] = schema.get("properties", {})
    if not properties.keys() <= {"data", *TYPES_OF_EVENTS} or "data" not in schema.get(
        "required", ()
    ):
        raise Unsupported("an event has `data`, and may have `event`, `id` and `retry`", where)
    for name in properties.keys() & TYPES_OF_EVENTS.keys():
        if properties[name].get("type") != TYPES_OF_EVENTS[name]:
            place = (*where, "properties", name)
            raise Unsupported(f"`{name}` of an event has the type {TYPES_OF_EVENTS[name]}", place)
