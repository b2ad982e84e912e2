"""Bearer tokens: from a signed JWT to the caller."""

import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

import jwt
from jwt.types import Options

from openapi.access.key_sources import Keys
from openapi.access.keys import Key
from openapi.access.token_rules import (
    SEPARATOR,
    InvalidToken,
    TokenRules,
    algorithm_of,
    header_of,
    json_object,
    key_id_of,
)

REMEMBERED = 10_000
# A user can have any number of long tokens: they must not fill the memory.
LONGEST_REMEMBERED = 2 * 1024

CANONICAL_UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")

# A user whose name at the issuer is no UUID has the id
#     uuid5(NAMESPACE, issuer + "\x1f" + name),
# which needs no look-up. This must never change: the user's tasks are stored under the id.
NAMESPACE = UUID("51bbe242-deef-4bbe-9fcf-40c3d4e97629")
MAPPED_VERSION = 5

COMPLAINTS: dict[type[jwt.PyJWTError], str] = {
    jwt.InvalidSignatureError: "The token's signature is wrong.",
    jwt.ExpiredSignatureError: "The token has expired.",
    jwt.ImmatureSignatureError: "The token is not valid yet.",
    jwt.InvalidIssuerError: "The token is from another issuer.",
    jwt.InvalidAudienceError: "The token is for another audience.",
}


@dataclass(frozen=True, slots=True)
class Caller:
    """The user who sends a request, as their token names them."""

    user_id: UUID
    issuer: str
    subject: str
    expires_at: datetime
    owner: str
    """The id as text: it is compared with the path without parsing."""
    key_id: str | None = None
    """The key that the token names."""


# The caller, the expiry of the token, and its key, which may become invalid before.
Memory = tuple[Caller, float, Key]


class Verifier:
    """Verifies the tokens of one issuer for one audience, and remembers the valid ones."""

    def __init__(self, keys: Keys, *, remembered: int = REMEMBERED, **rules: Any) -> None:
        """`rules` are those of `TokenRules`; `remembered` is the number of tokens to remember."""
        self._rules = TokenRules(**rules)
        self._keys = keys
        self._jwt = _StrictJWT(_options(self._rules.claim))
        self._half = remembered // 2
        self._recent: dict[bytes, Memory] = {}
        self._older: dict[bytes, Memory] = {}

    def remembered(self, token: bytes) -> Caller | None:
        """The caller, if the token was verified before and is still valid."""
        found = self._recent.get(token) or self._recalled(token)
        if found is None:
            return None
        caller, until, key = found
        now = time.time()
        return caller if now < until and now < key.valid_until else None

    async def verify(self, token: bytes) -> Caller:
        """The caller; raises InvalidToken, or KeysUnavailable if there is no key to verify with."""
        caller = self.remembered(token)
        if caller is not None:
            return caller
        header = header_of(token)
        key_id = key_id_of(header)
        try:
            return await self._verified(token, header, key_id)
        except InvalidToken as error:
            raise InvalidToken(str(error), key_id) from None

    async def _verified(self, token: bytes, header: dict[str, Any], key_id: str | None) -> Caller:
        self._rules.check_header(header)
        algorithm = algorithm_of(header)
        key = await self._keys.find(key_id)
        if key is None:
            raise InvalidToken(
                "The token does not name its key."
                if key_id is None
                else "The token is signed with a key that its issuer does not have."
            )
        if algorithm not in key.algorithms:
            raise InvalidToken("The token's algorithm is not that of its key.")
        claims = self._claims(token, key, algorithm)
        self._rules.check_claims(claims)
        caller = self._caller(claims, key_id)
        self._remember(token, (caller, int(claims["exp"]) + self._rules.leeway, key))
        return caller

    def _remember(self, token: bytes, entry: Memory) -> None:
        """Store the token in the newer half; when that is full, the older half is dropped."""
        if len(token) > LONGEST_REMEMBERED:
            return
        if len(self._recent) >= self._half:
            self._older, self._recent = self._recent, {}
        self._recent[token] = entry

    def _recalled(self, token: bytes) -> Memory | None:
        found = self._older.pop(token, None)
        if found is not None:
            self._remember(token, found)
        return found

    def _claims(self, token: bytes, key: Key, algorithm: str) -> dict[str, Any]:
        try:
            return self._jwt.decode(
                token,
                key.public,
                algorithms=[algorithm],
                issuer=self._rules.issuer,
                audience=self._rules.audience,
                leeway=self._rules.leeway,
            )
        except jwt.MissingRequiredClaimError as error:
            raise InvalidToken(f"The token has no {error.claim}.") from None
        except jwt.PyJWTError as error:
            complaint = COMPLAINTS.get(type(error), "The token is not a valid JWT.")
            raise InvalidToken(complaint) from None

    def _caller(self, claims: dict[str, Any], key_id: str | None) -> Caller:
        subject = self._rules.subject(claims)
        user_id = self._user_id(subject)
        return Caller(
            user_id=user_id,
            issuer=self._rules.issuer,
            subject=subject,
            expires_at=_time(claims["exp"]),
            owner=str(user_id),
            key_id=key_id,
        )

    def _user_id(self, subject: str) -> UUID:
        """A UUID is the id itself; any other subject is mapped to a UUID of version 5.

        A subject that is a UUID of version 5 is mapped, too. Otherwise a user who can choose their
        subject could choose the id that another subject is mapped to.
        """
        if CANONICAL_UUID.fullmatch(subject) and UUID(subject).version != MAPPED_VERSION:
            return UUID(subject)
        return uuid5(NAMESPACE, self._rules.issuer + SEPARATOR + subject)


class _StrictJWT(jwt.PyJWT):
    def _decode_payload(self, decoded: dict[str, Any]) -> dict[str, Any]:
        """Parse the claims strictly: no duplicate names, no infinite numbers."""
        return json_object(decoded["payload"], "claims")


def _options(claim: str) -> Options:
    """All checks of PyJWT: by default it omits half of them."""
    return {
        "require": ["exp", "iat", "iss", "aud", claim],
        "enforce_minimum_key_length": True,
    }


def _time(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        raise InvalidToken("The token's exp is not a possible time.") from None
