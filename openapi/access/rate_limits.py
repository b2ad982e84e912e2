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

    async def spend(self, caller: str) -> Headers:
        """Take a request off the caller's quota; the headers show what is left. Raise at none."""
        debt = await self._debt(caller, takes=True)
        return [self._policy, _rate_limit((self._quota.full - debt) // self._quota.cost, debt)]

    async def require_left(self, caller: str) -> None:
        """Raise if nothing is left of the caller's quota; take nothing off it."""
        await self._debt(caller, takes=False)

    async def _debt(self, caller: str, *, takes: bool) -> int:
        debt = await self._shared.debt(caller, takes=takes) if self._shared else None
        if debt is None:
            debt = self._here.debt(caller, takes=takes)
        if debt > self._quota.full:
            raise self._used_up(debt)
        return debt

    def _used_up(self, debt: int) -> Problem:
        headers = [
            self._policy,
            _rate_limit(0, debt - self._quota.cost),
            (b"retry-after", b"%d" % _seconds(debt - self._quota.full)),
        ]
        detail = f"{self._quota.requests:,} requests in {WINDOW} s are allowed; they are used up."
        return Problem(TOO_MANY, detail, headers=headers)


def _counted_in(redis_url: str, quota: Quota) -> "CountedInRedis":
    """The callers of all processes; imported here to save memory where there is no Redis."""
    from openapi.access.rate_limits_in_redis import CountedInRedis  # noqa: PLC0415

    return CountedInRedis(redis_url, cost=quota.cost, full=quota.full)


class CountedHere:
    """The callers of this process: until when each is in debt, for a request made now.

    A caller who was not seen for a window owes nothing, so of two dictionaries the older is dropped
    in each window; or sooner, if there are too many callers to remember.
    """

    def __init__(self, quota: Quota) -> None:
        self._cost = quota.cost
        self._full = quota.full
        self._recent: dict[str, int] = {}
        self._earlier: dict[str, int] = {}
        self._turn = 0

    def debt(self, caller: str, *, takes: bool) -> int:
        """What the caller owes with this request; it counts if it `takes` and is not too much."""
        now = time.monotonic_ns() // 1000
        if now >= self._turn or len(self._recent) >= MOST_CALLERS:
            self._earlier, self._recent, self._turn = self._recent, {}, now + WINDOW * SECOND
        free = self._recent.get(caller) or self._earlier.get(caller, 0)
        debt = max(free - now, 0) + self._cost
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


def _rate_limit(left: int, debt: int) -> tuple[bytes, bytes]:
    """How many requests are left, and after how many seconds all of them will be there again."""
    return b"ratelimit", b'"default";r=%d;t=%d' % (left, _seconds(debt))


def _seconds(microseconds: int) -> int:
    return -(-microseconds // SECOND)
