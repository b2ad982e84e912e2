"""Whether a request is served: who sends it, how many they have sent, and whose data it names."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, Union

from openapi.access.policy import SAMPLE_USER, SampleUser
from openapi.access.rate_limits import Limiter, network
from openapi.http.problems import MALFORMED, Problem
from openapi.http.request import Request
from openapi.http.response import Headers
from openapi.operations.operation import Operation

if TYPE_CHECKING:
    from openapi.access.guard import Guard
    from openapi.access.tokens import Caller

Principal = Union["Caller", SampleUser]

# A page whose name resolves to the loopback address would be let in by the browser that shows it.
LOCAL_HOST = re.compile(rb"(localhost|127\.[0-9.]+|\[::1\])(:[0-9]+)?", re.IGNORECASE)
NOT_LOCAL = "In open mode on the loopback address, Host must name it: localhost or 127.0.0.1."


class Admitted(NamedTuple):
    """Who sends an admitted request, and the headers of its response that show their quota."""

    caller: Principal
    headers: Headers


class Admission:
    """Authenticates and counts requests."""

    def __init__(
        self, guard: "Guard | None", limiter: Limiter | None, *, only_locally: bool
    ) -> None:
        self._guard = guard
        self._limiter = limiter
        self._only_locally = only_locally

    async def admit(
        self, operation: Operation, request: Request, path: Mapping[str, str]
    ) -> Admitted:
        """Authenticate and count the request, or raise; refusals show the quota, too."""
        if self._guard is None or not operation.requires_token:
            return await self._admit_anonymous(operation, request)
        try:
            caller = await self._guard.caller(request.headers.get(b"authorization"))
        except Problem as problem:
            raise problem.with_headers(await self._count(_address(request))) from None
        headers = await self._count(caller.owner)
        try:
            self._guard.refuse_strangers(caller, path)
        except Problem as problem:
            raise problem.with_headers(headers) from None
        return Admitted(caller, headers)

    async def _admit_anonymous(self, operation: Operation, request: Request) -> Admitted:
        host = request.headers.get(b"host", b"localhost")
        if self._only_locally and not LOCAL_HOST.fullmatch(host):
            raise Problem(MALFORMED, NOT_LOCAL)
        headers = await self._count(_address(request)) if operation.is_limited else []
        return Admitted(SAMPLE_USER, headers)

    async def _count(self, caller: str) -> Headers:
        return await self._limiter.spend(caller) if self._limiter is not None else []


def _address(request: Request) -> str:
    """The network that the request comes from, as far as it is known."""
    return network(request.client) if request.client else ""
