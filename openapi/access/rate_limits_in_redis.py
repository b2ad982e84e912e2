"""Rate limits of several processes together, counted in Redis."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

log = logging.getLogger("errand.limits")

LONGEST_WAIT = 0.25
TIMEOUT = 1.0
PAUSE = 1.0

# Redis's own clock, because those of several machines differ. A key that holds something else, of
# any type, counts as no debt and is overwritten: it must not stop the callers beside it.
TAKE = """
local now = redis.call('TIME')
now = now[1] * 1000000 + now[2]
local full = tonumber(ARGV[1])
local debts = {}
for index, caller in ipairs(KEYS) do
    local stored = redis.pcall('GET', caller)
    local free = type(stored) == 'string' and tonumber(stored) or now
    if free - now > full then free = now end
    local debt = math.max(free - now, 0) + tonumber(ARGV[2 * index])
    if debt <= full and ARGV[2 * index + 1] == '1' then
        redis.call('SET', caller, string.format('%.0f', now + debt), 'PX', math.ceil(debt / 1000))
    end
    debts[index] = debt
end
return debts
"""


class Call(NamedTuple):
    """One request that is counted, or only checked; `debt` is None if Redis does not respond."""

    caller: str
    cost: int
    spends: bool
    debt: "asyncio.Future[int | None]"


class CountedInRedis:
    """The counters of all processes on all machines; concurrent requests share one script call.

    No request waits for Redis longer than LONGEST_WAIT. After one has, no other request waits until
    Redis responds again.
    """

    def __init__(self, url: str, *, full: int) -> None:
        self._redis = Redis.from_url(
            url, retry=Retry(NoBackoff(), 0), socket_connect_timeout=TIMEOUT
        )
        self._take = self._redis.register_script(TAKE)
        self._full = full
        self._available = False
        self._queue: list[Call] = []
        self._sender: asyncio.Task[None] | None = None
        self._reconnecting: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect; if that fails, try again in the background."""
        try:
            await self._connect()
        except (RedisError, OSError) as error:
            self._lose(error)

    async def close(self) -> None:
        """Cancel all calls, and disconnect."""
        for task in (self._sender, self._reconnecting):
            if task:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        await self._redis.aclose()

    async def debt(self, caller: str, cost: int, *, spends: bool) -> int | None:
        """The debt of the caller with this cost; None while Redis does not respond."""
        if not self._available:
            return None
        debt: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._queue.append(Call(caller, cost, spends, debt))
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_queue())
        return await debt

    async def _send_queue(self) -> None:
        """Send the queued calls, until the queue is empty."""
        try:
            while self._queue:
                calls, self._queue = self._queue, []
                _set_debts(calls, await self._debts_in_time(calls))
        except (RedisError, OSError) as error:
            self._lose(error)
        finally:
            self._sender = None

    async def _debts_in_time(self, calls: list[Call]) -> list[int]:
        timer = asyncio.get_running_loop().call_later(LONGEST_WAIT, self._give_up, calls)
        try:
            async with asyncio.timeout(TIMEOUT):
                debts = await self._debts([call[:-1] for call in calls])
        except BaseException:
            self._give_up(calls)
            raise
        finally:
            timer.cancel()
        self._available = True
        return debts

    def _give_up(self, calls: list[Call]) -> None:
        """Let the process count these requests, and all others until Redis responds."""
        self._available = False
        left, self._queue = [*calls, *self._queue], []
        _set_debts(left, [None] * len(left))

    async def _debts(self, calls: Sequence[tuple[str, int, bool]]) -> list[int]:
        keys = [f"errand:limit:{caller}" for caller, _, _ in calls]
        costs = [each for _, cost, spends in calls for each in (cost, int(spends))]
        debts: list[int] = await self._take(keys=keys, args=[self._full, *costs])
        return debts

    async def _connect(self) -> None:
        async with asyncio.timeout(TIMEOUT):
            await self._debts([("", 1, True)])
        self._available = True

    def _lose(self, error: Exception) -> None:
        log.warning(
            "Redis does not respond (%s): each process counts for itself.", str(error) or "no reply"
        )
        self._reconnecting = asyncio.create_task(self._reconnect())

    async def _reconnect(self) -> None:
        while not self._available:
            await asyncio.sleep(PAUSE)
            with suppress(RedisError, OSError):
                await self._connect()
        log.warning("Redis responds again: all processes count together.")


def _set_debts(calls: list[Call], debts: Sequence[int | None]) -> None:
    for call, debt in zip(calls, debts, strict=True):
        if not call.debt.done():  # the request may have been cancelled
            call.debt.set_result(debt)
