"""A request that is sent again with its Idempotency-Key gets the answer it got, and is not redone.

An operation needs no more for it than the parameter in the contract (draft-ietf-httpapi-
idempotency-key-header); its handler knows nothing of it.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from hashlib import sha256
from typing import Any

import orjson

from db import replays
from db.database import transaction
from db.errors import DomainError, Unavailable, VersionRequired
from db.postgres.statement import OWNER
from db.replays import Given
from openapi.contract.document import Unsupported, Where
from openapi.http.problems import KEY_IN_USE, problem_response
from openapi.http.response import Headers, Response
from openapi.http.security_headers import WITH_DATA, WITH_ERRORS
from openapi.operations.parameters import Parameter

HEADER = "Idempotency-Key"
ARGUMENT = "idempotency_key"
REPLAYED = "Idempotency-Replayed"
MARK = (REPLAYED.lower().encode(), b"true")

Values = dict[str, Any]


class Replays:
    """The answers of an operation to requests with a key."""

    def __init__(self, operation_id: str, hours: int) -> None:
        self._operation_id = operation_id
        self._lifetime = timedelta(hours=hours)

    async def answer(
        self, values: Values, handle: Callable[[Values], Awaitable[Response]]
    ) -> Response:
        """The answer that the request got before, or gets now from the handler."""
        key = values.pop(ARGUMENT).strip('"')

        async def answered_now() -> Given:
            return _as_given(await self._decided(handle(values)))

        fingerprint = _fingerprint(self._operation_id, values)
        given, before = await replays.once(
            values[OWNER], key, fingerprint, self._lifetime, answered_now
        )
        return _as_answer(given, [MARK] if before else [])

    async def _decided(self, work: Awaitable[Response]) -> Response:
        """What went well, or a refusal that stands, with nothing changed."""
        try:
            async with transaction():
                return await work
        except (Unavailable, VersionRequired):
            raise  # it may be mended, and tells nothing of the data
        except DomainError as refusal:
            return problem_response(refusal, self._operation_id)


def check_key(described: Any, arguments: Mapping[str, Parameter], where: Where) -> None:
    """Whoever declares the key must declare what comes of it, and have an owner for it."""
    if ARGUMENT not in arguments:
        return
    key = arguments[ARGUMENT]
    if (key.name, key.location) != (HEADER, "header"):
        raise Unsupported(f"{key.name} would be taken for the header {HEADER}", where)
    if OWNER not in arguments or str(KEY_IN_USE.status) not in described.responses:
        raise Unsupported(f"{HEADER} needs a {OWNER} in the path, and a response 409", where)
    for status, response in described.responses.items():
        if status.startswith("2") and REPLAYED not in response.get("headers", {}):
            raise Unsupported(f"with {HEADER}, {status} needs {REPLAYED}", where)


def _fingerprint(operation_id: str, values: Values) -> bytes:
    """What tells a request from others: all that its handler is given, but for the caller."""
    told = {name: value for name, value in values.items() if name != "caller"}
    return sha256(json.dumps([operation_id, told], sort_keys=True, default=str).encode()).digest()


def _as_given(answer: Response) -> Given:
    usual = _usual(answer.status)
    headers = [
        [name.decode("latin-1"), value.decode("latin-1")]
        for name, value in answer.headers
        if (name, value) not in usual
    ]
    return Given(answer.status, orjson.dumps(headers).decode(), answer.body)


def _as_answer(given: Given, more: Headers) -> Response:
    headers = [
        (name.encode("latin-1"), value.encode("latin-1"))
        for name, value in orjson.loads(given.headers)
    ]
    return Response(given.status, [*_usual(given.status), *headers, *more], given.body)


def _usual(status: int) -> Headers:
    """What every such answer says, which need not be stored."""
    return WITH_ERRORS if status >= 400 else WITH_DATA  # noqa: PLR2004
