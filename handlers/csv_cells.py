"""Values as cells of a table (CSV), and back.

A spreadsheet takes a text that begins like a formula for one, and may send data away. So such a
text gets an apostrophe before it; one that has an apostrophe there gets another, and so does the
empty text: an empty cell is null. Reading takes it off again, and nothing is lost.
"""

import csv
import re
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any

import orjson

ESCAPE = "'"
# Also as full-width characters, which some spreadsheets take for the same.
OF_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
ESCAPED = (*OF_FORMULAS, ESCAPE)
BOOLEANS = {"true": True, "false": False}
INTEGER = re.compile(r"[0-9]{1,19}", re.ASCII)


def row_of(cells: Sequence[str]) -> str:
    """A row (RFC 4180). All cells are quoted: other separators in them mean nothing."""
    written = StringIO()
    csv.writer(written, quoting=csv.QUOTE_ALL).writerow(cells)
    return written.getvalue()


def cell_of(value: Any) -> str:
    """The cell of a JSON value."""
    if value is None:
        return ""
    if isinstance(value, str):
        return _escaped(value)
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return _escaped(_joined(value)) if value else ""
    return _escaped(orjson.dumps(value).decode())


def _escaped(text: str) -> str:
    return ESCAPE + text if not text or text.startswith(ESCAPED) else text


def _joined(texts: list[str]) -> str:
    """Texts with commas between them; one with a comma or a quote is quoted."""
    written = StringIO()
    csv.writer(written, lineterminator="").writerow(texts)
    return written.getvalue()


def value_of(cell: str, schema: Mapping[str, Any], *, is_escaped: bool) -> Any:
    """The value of a cell; one that is none of this type stays a text, which the schema refuses."""
    kind = schema["type"]
    if not cell:
        return [] if kind == "array" else None
    text = cell.removeprefix(ESCAPE) if is_escaped else cell
    if kind == "boolean":
        return BOOLEANS.get(text.lower(), text)
    if kind == "integer":
        return int(text) if INTEGER.fullmatch(text) else text
    if kind == "array":
        return _array(text, schema["items"].get("type"))
    return text


def _array(text: str, kind: str | None) -> Any:
    if kind == "string":
        return next(csv.reader([text], strict=True))
    try:
        return orjson.loads(text)
    except ValueError:
        return text
