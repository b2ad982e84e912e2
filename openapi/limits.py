"""How many requests a caller may make.

Each caller's quota is used up request by request and comes back at a steady rate (GCRA). The
library `limits` does as much, but takes 8 to 14 µs a request for what takes 1 µs here.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from openapi.problems import TOO_MANY, Headers, Problem

log = logging.getLogger("errand.limits")

WINDOW = 60
SECOND = 1_000_000  # in microseconds, as all times here, so that nothing is ever rounded

MOST_CALLERS = 100_000
# What a proxy forwards may be anything: all that is no address is one caller.
UNREADABLE = "?"

Waiting = asyncio.Future[int | None]
Asked = tuple[str, Waiting]

REDIS_PATIENCE = 0.05
REDIS_TIMEOUT = 1.0
REDIS_PAUSE = 1.0

# Redis's own clock, because those of several machines differ.
TAKE = """
local now = redis.call('TIME')
now = now[1] * 1000000 + now[2]
local interval, full = tonumber(ARGV[1]), tonumber(ARGV[2])
local debts = {}
for place, caller in ipairs(KEYS) do
    local free = tonumber(redis.call('GET', caller) or now)
    local debt = math.max(free - now, 0) + interval
    if debt <= full then
        redis.call('SET', caller, string.format('%.0f', now + debt), 'PX', math.ceil(debt / 1000))
    end
    debts[place] = debt
end
return debts
"""


class Quota:
    """So many requests in a window, as microseconds: what one costs, and what all of them do."""

    def __init__(self, requests: int) -> None:
        self.requests = requests
        self.cost = WINDOW * SECOND // requests
        self.full = self.cost * requests


class Limiter:
    """Counts the requests of each caller, in Redis if there is one, else in this process."""

    def __init__(self, requests: int, redis_url: str | None = None) -> None:
        self._quota = Quota(requests)
        self._here = CountedHere(self._quota)
        self._shared = CountedInRedis(self._quota, redis_url) if redis_url else None
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
        """Take a request off the caller's quota and tell what is left; raise if there is none."""
        debt = await self._shared.debt(caller) if self._shared else None
        if debt is None:
            debt = self._here.debt(caller)
        left = self._quota.full - debt
        if left < 0:
            raise self._used_up(debt)
        return [self._policy, _rate_limit(left // self._quota.cost, debt)]

    def _used_up(self, debt: int) -> Problem:
        headers = [
            self._policy,
            _rate_limit(0, debt - self._quota.cost),
            (b"retry-after", b"%d" % _seconds(debt - self._quota.full)),
        ]
        detail = f"{self._quota.requests:,} requests in {WINDOW} s are allowed; they are used up."
        return Problem(TOO_MANY, detail, headers=headers)


class CountedHere:
    """The callers of this process: until when each is in debt, for a request made now.

    Who has not been seen for a window owes nothing, so of two dictionaries the older is forgotten
    in each window; or sooner, if there are too many callers to remember.
    """

    def __init__(self, quota: Quota) -> None:
        self._cost = quota.cost
        self._full = quota.full
        self._recent: dict[str, int] = {}
        self._earlier: dict[str, int] = {}
        self._turn = 0

    def debt(self, caller: str) -> int:
        """What the caller owes with this request; if it is more than all, it is not counted."""
        now = time.monotonic_ns() // 1000
        if now >= self._turn or len(self._recent) >= MOST_CALLERS:
            self._earlier, self._recent, self._turn = self._recent, {}, now + WINDOW * SECOND
        free = self._recent.get(caller) or self._earlier.get(caller, 0)
        debt = max(free - now, 0) + self._cost
        if debt <= self._full:
            self._recent[caller] = now + debt
        return debt


class CountedInRedis:
    """The callers of all processes on all machines; requests that come together go in one script.

    No request waits for Redis longer than REDIS_PATIENCE, and none while others wait in vain.
    """

    def __init__(self, quota: Quota, url: str) -> None:
        self._redis = Redis.from_url(
            url, retry=Retry(NoBackoff(), 0), socket_connect_timeout=REDIS_TIMEOUT
        )
        self._take = self._redis.register_script(TAKE)
        self._arguments = [quota.cost, quota.full]
        self._there = False
        self._asked: list[Asked] = []
        self._asking: asyncio.Task[None] | None = None
        self._returning: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect, or begin to try."""
        try:
            await self._reach()
        except (RedisError, OSError) as error:
            self._lose(error)

    async def close(self) -> None:
        """Disconnect, and wait for nothing any more."""
        for task in (self._asking, self._returning):
            if task:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        await self._redis.aclose()

    async def debt(self, caller: str) -> int | None:
        """What the caller owes with this request; None while Redis is away."""
        if not self._there:
            return None
        answer: Waiting = asyncio.get_running_loop().create_future()
        self._asked.append((caller, answer))
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
        return await answer

    async def _ask(self) -> None:
        """Ask for all who wait, then for those who came meanwhile."""
        try:
            while self._asked:
                asked, self._asked = self._asked, []
                _answer(asked, await self._answers(asked))
        except (RedisError, OSError) as error:
            self._lose(error)
        finally:
            self._asking = None

    async def _answers(self, asked: list[Asked]) -> list[int]:
        patience = asyncio.get_running_loop().call_later(REDIS_PATIENCE, self._wait_no_more, asked)
        try:
            async with asyncio.timeout(REDIS_TIMEOUT):
                debts = await self._debts([caller for caller, _ in asked])
        except BaseException:
            self._wait_no_more(asked)
            raise
        finally:
            patience.cancel()
        self._there = True
        return debts

    def _wait_no_more(self, asked: list[Asked]) -> None:
        """Redis may still answer; until then nobody asks."""
        self._there = False
        left, self._asked = [*asked, *self._asked], []
        _answer(left, [None] * len(left))

    async def _debts(self, callers: list[str]) -> list[int]:
        keys = [f"errand:limit:{caller}" for caller in callers]
        debts: list[int] = await self._take(keys=keys, args=self._arguments)
        return debts

    async def _reach(self) -> None:
        async with asyncio.timeout(REDIS_TIMEOUT):
            await self._debts([""])
        self._there = True

    def _lose(self, error: Exception) -> None:
        log.warning(
            "Redis is away (%s): each process counts for itself.", str(error) or "no answer"
        )
        self._returning = asyncio.create_task(self._return())

    async def _return(self) -> None:
        while not self._there:
            await asyncio.sleep(REDIS_PAUSE)
            with suppress(RedisError, OSError):
                await self._reach()
        log.warning("Redis is back: all processes count together.")


@lru_cache(maxsize=4096)
def network(address: str) -> str:
    """Whom to count an address as: of IPv6, a customer has 2^64 of them at the least."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return UNREADABLE
    if isinstance(parsed, IPv4Address):
        return address
    return str(parsed.ipv4_mapped or IPv6Address(int(parsed) >> 64 << 64))


def _answer(asked: list[Asked], debts: Sequence[int | None]) -> None:
    for (_, waiting), debt in zip(asked, debts, strict=True):
        if not waiting.done():  # its client may have gone
            waiting.set_result(debt)


def _rate_limit(left: int, debt: int) -> tuple[bytes, bytes]:
    """How many requests are left, and after how many seconds all of them will be there again."""
    return b"ratelimit", b'"default";r=%d;t=%d' % (left, _seconds(debt))


def _seconds(microseconds: int) -> int:
    return -(-microseconds // SECOND)
