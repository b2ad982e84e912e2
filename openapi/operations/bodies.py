"""Bodies of requests: read within a limit, and parsed strictly."""

from itertools import islice
from typing import Any

from jiter import from_json

from openapi.contract.faults import Unsupported, Where
from openapi.http.media_types import JSON, content_type
from openapi.http.problems import (
    INVALID,
    MALFORMED,
    MEDIA_TYPE,
    MOST_FAULTS,
    TOO_LARGE,
    Fault,
    Problem,
)
from openapi.http.request import Request
from openapi.operations.schemas import LONGEST_MESSAGE, Schema

# The value of a missing body; `null` is a value of its own.
ABSENT = object()
# Outside strings every value costs, and a megabyte can have half a million values.
MOST_SYNTAX = 64 * 1024


class Body:
    """The request body of an operation."""

    def __init__(self, definition: dict[str, Any], where: Where, *, patches: bool = False) -> None:
        self.required: bool = definition.get("required", False)
        # RFC 5789, 2.2 and 3.1: what a resource is patched with
        self.accept_patch = ", ".join(definition["content"]).encode() if patches else b""
        self._schemas: dict[str, Schema] = {}
        for name, media in definition["content"].items():
            place = (*where, "content", name)
            if name != JSON and not name.endswith("+json"):
                raise Unsupported(f"bodies of {name} are not supported", place)
            self._schemas[name] = Schema(media.get("schema", {}), "request", (*place, "schema"))

    async def read(self, request: Request, limit: int) -> tuple[Any, list[Fault]]:
        """The body with its defaults, or ABSENT; and its faults."""
        if not request.has_body:
            return ABSENT, [Fault("a body is required", pointer="")] if self.required else []
        schema = self._schema(request.headers)
        value = parsed(await request.body(limit))
        if not schema.accepts(value):
            return ABSENT, list(islice(schema.faults(value), MOST_FAULTS + 1))
        if schema.defaults and isinstance(value, dict):
            value = {**schema.defaults, **value}
        return value, []

    def _schema(self, headers: dict[bytes, bytes]) -> Schema:
        name, is_utf8 = content_type(headers.get(b"content-type", b""))
        if b"content-encoding" in headers:
            raise self._wrong_type("A compressed body is not accepted: leave out Content-Encoding.")
        if not is_utf8:
            raise self._wrong_type("Only UTF-8 is accepted: leave out the charset.")
        if name not in self._schemas:
            wanted = " or ".join(self._schemas)
            raise self._wrong_type(f"The Content-Type must be {wanted}.")
        return self._schemas[name]

    def _wrong_type(self, detail: str) -> Problem:
        advice = [(b"accept-patch", self.accept_patch)] if self.accept_patch else []
        return Problem(MEDIA_TYPE, detail, headers=advice)


def unwanted_body() -> Problem:
    """The refusal of a body that the operation would ignore."""
    return Problem(
        INVALID,
        "This operation has no request body.",
        faults=[Fault("this operation has no request body", pointer="")],
        headers=[(b"connection", b"close")],
    )


def parsed(body: bytes, most_syntax: int = MOST_SYNTAX) -> Any:
    """The JSON value; no duplicate keys, NaN, lone surrogates, deep nesting or long integers."""
    if len(body) > most_syntax and _syntax(body, most_syntax) > most_syntax:
        detail = f"Outside strings and spaces, a body may have at most {most_syntax:,} bytes."
        raise Problem(TOO_LARGE, detail)
    try:
        return from_json(body, catch_duplicate_keys=True, allow_inf_nan=False)
    except ValueError as error:
        complaint = str(error)[:LONGEST_MESSAGE]  # it may quote a key as long as the body
        raise Problem(MALFORMED, f"The body is not valid JSON: {complaint}.") from None


def _syntax(body: bytes, most: int) -> int:
    """The number of bytes outside strings and white space, or a lower bound above the limit."""
    unescaped = body.replace(rb"\\", b"").replace(rb"\"", b"")
    # Each string has a comma or a colon; splitting at so many quotes would cost more than counting.
    if (quotes := unescaped.count(b'"')) > 2 * most:
        return quotes
    outside = b"".join(unescaped.split(b'"')[::2])
    return len(outside.translate(None, b" \t\r\n"))
