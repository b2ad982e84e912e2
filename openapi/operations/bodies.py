"""Bodies of requests: read once, within a limit, and parsed strictly."""

from itertools import islice
from typing import Any

from jiter import from_json
from starlette.types import Message, Receive

from openapi.contract.document import Unsupported, Where
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
from openapi.operations.schemas import LONGEST_MESSAGE, Schema

Headers = dict[bytes, bytes]


class ClientGone(Exception):
    """The client closed the connection before its request was whole."""


class Body:
    """The body that an operation takes."""

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

    async def read(
        self,
        headers: Headers,
        receive: Receive,
        limit: int,
        values: dict[str, Any],
        faults: list[Fault],
    ) -> None:
        """Add the body, its defaults filled in, to the arguments of the handler."""
        if not announced(headers):
            if self.required:
                faults.append(Fault("a body is required", pointer=""))
            return
        schema = self._schema(headers)
        value = parsed(await received(headers, receive, limit))
        if not schema.accepts(value):
            faults.extend(islice(schema.faults(value), MOST_FAULTS + 1))
        elif schema.defaults and isinstance(value, dict):
            value = {**schema.defaults, **value}
        values["body"] = value

    def _schema(self, headers: Headers) -> Schema:
        name, is_utf8 = content_type(headers.get(b"content-type", b""))
        if b"content-encoding" in headers:
            raise self._wrong_type("A compressed body is not taken: leave out Content-Encoding.")
        if not is_utf8:
            raise self._wrong_type("Only UTF-8 is taken: leave out the charset.")
        if name not in self._schemas:
            wanted = " or ".join(self._schemas)
            raise self._wrong_type(f"The Content-Type must be {wanted}.")
        return self._schemas[name]

    def _wrong_type(self, detail: str) -> Problem:
        advice = [(b"accept-patch", self.accept_patch)] if self.accept_patch else []
        return Problem(MEDIA_TYPE, detail, headers=advice)


def announced(headers: Headers) -> bool:
    """Whether the request has a body."""
    return headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers


def refuse(headers: Headers) -> None:
    """No body is taken here; one that is sent all the same would be ignored, so say so."""
    if announced(headers):
        fault = Fault("this operation takes no body", pointer="")
        raise Problem(
            INVALID,
            "This operation takes no body.",
            faults=[fault],
            headers=[(b"connection", b"close")],
        )


async def received(headers: Headers, receive: Receive, limit: int) -> bytes:
    """The bytes of the body; one that is too large is refused before it is read whole."""
    if int(headers.get(b"content-length", 0)) > limit:
        raise too_large(limit)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await _next(receive)
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > limit:
            raise too_large(limit)
        if not message.get("more_body"):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def parsed(body: bytes) -> Any:
    """The JSON value: no duplicate keys, NaN, lone surrogates, great depth or endless integers."""
    try:
        return from_json(body, catch_duplicate_keys=True, allow_inf_nan=False)
    except ValueError as error:
        complaint = str(error)[:LONGEST_MESSAGE]  # it may cite a key as long as the body
        raise Problem(MALFORMED, f"The body is not the JSON it should be: {complaint}.") from None


def too_large(limit: int) -> Problem:
    """The connection ends with the answer: what is left of the body is not worth reading."""
    return Problem(
        TOO_LARGE, f"A body may have {limit:,} bytes here.", headers=[(b"connection", b"close")]
    )


async def _next(receive: Receive) -> Message:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    return message
