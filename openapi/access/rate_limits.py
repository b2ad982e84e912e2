"""Rate limits: the requests of each caller are counted, and those above the quota are refused.

A quota is refilled at a steady rate (GCRA). The library `limits` does the same, in 8 to 14 µs per
request; this takes 1 µs.
"""

import time
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

from openapi.http.problems import TOO_MANY, Problem
from openapi.http.response import Headers

if TYPE_CHECKING:
    from openapi.access.rate_limits_in_redis import CountedInRedis

WINDOW = 60
SECOND = 1_000_000  # in microseconds, as all times here, so that nothing is ever rounded

MOST_CALLERS = 100_000
# A proxy may forward anything: all texts that are not addresses count as one caller.
UNREADABLE = "?"


class Quota:
    """The requests of a window, in microseconds: `cost` of one request, `full` of all."""

    def __init__(self, requests: int) -> None:
        self.requests = requests
        self.cost = WINDOW * SECOND // requests
        self.full = self.cost * requests


class CallerQuota:
    """The quota of the caller of one request; `headers` show what is left of it."""

    __slots__ = ("_caller", "_limiter", "headers")

    def __init__(self, limiter: "Limiter", caller: str, headers: Headers) -> None:
        self.headers = headers
        self._limiter = limiter
        self._caller = caller

    async def charge(self, requests: int) -> None:
        """Count the request, which was counted as one, as so many; raise if too few are left."""
        if requests > 1:
            self.headers = []  # a refusal has its own headers
            self.headers = await self._limiter.spend_rest(self._caller, requests)


class Limiter:
    """Counts the requests of each caller, in Redis if there is one, else in this process."""

    def __init__(self, requests: int, redis_url: str | None = None) -> None:
        self._quota = Quota(requests)
        self._local = CountedInProcess(self._quota)
        self._shared = _counted_in(redis_url, self._quota) if redis_url else None
        self._policy = (b"ratelimit-policy", b'"default";q=%d;w=%d' % (requests, WINDOW))

    async def __aenter__(self) -> None:
        """Connect to Redis, if it is used."""
        if self._shared:
            await self._shared.open()

    async def __aexit__(self, *_: object) -> None:
        """Disconnect from Redis."""
        if self._shared:
            await self._shared.close()

    async def spend(self, caller: str) -> CallerQuota:
        """Count one request of the caller; raise if nothing is left of the quota."""
        quota = self._quota
        debt = await self._debt(caller, quota.cost, spends=True)
        if debt > quota.full:
            raise self._refusal(debt - quota.cost, 1)
        return CallerQuota(self, caller, self._headers(debt))

    async def spend_rest(self, caller: str, requests: int) -> Headers:
        """Count a request, which was counted as one, as so many; at most as the whole quota."""
        quota = self._quota
        requests = min(requests, quota.requests)
        cost = (requests - 1) * quota.cost
        debt = await self._debt(caller, cost, spends=True)
        if debt > quota.full:
            raise self._refusal(debt - cost, requests)
        return self._headers(debt)

    async def require_left(self, caller: str) -> None:
        """Raise if nothing is left of the caller's quota; count nothing."""
        debt = await self._debt(caller, self._quota.cost, spends=False)
        if debt > self._quota.full:
            raise self._refusal(debt - self._quota.cost, 1)

    async def _debt(self, caller: str, cost: int, *, spends: bool) -> int:
        debt = await self._shared.debt(caller, cost, spends=spends) if self._shared else None
        return self._local.debt(caller, cost, spends=spends) if debt is None else debt

    def _headers(self, debt: int) -> Headers:
        left = (self._quota.full - debt) // self._quota.cost
        # The seconds until the whole quota is available again.
        return [self._policy, (b"ratelimit", b'"default";r=%d;t=%d' % (left, _seconds(debt)))]

    def _refusal(self, debt: int, requests: int) -> Problem:
        """The 429 for a request of this cost; Retry-After says when enough is left for it."""
        wait = _seconds(debt + requests * self._quota.cost - self._quota.full)
        headers = [*self._headers(debt), (b"retry-after", b"%d" % wait)]
        detail = (
            f"{self._quota.requests:,} requests in {WINDOW} s are allowed."
            f" This one counts as {requests:,}, and fewer are left."
        )
        return Problem(TOO_MANY, detail, headers=headers)


def _counted_in(redis_url: str, quota: Quota) -> "CountedInRedis":
    """The counters in Redis; imported here to save memory if Redis is not used."""
    from openapi.access.rate_limits_in_redis import CountedInRedis  # noqa: PLC0415

    return CountedInRedis(redis_url, full=quota.full)


class CountedInProcess:
    """The counters of this process: for each caller, when the whole quota is available again.

    A caller without requests in a window has the whole quota. So there are two dictionaries, and
    the older one is dropped after each window; or sooner, if there are too many callers.
    """

    def __init__(self, quota: Quota) -> None:
        self._full = quota.full
        self._recent: dict[str, int] = {}
        self._earlier: dict[str, int] = {}
        self._next_drop = 0

    def debt(self, caller: str, cost: int, *, spends: bool) -> int:
        """The debt of the caller with this cost; it is stored if it `spends` and fits the quota."""
        now = time.monotonic_ns() // 1000
        if now >= self._next_drop or len(self._recent) >= MOST_CALLERS:
            self._earlier, self._recent, self._next_drop = self._recent, {}, now + WINDOW * SECOND
        free = self._recent.get(caller) or self._earlier.get(caller, 0)
        debt = max(free - now, 0) + cost
        if spends and debt <= self._full:
            self._recent[caller] = now + debt
        return debt


@lru_cache(maxsize=4096)
def network(address: str) -> str:
    """The network by which an address is counted: one IPv6 customer has at least 2^64 addresses."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return UNREADABLE
    if isinstance(parsed, IPv4Address):
        return address
    return str(parsed.ipv4_mapped or IPv6Address(int(parsed) >> 64 << 64))


def _seconds(microseconds: int) -> int:
    return -(-microseconds // SECOND)
