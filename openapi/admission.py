"""Whether a request may be served: who sends it, how many they have sent, and whose data it is."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Union

from openapi.limits import Limiter, network
from openapi.operation import Operation
from openapi.problems import Headers, Problem
from openapi.security import SAMPLE_USER, SampleUser

if TYPE_CHECKING:
    from openapi.guard import Guard
    from openapi.tokens import Caller

Anybody = Union["Caller", SampleUser]


class Admission:
    """Asks for a token where the contract does, and counts the requests of whoever brings it."""

    def __init__(self, guard: "Guard | None", limiter: Limiter | None) -> None:
        self._guard = guard
        self._limiter = limiter

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
            if operation.is_limited:
                await self._count(_address(client), told)
            return SAMPLE_USER
        try:
            caller = await self._guard.caller(headers.get(b"authorization"))
        except Problem:
            await self._count(_address(client), told)
            raise
        await self._count(caller.user_id.hex, told)
        self._guard.refuse_strangers(caller, path)
        return caller

    async def _count(self, who: str, told: Headers) -> None:
        if self._limiter is not None:
            told += await self._limiter.spend(who)


def _address(client: Any) -> str:
    """Where the request comes from, as far as that is known."""
    return network(client[0]) if client else ""
