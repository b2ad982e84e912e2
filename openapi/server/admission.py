"""Admission of requests: the token, the rate limit, and the owner in the path."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from openapi.access.principal import SAMPLE_USER, Principal
from openapi.access.rate_limits import CallerQuota, Limiter, network
from openapi.http.problems import Problem
from openapi.http.request import Request
from openapi.operations.endpoint import Endpoint

if TYPE_CHECKING:
    from openapi.access.guard import Guard
    from openapi.access.tokens import Caller


Admitted = tuple[Principal, CallerQuota | None]
"""The caller of an admitted request, and their quota, if there is a limit."""


class Admission:
    """Authenticates and counts requests."""

    def __init__(self, guard: "Guard | None", limiter: Limiter | None) -> None:
        self._guard = guard
        self._limiter = limiter

    async def admit(
        self, operation: Endpoint, request: Request, path: Mapping[str, str]
    ) -> Admitted:
        """Authenticate and count the request, or raise; a denial has the RateLimit headers, too."""
        guard = self._guard
        if guard is None or not operation.requires_token:
            quota = await self._count(_address(request)) if operation.is_limited else None
            return SAMPLE_USER, quota
        credentials = request.headers.get(b"authorization")
        caller = guard.remembered(credentials) or await self._authenticate(
            guard, credentials, _address(request)
        )
        quota = await self._count(caller.owner)
        try:
            guard.require_path_owner(caller, path)
        except Problem as problem:
            raise problem.with_headers(quota.headers if quota else []) from None
        return caller, quota

    async def _authenticate(
        self, guard: "Guard", credentials: bytes | None, address: str
    ) -> "Caller":
        """Verify a token, unless invalid tokens have used up the quota of the address."""
        if self._limiter is not None:
            await self._limiter.require_left(address)
        try:
            return await guard.authenticate(credentials)
        except Problem as problem:
            quota = await self._count(address)
            raise problem.with_headers(quota.headers if quota else []) from None

    async def _count(self, caller: str) -> CallerQuota | None:
        return await self._limiter.spend(caller) if self._limiter is not None else None


def _address(request: Request) -> str:
    """The network that the request comes from; empty if it is unknown."""
    return network(request.client) if request.client else ""
