"""The responses that the contract declares of an operation."""

from collections.abc import Callable, Mapping
from typing import Any

from openapi.contract.faults import Parts, Unsupported, Where
from openapi.http.media_types import JSON, preferred
from openapi.http.problems import NOT_ACCEPTABLE, Problem, ResponseBreaksContract
from openapi.http.response import Chunks, Headers, Response
from openapi.http.security_headers import WITH_DATA
from openapi.operations.encodings import ENCODINGS, Encoding
from openapi.operations.schemas import Schema

PROBLEM = "application/problem+json"
# Responses with these statuses end with their head (RFC 9110, 8.6).
WITHOUT_LENGTH = {204, 304}
READABLE: dict[str, Callable[[str], Any]] = {"integer": int, "number": float}
# Caches must not give a client what another one accepts (RFC 9110, 12.5.5).
VARY = (b"vary", b"Accept")


class Responses:
    """All responses that the contract declares of an operation."""

    def __init__(self, operation_id: str, definitions: Mapping[str, Any], where: Where) -> None:
        self._operation_id = operation_id
        self._media_types = _same_media_types(definitions, where)
        self._usual_media_type = self._media_types[0] if self._media_types else JSON
        common = WITH_DATA if len(self._media_types) < 2 else [*WITH_DATA, VARY]  # noqa: PLR2004
        declared, parts = [], Parts()
        for code, each in definitions.items():
            with parts:
                status, place = _status(code, where), (*where, code)
                declared.append(DeclaredResponse(operation_id, status, each, place, common))
        parts.check()
        self._by_status = {each.status: each for each in declared}
        self._default_status = min(self._by_status)

    @property
    def statuses(self) -> set[int]:
        """The statuses that are declared."""
        return set(self._by_status)

    @property
    def are_storable(self) -> bool:
        """Whether no response is streamed, and every response has the same media type."""
        return self._media_types in ((), (JSON,))

    def negotiate(self, accept: bytes) -> str:
        """The media type that the client prefers of those that the operation offers."""
        if accept == b"*/*" or not self._media_types:
            return self._usual_media_type
        media_type = preferred(accept, self._media_types)
        if media_type is None:
            offered = " and ".join(self._media_types)
            raise Problem(NOT_ACCEPTABLE, f"The Accept header excludes {offered}.")
        return media_type

    def encode(self, returned: Any, media_type: str) -> Response:
        """The response for a handler's result: a value, or a value with a status and headers."""
        value, status, headers = (
            returned if isinstance(returned, tuple) else (returned, self._default_status, {})
        )
        response = self._by_status.get(status)
        if response is None:
            raise ResponseBreaksContract(f"{self._operation_id} declares no {status}")
        return response.encode(value, headers, media_type)


async def started(response: Response, chunks: Chunks) -> Response:
    """A streamed response with its first chunk: an earlier error gives a problem document."""
    return response._replace(body=await anext(chunks, b""))


class DeclaredResponse:
    """One response that the contract declares of an operation."""

    def __init__(
        self,
        operation_id: str,
        status: int,
        definition: dict[str, Any],
        where: Where,
        common: Headers = WITH_DATA,
    ) -> None:
        self.status = status
        self._name = f"{operation_id}'s {status}"
        self._common = common
        self._encodings: dict[str, tuple[Encoding, Headers]] = {}
        for media_type in _media_types(definition):
            place = (*where, "content", media_type)
            if media_type not in ENCODINGS:
                known = ", ".join([*ENCODINGS, PROBLEM])
                raise Unsupported(f"the media type of a response is one of {known}", place)
            media = definition["content"][media_type]
            encoding = ENCODINGS[media_type](media, self._name, place)
            self._encodings[media_type] = encoding, [*common, encoding.header]
        headers: dict[str, Any] = definition.get("headers", {})
        self._headers = {
            name: (
                name.lower().encode("latin-1"),
                READABLE.get(str(header["schema"].get("type")), str),
                Schema(header["schema"], "response", (*where, "headers", name, "schema")).accepts,
            )
            for name, header in headers.items()
        }
        self._required = {name for name, header in headers.items() if header.get("required")}

    def encode(self, value: Any, headers: Mapping[str, str], media_type: str = JSON) -> Response:
        """The response, if it matches the contract; a stream has not produced its first chunk."""
        own = [self._header(name, text) for name, text in headers.items()]
        if not self._required <= headers.keys():
            missing = self._required - headers.keys()
            raise ResponseBreaksContract(f"{self._name} lacks the headers {missing}")
        if not self._encodings:
            return self._encode_nothing(value, own)
        encoding, common = self._encodings[media_type]
        body = encoding.encode(value)
        if not isinstance(body, bytes):
            return Response(self.status, [*common, *own], b"", body)
        length = (b"content-length", b"%d" % len(body))
        return Response(self.status, [*common, length, *own], body)

    def _encode_nothing(self, value: Any, own: Headers) -> Response:
        if value is not None:
            raise ResponseBreaksContract(f"{self._name} has no body, but there is a value")
        length = [] if self.status in WITHOUT_LENGTH else [(b"content-length", b"0")]
        return Response(self.status, [*self._common, *length, *own], b"")

    def _header(self, name: str, text: str) -> tuple[bytes, bytes]:
        declared = self._headers.get(name)
        if declared is None:
            raise ResponseBreaksContract(f"{self._name} declares no header {name}")
        raw_name, read, accepts = declared
        if not accepts(read(text)):
            raise ResponseBreaksContract(f"the header {name} of {self._name}: {text!r}")
        return raw_name, text.encode("latin-1")


def _status(code: str, where: Where) -> int:
    if not code.isdigit():
        place = (*where, code)
        raise Unsupported(f"the response {code!r} is not supported: name the status", place)
    return int(code)


def _media_types(definition: Mapping[str, Any]) -> tuple[str, ...]:
    """The media types of what a handler returns, in the order of the contract."""
    return tuple(each for each in definition.get("content", {}) if each != PROBLEM)


def _same_media_types(definitions: Mapping[str, Any], where: Where) -> tuple[str, ...]:
    """The media types that a client can choose from; they are the same for each status."""
    offered = {_media_types(each) for each in definitions.values()} - {()}
    if len(offered) > 1:
        raise Unsupported("the responses of an operation must have the same media types", where)
    return offered.pop() if offered else ()
