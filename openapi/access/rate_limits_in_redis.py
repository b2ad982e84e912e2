"""How many requests a caller may make of several processes together, counted in a Redis."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

log = logging.getLogger("errand.limits")

PATIENCE = 0.25
TIMEOUT = 1.0
PAUSE = 1.0

Waiting = asyncio.Future[int | None]
Asked = tuple[str, Waiting]

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


class CountedInRedis:
    """The callers of all processes on all machines; requests that come together go in one script.

    No request waits for Redis longer than PATIENCE, and none while others wait in vain.
    """

    def __init__(self, url: str, *, cost: int, full: int) -> None:
        self._redis = Redis.from_url(
            url, retry=Retry(NoBackoff(), 0), socket_connect_timeout=TIMEOUT
        )
        self._take = self._redis.register_script(TAKE)
        self._arguments = [cost, full]
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
        patience = asyncio.get_running_loop().call_later(PATIENCE, self._wait_no_more, asked)
        try:
            async with asyncio.timeout(TIMEOUT):
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
        async with asyncio.timeout(TIMEOUT):
            await self._debts([""])
        self._there = True

    def _lose(self, error: Exception) -> None:
        log.warning(
            "Redis is away (%s): each process counts for itself.", str(error) or "no answer"
        )
        self._returning = asyncio.create_task(self._return())

    async def _return(self) -> None:
        while not self._there:
            await asyncio.sleep(PAUSE)
            with suppress(RedisError, OSError):
                await self._reach()
        log.warning("Redis is back: all processes count together.")


def _answer(asked: list[Asked], debts: Sequence[int | None]) -> None:
    for (_, waiting), debt in zip(asked, debts, strict=True):
        if not waiting.done():  # its client may have gone
            waiting.set_result(debt)
