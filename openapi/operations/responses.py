"""What handlers return, checked against the contract and made into bytes."""

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from pydantic import BaseModel

from db.errors import Refused
from openapi.contract.document import Unsupported, Where
from openapi.http.media_types import JSON
from openapi.http.problems import ResponseBreaksContract, document_of
from openapi.http.response import Response
from openapi.http.security_headers import WITH_DATA
from openapi.operations.schemas import Schema

PROBLEM = "application/problem+json"
# Responses with these statuses end with their head (RFC 9110, 8.6).
WITHOUT_LENGTH = {204, 304}
READABLE: dict[str, Callable[[str], Any]] = {"integer": int, "number": float}


class DeclaredResponse:
    """One response that the contract declares of an operation."""

    def __init__(
        self, operation_id: str, status: int, definition: dict[str, Any], where: Where
    ) -> None:
        self.status = status
        self._name = f"{operation_id}'s {status}"
        self.content = set(definition.get("content", {}))
        if not self.content <= {JSON, PROBLEM}:
            raise Unsupported("responses are JSON, or problem documents", (*where, "content"))
        media = definition.get("content", {}).get(JSON)
        self._schema = media and Schema(
            media.get("schema", {}), "response", (*where, "content", JSON, "schema")
        )
        headers: dict[str, Any] = definition.get("headers", {})
        self._headers = {
            name: (
                name.lower().encode("latin-1"),
                READABLE.get(str(header["schema"].get("type")), str),
                Schema(header["schema"], "response", (*where, "headers", name, "schema")),
            )
            for name, header in headers.items()
        }
        self._required = {name for name, header in headers.items() if header.get("required")}

    def encode(self, value: Any, headers: Mapping[str, str]) -> Response:
        """The response, if it is as the contract declares."""
        raw = WITH_DATA.copy()
        raw += [self._header(name, text) for name, text in headers.items()]
        if not self._required <= headers.keys():
            missing = self._required - headers.keys()
            raise ResponseBreaksContract(f"{self._name} lacks the headers {missing}")
        if self._schema is None:
            if value is not None:
                raise ResponseBreaksContract(f"{self._name} has no body, but there is a value")
            if self.status not in WITHOUT_LENGTH:
                raw.append((b"content-length", b"0"))
            return Response(self.status, raw, b"")
        body = orjson.dumps(self._checked(value, self._schema))
        raw.append((b"content-type", b"application/json"))
        raw.append((b"content-length", b"%d" % len(body)))
        return Response(self.status, raw, body)

    def _checked(self, value: Any, schema: Schema) -> Any:
        """The value, if the contract promises it; a model, an enum or the like as plain JSON."""
        try:
            if schema.accepts(value):
                return value
        except ValueError:
            pass
        plain = orjson.loads(orjson.dumps(value, default=_plain, option=orjson.OPT_UTC_Z))
        if not schema.accepts(plain):
            faults = [tuple(fault.document().values()) for fault in schema.faults(plain)]
            raise ResponseBreaksContract(f"the body of {self._name}: {faults}")
        return plain

    def _header(self, name: str, text: str) -> tuple[bytes, bytes]:
        if name not in self._headers:
            raise ResponseBreaksContract(f"{self._name} declares no header {name}")
        raw_name, read, schema = self._headers[name]
        if not schema.accepts(read(text)):
            raise ResponseBreaksContract(f"the header {name} of {self._name}: {text!r}")
        return raw_name, text.encode("latin-1")


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Refused):  # the outcome of one operation of a batch
        problem = document_of(value)
        return {"status": problem["status"], "problem": problem}
    raise TypeError(f"{type(value).__name__} is not JSON")
