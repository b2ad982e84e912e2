"""Changes that processes announce to each other through Redis (publish and subscribe).

All processes share one channel. A message has the id of its sender and those of users, 16 bytes
each: what has changed while the message before it was sent. A process sends one every second even
if nothing has changed: as long as its own messages come back, those of others come, too.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from uuid import UUID, uuid4

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

log = logging.getLogger("errand.changes")

CHANNEL = "errand:changes"
ID_BYTES = 16
BEAT = 1.0
SILENCE = 2.5 * BEAT
TIMEOUT = 1.0
# Between two messages: a process that writes without a pause sends fifty in a second.
PAUSE = 0.02
MOST_USERS = 100_000

Notify = Callable[[UUID], None]


class ChangeAnnouncements:
    """The changes of this process are announced, and those of others are heard."""

    def __init__(self, url: str) -> None:
        self._redis = Redis.from_url(
            url,
            retry=Retry(NoBackoff(), 0),
            socket_connect_timeout=TIMEOUT,
            socket_timeout=TIMEOUT,
        )
        self._sender = uuid4().bytes
        self._changed: set[UUID] = set()
        self._news = asyncio.Event()
        self._heard_at = float("-inf")
        self._is_lost = False
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def are_complete(self) -> bool:
        """Whether all announcements come here: the own ones do."""
        now = asyncio.get_running_loop().time()
        return now - self._heard_at < SILENCE

    def open(self, notify: Notify) -> None:
        """Announce and listen: call `notify` with each user that another process announces."""
        self._tasks = [
            asyncio.create_task(self._announce_regularly()),
            asyncio.create_task(self._listen(notify)),
        ]

    async def close(self) -> None:
        """Stop, and disconnect."""
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await self._redis.aclose()

    def announce(self, user_id: UUID) -> None:
        """Announce that the user's data has changed."""
        if len(self._changed) < MOST_USERS:  # beyond, others find it by their own query
            self._changed.add(user_id)
            self._news.set()

    async def _announce_regularly(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT):
                    await self._news.wait()
            self._news.clear()
            changed, self._changed = self._changed, set()
            message = b"".join([self._sender, *(user_id.bytes for user_id in changed)])
            try:
                await self._redis.publish(CHANNEL, message)
            except (RedisError, OSError):
                self._changed |= changed
                await asyncio.sleep(BEAT)
            await asyncio.sleep(PAUSE)

    async def _listen(self, notify: Notify) -> None:
        while True:
            with suppress(RedisError, OSError):
                await self._hear(notify)
            if not self._is_lost:
                self._is_lost = True
                log.warning("Redis does not respond: changes of other processes are polled for.")
            await asyncio.sleep(BEAT)

    async def _hear(self, notify: Notify) -> None:
        """Receive messages until there are none any more."""
        async with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
            await channel.subscribe(CHANNEL)
            loop = asyncio.get_running_loop()
            silent_at = loop.time() + SILENCE
            while loop.time() < silent_at:
                message = await channel.get_message(timeout=SILENCE)
                if message is not None:
                    silent_at = loop.time() + SILENCE
                    self._receive(message["data"], notify)

    def _receive(self, message: bytes, notify: Notify) -> None:
        if message.startswith(self._sender):
            self._heard_at = asyncio.get_running_loop().time()
            if self._is_lost:
                self._is_lost = False
                log.warning("Redis responds again: changes of other processes are announced.")
            return
        for start in range(ID_BYTES, len(message), ID_BYTES):
            notify(UUID(bytes=message[start : start + ID_BYTES]))
