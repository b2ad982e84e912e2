"""How many requests a caller may make.

Each caller's quota is used up request by request and comes back at a steady rate (GCRA). The
library `limits` does the same, in 8 to 14 µs a request; this takes 1 µs.
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
# A proxy may forward anything: all that is no address is one caller.
UNREADABLE = "?"


class Quota:
    """So many requests in a window, as microseconds: the cost of one, and of all of them."""

    def __init__(self, requests: int) -> None:
        self.requests = requests
        self.cost = WINDOW * SECOND // requests
        self.full = self.cost * requests


class CallerQuota:
    """The quota of a caller who has sent a request; `headers` show what is left of it."""

    __slots__ = ("_caller", "_limiter", "headers")

    def __init__(self, limiter: "Limiter", caller: str, headers: Headers) -> None:
        self.headers = headers
        self._limiter = limiter
        self._caller = caller

    async def charge(self, requests: int) -> None:
        """Let the request, which has cost one, cost so many; raise if too few are left."""
        if requests > 1:
            self.headers = []  # a refusal brings its own
            self.headers = await self._limiter.spend_rest(self._caller, requests)


class Limiter:
    """Counts the requests of each caller, in Redis if there is one, else in this process."""

    def __init__(self, requests: int, redis_url: str | None = None) -> None:
        self._quota = Quota(requests)
        self._here = CountedHere(self._quota)
        self._shared = _counted_in(redis_url, self._quota) if redis_url else None
        self._policy = (b"ratelimit-policy", b'"default";q=%d;w=%d' % (requests, WINDOW))

    async def __aenter__(self) -> None:
        """Connect, if there is something to connect to."""
        if self._shared:
            await self._shared.open()

    async def __aexit__(self, *_: object) -> None:
        """Disconnect."""
        if self._shared:
            await self._shared.close()

    async def spend(self, caller: str) -> CallerQuota:
        """Take a request off the caller's quota, or raise at none."""
        quota = self._quota
        debt = await self._debt(caller, quota.cost, takes=True)
        if debt > quota.full:
            raise self._refusal(debt - quota.cost, 1)
        return CallerQuota(self, caller, self._headers(debt))

    async def spend_rest(self, caller: str, requests: int) -> Headers:
        """Let a request, which has cost one, cost so many, or raise; none costs more than all."""
        quota = self._quota
        requests = min(requests, quota.requests)
        cost = (requests - 1) * quota.cost
        debt = await self._debt(caller, cost, takes=True)
        if debt > quota.full:
            raise self._refusal(debt - cost, requests)
        return self._headers(debt)

    async def require_left(self, caller: str) -> None:
        """Raise if nothing is left of the caller's quota; take nothing off it."""
        debt = await self._debt(caller, self._quota.cost, takes=False)
        if debt > self._quota.full:
            raise self._refusal(debt - self._quota.cost, 1)

    async def _debt(self, caller: str, cost: int, *, takes: bool) -> int:
        debt = await self._shared.debt(caller, cost, takes=takes) if self._shared else None
        return self._here.debt(caller, cost, takes=takes) if debt is None else debt

    def _headers(self, debt: int) -> Headers:
        left = (self._quota.full - debt) // self._quota.cost
        # When all requests will be there again.
        return [self._policy, (b"ratelimit", b'"default";r=%d;t=%d' % (left, _seconds(debt)))]

    def _refusal(self, debt: int, requests: int) -> Problem:
        """Too few are left for a request of this cost; it can be sent again when enough are."""
        wait = _seconds(debt + requests * self._quota.cost - self._quota.full)
        headers = [*self._headers(debt), (b"retry-after", b"%d" % wait)]
        detail = (
            f"{self._quota.requests:,} requests in {WINDOW} s are allowed."
            f" This one counts as {requests:,}, and fewer are left."
        )
        return Problem(TOO_MANY, detail, headers=headers)


def _counted_in(redis_url: str, quota: Quota) -> "CountedInRedis":
    """The callers of all processes; imported here to save memory where there is no Redis."""
    from openapi.access.rate_limits_in_redis import CountedInRedis  # noqa: PLC0415

    return CountedInRedis(redis_url, full=quota.full)


class CountedHere:
    """The callers of this process: until when each is in debt, for a request made now.

    A caller who was not seen for a window owes nothing, so of two dictionaries the older is dropped
    in each window; or sooner, if there are too many callers to remember.
    """

    def __init__(self, quota: Quota) -> None:
        self._full = quota.full
        self._recent: dict[str, int] = {}
        self._earlier: dict[str, int] = {}
        self._turn = 0

    def debt(self, caller: str, cost: int, *, takes: bool) -> int:
        """What the caller owes with this cost; it counts if it `takes` and is not too much."""
        now = time.monotonic_ns() // 1000
        if now >= self._turn or len(self._recent) >= MOST_CALLERS:
            self._earlier, self._recent, self._turn = self._recent, {}, now + WINDOW * SECOND
        free = self._recent.get(caller) or self._earlier.get(caller, 0)
        debt = max(free - now, 0) + cost
        if takes and debt <= self._full:
            self._recent[caller] = now + debt
        return debt


@lru_cache(maxsize=4096)
def network(address: str) -> str:
    """The network to count an address as: of IPv6, a customer has 2^64 addresses at least."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return UNREADABLE
    if isinstance(parsed, IPv4Address):
        return address
    return str(parsed.ipv4_mapped or IPv6Address(int(parsed) >> 64 << 64))


def _seconds(microseconds: int) -> int:
    return -(-microseconds // SECOND)
