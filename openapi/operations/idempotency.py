"""A request that repeats an Idempotency-Key gets the first response again, and is not done twice.

An operation supports it if the contract has the parameter (draft-ietf-httpapi-idempotency-key-
header); its handler does not see the key.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson

from db import replays
from db.errors import DomainError, KeyInUse
from db.owner import OWNER
from db.postgres.transaction import Transaction
from db.replays import StoredResponse
from handlers.context import Context
from openapi.contract.faults import Unsupported, Where
from openapi.http.problems import KEY_IN_USE, problem_response
from openapi.http.response import Headers, Response
from openapi.http.security_headers import WITH_DATA, WITH_ERRORS
from openapi.operations.parameters import Parameter

HEADER = "Idempotency-Key"
ARGUMENT = "idempotency_key"
REPLAYED = "Idempotency-Replayed"
REPLAYED_HEADER = (REPLAYED.lower().encode(), b"true")

Arguments = dict[str, Any]
Handle = Callable[[Context, Arguments], Awaitable[Response]]


class Idempotency:
    """Processes each request of an operation with a key once, and replays its response."""

    def __init__(self, operation_id: str, hours: int, max_bytes: int) -> None:
        self.replays = 0
        self._operation_id = operation_id
        self._max_bytes = max_bytes
        self._lifetime = timedelta(hours=hours)
        self._in_flight: set[tuple[UUID, str]] = set()

    async def respond(self, context: Context, arguments: Arguments, handle: Handle) -> Response:
        """The response of the first request with the key, or of this one if it is the first."""
        claim = arguments[OWNER], arguments.pop(ARGUMENT).strip('"')
        # A second request with the key would only wait for the owner's lock: see `OwnerLocks`.
        if claim in self._in_flight:
            raise KeyInUse(replays.IN_USE)
        self._in_flight.add(claim)
        try:
            return await self._claimed(context, arguments, handle, *claim)
        finally:
            self._in_flight.remove(claim)

    async def _claimed(
        self, context: Context, arguments: Arguments, handle: Handle, owner: UUID, key: str
    ) -> Response:
        fingerprint = _fingerprint(self._operation_id, arguments)
        async with replays.claim(
            context.database, owner, key, fingerprint, self._lifetime, max_bytes=self._max_bytes
        ) as claim:
            if claim.stored is not None:
                self.replays += 1
                return _replayed(claim.stored)
            context = context._replace(database=claim.transaction)
            work = handle(context, arguments)
            response = await self._process(claim.transaction, work, context.request_id)
            await claim.store(_as_stored(response))
        return response

    async def _process(
        self, transaction: Transaction, work: Awaitable[Response], request_id: str
    ) -> Response:
        """The response; if it is an error, the changes of the handler are rolled back."""
        try:
            async with transaction.savepoint():
                return await work
        except DomainError as error:
            if not error.is_final:
                raise
            return problem_response(error, self._operation_id, request_id)


def check_key(described: Any, arguments: Mapping[str, Parameter], where: Where) -> None:
    """Check that an operation with the key has an owner and the necessary responses."""
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


def _fingerprint(operation_id: str, arguments: Arguments) -> bytes:
    """A hash of everything that the handler gets: a different request has a different one."""
    request = json.dumps([operation_id, arguments], sort_keys=True, default=str)
    return sha256(request.encode()).digest()


def _as_stored(response: Response) -> StoredResponse:
    common = _common_headers(response.status)
    headers = [
        [name.decode("latin-1"), value.decode("latin-1")]
        for name, value in response.headers
        if (name, value) not in common
    ]
    return StoredResponse(response.status, orjson.dumps(headers).decode(), response.body)


def _replayed(stored: StoredResponse) -> Response:
    headers = [
        (name.encode("latin-1"), value.encode("latin-1"))
        for name, value in orjson.loads(stored.headers)
    ]
    common = _common_headers(stored.status)
    return Response(stored.status, [*common, *headers, REPLAYED_HEADER], stored.body)


def _common_headers(status: int) -> Headers:
    """The headers that all responses with this status have; they are not stored."""
    return WITH_ERRORS if status >= 400 else WITH_DATA  # noqa: PLR2004
