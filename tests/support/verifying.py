"""A verifier of tokens beside an issuer, in the event loop of the test."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from openapi.access.key_sources import Keys, KeysUnavailable, keys_at
from openapi.access.token_rules import InvalidToken
from openapi.access.tokens import Caller, Verifier
from tests.support.issuer import Issuer, SigningKey, new_private

T = TypeVar("T")


class RunningVerifier:
    """A verifier whose keys are refreshed in the background while it is entered."""

    def __init__(self, issuer: Issuer, keys: Keys | None = None, **options: float) -> None:
        self.issuer = issuer
        self.keys = keys or keys_at(issuer.jwks_url, **options)
        self.verifier = Verifier(self.keys, issuer=issuer.url, audience=issuer.url, leeway=0)

    async def __aenter__(self) -> "RunningVerifier":
        await self.keys.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.keys.__aexit__(None, None, None)

    async def verify(self, token: str) -> Caller | None:
        """The caller, or None if the token is refused."""
        try:
            return await self.verifier.verify(token.encode())
        except InvalidToken:
            return None

    async def verifies(self, token: str) -> bool:
        """Whether the token is good, and its key is there."""
        return not await self.has_no_keys_for(token) and await self.verify(token) is not None

    async def has_no_keys_for(self, token: str) -> bool:
        """Whether the token cannot be verified at present."""
        try:
            await self.verify(token)
        except KeysUnavailable:
            return True
        return False

    def remembers(self, token: str) -> bool:
        """Whether the token would be accepted without a look at its signature."""
        return self.verifier.remembered(token.encode()) is not None

    def token_with_unknown_key(self) -> str:
        """A token that is valid but for its key, which the issuer does not have."""
        return self.issuer.token("mallory", key=SigningKey("EdDSA", new_private("EdDSA")))


def run(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a scene in an event loop of its own."""
    asyncio.run(scene())


def without_waiting(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never suspends; it is an error if it does."""
    try:
        coroutine.send(None)
    except StopIteration as finished:
        result: T = finished.value
        return result
    coroutine.close()
    raise AssertionError("it waits")


async def eventually(holds: Callable[[], Awaitable[Any]], seconds: float = 10) -> bool:
    """Whether it becomes true in time."""
    deadline = time.monotonic() + seconds
    while not await holds():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.01)
    return True
