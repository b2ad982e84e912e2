"""Whether a request may be served: who sends it, how many they have sent, and whose data it is."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Union

from openapi.access.policy import SAMPLE_USER, SampleUser
from openapi.access.rate_limits import Limiter, network
from openapi.http.problems import MALFORMED, Headers, Problem
from openapi.operations.operation import Operation

if TYPE_CHECKING:
    from openapi.access.guard import Guard
    from openapi.access.tokens import Caller

Anybody = Union["Caller", SampleUser]

# A page whose name leads to the loopback address would else be let in by the browser that shows it.
LOCAL_HOST = re.compile(rb"(localhost|127\.[0-9.]+|\[::1\])(:[0-9]+)?", re.IGNORECASE)
NOT_LOCAL = "In open mode on the loopback address, Host must name it: localhost or 127.0.0.1."


class Admission:
    """Asks for a token where the contract does, and counts the requests of whoever brings it."""

    def __init__(
        self, guard: "Guard | None", limiter: Limiter | None, *, only_locally: bool
    ) -> None:
        self._guard = guard
        self._limiter = limiter
        self._only_locally = only_locally

    async def admit(
        self,
        operation: Operation,
        path: Mapping[str, str],
        headers: Mapping[bytes, bytes],
        client: Any,
        told: Headers,
    ) -> Anybody:
        """Say who sends the request; what they are told of their quota is added to `told`."""
        if self._guard is None or not operation.requires_token:
            if self._only_locally and not LOCAL_HOST.fullmatch(headers.get(b"host", b"localhost")):
                raise Problem(MALFORMED, NOT_LOCAL)
            if operation.is_limited:
                await self._count(_address(client), told)
            return SAMPLE_USER
        try:
            caller = await self._guard.caller(headers.get(b"authorization"))
        except Problem:
            await self._count(_address(client), told)
            raise
        await self._count(caller.owner, told)
        self._guard.refuse_strangers(caller, path)
        return caller

    async def _count(self, who: str, told: Headers) -> None:
        if self._limiter is not None:
            told += await self._limiter.spend(who)


def _address(client: Any) -> str:
    """Where the request comes from, as far as that is known."""
    return network(client[0]) if client else ""
