"""Answers to requests that bear a key: stored with what they answer, and given again."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from hashlib import blake2b
from typing import Any, NamedTuple
from uuid import UUID

from psycopg2.errors import ForeignKeyViolation, UniqueViolation

from db.database import transaction
from db.errors import KeyInUse, KeyReused
from db.postgres.transaction import Transaction
from db.tasks import statements

REUSED = "This key was sent with another request: each request needs a key of its own."
IN_USE = "A request with this key is still being answered."


class Given(NamedTuple):
    """An answer, as it is stored."""

    status: int
    headers: str
    body: bytes


async def once(
    user_id: UUID,
    key: str,
    fingerprint: bytes,
    lifetime: timedelta,
    answer: Callable[[], Awaitable[Given]],
) -> tuple[Given, bool]:
    """The answer that the key's request was given before, or is given now, and whether before.

    An answer that is given now is stored in the transaction of what it changes.
    """
    async with transaction() as whole:
        asked = await whole.fetch(
            statements.CLAIM,
            statements.FIND_REPLAY,
            lock=lock_of(user_id, key),
            user_id=user_id,
            key=key,
        )
        claimed, known, *found = asked[0]
        if known is not None:
            return _given_before(bytes(known) == fingerprint, *found), True
        if not claimed:
            raise KeyInUse(IN_USE)
        given = await answer()
        await _keep(
            whole,
            user_id=user_id,
            new_key=key,
            fingerprint=fingerprint,
            lifetime=lifetime,
            **given._asdict(),
        )
        return given, False


def lock_of(user_id: UUID, key: str) -> int:
    """The number of the advisory lock that a request with the key holds while it is answered."""
    digest = blake2b(user_id.bytes + key.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def _given_before(same: bool, status: int, headers: str, body: memoryview) -> Given:
    if not same:
        raise KeyReused(REUSED)
    return Given(status, headers, bytes(body))


async def _keep(whole: Transaction, **replay: Any) -> None:
    try:
        async with whole.part():
            await whole.finish(statements.FORGET_REPLAYS, statements.KEEP_REPLAY, **replay)
    except ForeignKeyViolation:
        pass  # nothing is stored of this user, so that nothing can be lost of them either
    except UniqueViolation:  # whoever claimed it in spite of us was first
        raise KeyInUse(IN_USE) from None
