"""Responses in CSV (RFC 4180): a row for each item of a generator."""

from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

from handlers.csv_cells import cell_of, row_of
from openapi.contract.faults import Unsupported, Where
from openapi.http.media_types import CSV
from openapi.http.response import Chunks
from openapi.operations.items import ITEM_SCHEMA, checked, generator, item_schema


class CsvRows:
    """A row of names, and a row for each item: its fields in the order of the contract."""

    header = (b"content-type", f"{CSV}; charset=utf-8; header=present".encode())

    def __init__(self, media: Mapping[str, Any], name: str, where: Where) -> None:
        self._schema = item_schema(media, where)
        self._name = f"a row of {name}"
        self._fields = [*media[ITEM_SCHEMA].get("properties", {})]
        if set(media[ITEM_SCHEMA].get("required", ())) != set(self._fields) or not self._fields:
            raise Unsupported("a row of CSV has all of its fields", (*where, ITEM_SCHEMA))

    async def encode(self, items: Any) -> Chunks:
        """The names, and each item, as rows."""
        async with aclosing(generator(items, self._name)) as each:
            yield row_of(self._fields).encode()
            async for item in each:
                row = checked(item, self._schema, self._name)
                yield row_of([cell_of(row[name]) for name in self._fields]).encode()
