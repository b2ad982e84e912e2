"""Stored responses: a request that repeats an Idempotency-Key gets the first response again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2b
from typing import Any, NamedTuple
from uuid import UUID

from psycopg2.errors import UniqueViolation
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Interval,
    String,
    Text,
    bindparam,
    cast,
    delete,
    func,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from db.database import Session
from db.errors import KeyInUse, KeyReused, TooManyReplays
from db.postgres.statement import Access, Statement
from db.postgres.transaction import Transaction
from db.quotas import MAX_REPLAY_BYTES
from db.schema.clauses import CLAIM_MADE, TRUE, param, replays, this_owner, users

REUSED = "This key was sent with another request: each request needs a key of its own."
FULL = "The stored responses of this user have {:,} bytes: no more are stored until some expire."
IN_USE = "A request with this key is still being processed."

# The claim keeps its result in a setting for the next statement: only a statement that starts after
# the claim sees everything that was committed before it.
CLAIMED = literal_column("'errand.claimed'", String)

this_users_replays = replays.c.user_id == param("user_id", replays.c.user_id)

CLAIM = Statement(
    "claim_key",
    select(
        func.set_config(
            CLAIMED,
            cast(func.pg_try_advisory_xact_lock(bindparam("lock", type_=BigInteger)), Text),
            TRUE,
        ).label("claimed")
    ),
    Access.LOCK,
)

_claim = select((func.current_setting(CLAIMED, TRUE) == CLAIM_MADE).label("claimed")).subquery()
FIND = Statement(
    "find_replay",
    select(
        _claim.c.claimed,
        users.c.replay_bytes,
        *(replays.c[name] for name in ("fingerprint", "status", "headers", "body")),
    ).select_from(
        _claim.outerjoin(users, this_owner).outerjoin(
            replays,
            this_users_replays
            & (replays.c.key == param("key", replays.c.key))
            & (replays.c.expires_at > func.now()),
        )
    ),
    Access.READ,
)

# The lock of the owner's row comes first, as in every write: so the bytes are exact, and no two
# writes deadlock.
_owner = select(users.c.id).where(this_owner).with_for_update(key_share=True).cte("owner")
_expired = (
    delete(replays)
    .where(replays.c.user_id == _owner.c.id)
    .where(replays.c.expires_at <= func.now())
    .returning(replays.c.size)
    .cte("expired")
)
_freed = select(func.sum(_expired.c.size).label("bytes")).subquery("freed")
DELETE_EXPIRED = Statement(
    "delete_expired_replays",
    update(users)
    .where(this_owner)
    .where(_freed.c.bytes.is_not(None))
    .values(replay_bytes=users.c.replay_bytes - _freed.c.bytes),
    Access.WRITE,
)

_next_expiry = select(func.min(replays.c.expires_at)).where(this_users_replays).scalar_subquery()
USED = Statement(
    "sum_replays",
    select(users.c.replay_bytes, (_next_expiry - func.now()).label("wait")).where(this_owner),
    Access.READ,
)

_stored: dict[str, ColumnElement[Any]] = {
    "user_id": users.c.id,
    "key": param("new_key", replays.c.key),
    "fingerprint": param("fingerprint", replays.c.fingerprint),
    "status": param("status", replays.c.status),
    "headers": param("headers", replays.c.headers),
    "body": param("body", replays.c.body),
    "expires_at": func.now() + bindparam("lifetime", type_=Interval),
}
# For a user without a row it stores nothing: a repeated request has nothing to change twice. The
# row is locked first, so that a concurrent erasure causes no error: PostgreSQL would log the
# statement with the texts of the user.
_new = (
    insert(replays)
    .from_select(
        list(_stored),
        select(*_stored.values()).where(this_owner).with_for_update(key_share=True),
    )
    .returning(replays.c.user_id, replays.c.size)
    .cte("new")
)
STORE = Statement(
    "store_replay",
    update(users)
    .where(this_owner)
    .where(users.c.id == _new.c.user_id)
    .values(replay_bytes=users.c.replay_bytes + _new.c.size),
    Access.WRITE,
)

PURGE = Statement(
    "purge_replays",
    select(func.purge_replays(bindparam("at_most", type_=Integer)).label("purged")),
    Access.WRITE,
)

CATALOGUE = (CLAIM, FIND, DELETE_EXPIRED, USED, STORE, PURGE)
"""The statements that a connection prepares."""


class StoredResponse(NamedTuple):
    """A response, as it is stored."""

    status: int
    headers: str
    body: bytes


@dataclass(frozen=True)
class Claim:
    """A key that one request holds until the end of the transaction that processes it."""

    transaction: Transaction
    stored: StoredResponse | None
    """The response of an earlier request with the key."""

    user_id: UUID
    key: str
    fingerprint: bytes
    lifetime: timedelta

    async def store(self, response: StoredResponse) -> None:
        """Store the response, and commit it together with the changes of the request."""
        try:
            await self.transaction.finish(
                DELETE_EXPIRED,
                STORE,
                user_id=self.user_id,
                new_key=self.key,
                fingerprint=self.fingerprint,
                lifetime=self.lifetime,
                **response._asdict(),
            )
        except UniqueViolation:  # another request has stored a response despite the lock
            raise KeyInUse(IN_USE) from None


@asynccontextmanager
async def claim(
    database: Session,
    user_id: UUID,
    key: str,
    fingerprint: bytes,
    lifetime: timedelta,
    *,
    max_bytes: int = MAX_REPLAY_BYTES,
) -> AsyncIterator[Claim]:
    """Claim the key within a transaction; `stored` is the response of an earlier request with it.

    Raises `KeyInUse` while another request holds the key, `KeyReused` if a different request has
    used it, `TooManyReplays` if the user's stored responses have `max_bytes`.
    """
    async with database.transaction(user_id) as transaction:
        rows = await transaction.fetch(
            CLAIM, FIND, lock=lock_of(user_id, key), user_id=user_id, key=key
        )
        claimed, used, known_fingerprint, status, headers, body = rows[0]
        stored = None
        if known_fingerprint is not None:
            if bytes(known_fingerprint) != fingerprint:
                raise KeyReused(REUSED)
            stored = StoredResponse(status, headers, bytes(body))
        elif not claimed:
            raise KeyInUse(IN_USE)
        elif used is not None and used >= max_bytes:
            await _make_room(transaction, user_id, max_bytes)
        yield Claim(transaction, stored, user_id, key, fingerprint, lifetime)


async def _make_room(transaction: Transaction, user_id: UUID, max_bytes: int) -> None:
    """Delete the expired responses; if that is not enough, commit and raise."""
    rows = await transaction.fetch(DELETE_EXPIRED, USED, user_id=user_id)
    used, wait = rows[0] if rows else (0, None)
    if used >= max_bytes:
        await transaction.finish()
        raise TooManyReplays(FULL.format(used), wait or timedelta())


def lock_of(user_id: UUID, key: str) -> int:
    """The number of the advisory lock that a request with the key holds while it is processed."""
    digest = blake2b(user_id.bytes + key.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
