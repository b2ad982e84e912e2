"""Encodings of responses: how the value of a handler is written, by media type."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Protocol

import orjson
from pydantic import BaseModel

from db.records import Records
from handlers.context import RefusedOperation
from openapi.contract.faults import Unsupported, Where
from openapi.http.media_types import CALENDAR, EVENT_STREAM, JSON, JSON_LINES
from openapi.http.problems import ResponseBreaksContract, document_of
from openapi.http.response import Chunks, Header
from openapi.operations.columns import ColumnsSchema
from openapi.operations.schemas import Schema

ITEM_SCHEMA = "x-itemSchema"  # itemSchema in OpenAPI 3.2
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
            records = value.as_dicts()
            if self._columns and self._columns.accept(value):
                return orjson.dumps(records)
            value = records
        return orjson.dumps(checked(value, self._schema, self._name))


class CalendarText:
    """The text of a calendar (RFC 5545)."""

    header = (b"content-type", f"{CALENDAR}; charset=utf-8".encode())

    def __init__(self, media: Mapping[str, Any], name: str, where: Where) -> None:
        self._schema = Schema(media.get("schema", {}), "response", (*where, "schema"))
        self._name = f"the body of {name}"

    def encode(self, value: Any) -> bytes:
        """The text in UTF-8."""
        text: str = checked(value, self._schema, self._name)
        return text.encode()


class JsonLines:
    """A line of JSON for each item of a generator (https://jsonlines.org)."""

    header = (b"content-type", JSON_LINES.encode())

    def __init__(self, media: Mapping[str, Any], name: str, where: Where) -> None:
        self._schema = _item_schema(media, where)
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
        self._schema = _item_schema(media, where)
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
}


def checked(value: Any, schema: Schema, name: str) -> Any:
    """The value, if it matches its schema; models and enums as plain JSON."""
    try:
        if schema.accepts(value):
            return value
    except ValueError:
        pass
    plain = orjson.loads(orjson.dumps(value, default=_plain, option=orjson.OPT_UTC_Z))
    if not schema.accepts(plain):
        faults = [tuple(fault.document().values()) for fault in schema.faults(plain)]
        raise ResponseBreaksContract(f"{name}: {faults}")
    return plain


def generator(items: Any, name: str) -> AsyncGenerator[Any, None]:
    """The items, if they are an asynchronous generator: others could not be closed."""
    if not isinstance(items, AsyncGenerator):
        kind = type(items).__name__
        raise ResponseBreaksContract(f"{name}: not from an asynchronous generator, but a {kind}")
    return items


def _item_schema(media: Mapping[str, Any], where: Where) -> Schema:
    if "schema" in media:
        raise Unsupported(f"the items of a stream have {ITEM_SCHEMA}", (*where, "schema"))
    if ITEM_SCHEMA not in media:
        raise Unsupported(f"a stream needs {ITEM_SCHEMA}: what each item is", where)
    return Schema(media[ITEM_SCHEMA], "response", (*where, ITEM_SCHEMA))


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


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, RefusedOperation):
        problem = document_of(value.refused, value.request_id)
        return {"status": problem["status"], "problem": problem}
    raise TypeError(f"{type(value).__name__} is not JSON")
