"""Bearer tokens: from a signed JWT to who sends a request."""

import base64
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

import jwt
from jiter import from_json
from jwt.types import Options

from openapi.access.key_sources import Keys
from openapi.access.keys import ALGORITHMS, LONGEST_ID, Key

LONGEST_TOKEN = 8 * 1024
LONGEST_SUBJECT = 255  # OpenID Connect Core, 2
REMEMBERED = 10_000
# Users may write much into their tokens, and have as many as they like.
LONGEST_REMEMBERED = 2 * 1024

THREE_PARTS = re.compile(rb"([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
CANONICAL_UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")

# A logout token, say, is signed by the same issuer and is no leave to enter (RFC 8725, 3.11).
TYPES = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})
# A key that comes with the token proves nothing; of what is critical nothing is understood.
REFUSED_HEADERS = frozenset({"jwk", "jku", "x5c", "x5u", "crit", "b64"})

# A user whom the issuer names otherwise than by UUID has the id
#     uuid5(NAMESPACE, issuer + "\x1f" + name),
# always the same, without a look-up. It never changes: their tasks hang on it.
NAMESPACE = UUID("51bbe242-deef-4bbe-9fcf-40c3d4e97629")
SEPARATOR = "\x1f"
MAPPED = 5

COMPLAINTS: dict[type[jwt.PyJWTError], str] = {
    jwt.InvalidSignatureError: "The token's signature is wrong.",
    jwt.ExpiredSignatureError: "The token has expired.",
    jwt.ImmatureSignatureError: "The token is not valid yet.",
    jwt.InvalidIssuerError: "The token is from another issuer.",
    jwt.InvalidAudienceError: "The token is for another audience.",
}


class InvalidToken(Exception):
    """It proves nothing; the text says why."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends a request."""

    user_id: UUID
    issuer: str
    subject: str
    expires_at: datetime
    owner: str
    """The id as it is usually written: to compare it with a path's costs no parsing of that."""


# Whose token, until when, and by which key, which may become worthless before.
Memory = tuple[Caller, float, Key]


class Verifier:
    """Knows whose token it is, for the tokens of one issuer to one audience."""

    def __init__(
        self,
        keys: Keys,
        *,
        issuer: str,
        audience: str,
        leeway: float,
        claim: str = "sub",
        remembered: int = REMEMBERED,
    ) -> None:
        """`claim` names the user; `leeway` is how many seconds clocks may differ."""
        # PyJWT takes an empty or missing expectation for none.
        if not issuer or not audience or not claim:
            raise ValueError("an issuer, an audience and a claim must be named")
        if SEPARATOR in issuer:
            raise ValueError("an issuer has no control characters")
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._leeway = leeway
        self._claim = claim
        self._jwt = _StrictJWT(_options(claim))
        self._half = remembered // 2
        self._recent: dict[bytes, Memory] = {}
        self._older: dict[bytes, Memory] = {}

    def remembered(self, token: bytes) -> Caller | None:
        """Whose token it is, if it has been verified before and is still good."""
        found = self._recent.get(token) or self._recalled(token)
        if found is None:
            return None
        caller, until, key = found
        now = time.time()
        return caller if now < until and now < key.good_until else None

    async def verify(self, token: bytes) -> Caller:
        """Whose token it is; raises InvalidToken, or KeysUnavailable if that can't be told."""
        caller = self.remembered(token)
        if caller is not None:
            return caller
        algorithm, name = _header(token)
        key = await self._keys.find(name)
        if key is None:
            raise InvalidToken(
                "The token does not name its key."
                if name is None
                else "The token is signed with a key that its issuer does not have."
            )
        if algorithm not in key.algorithms:
            raise InvalidToken("The token's algorithm is not that of its key.")
        claims = self._claims(token, key, algorithm)
        caller = self._caller(claims)
        self._remember(token, (caller, int(claims["exp"]) + self._leeway, key))
        return caller

    def _remember(self, token: bytes, entry: Memory) -> None:
        """Two halves: what nobody asks for while one half fills up is forgotten."""
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
                issuer=self._issuer,
                audience=self._audience,
                leeway=self._leeway,
            )
        except jwt.MissingRequiredClaimError as error:
            raise InvalidToken(f"The token has no {error.claim}.") from None
        except jwt.PyJWTError as error:
            complaint = COMPLAINTS.get(type(error), "The token is not a JWT as it should be.")
            raise InvalidToken(complaint) from None

    def _caller(self, claims: dict[str, Any]) -> Caller:
        for name in ("exp", "iat", "nbf"):
            if type(claims.get(name, 0)) not in (int, float):
                raise InvalidToken(f"The token's {name} is not a number.")
        subject = _subject(claims[self._claim])
        user_id = self._user_id(subject)
        return Caller(
            user_id=user_id,
            issuer=self._issuer,
            subject=subject,
            expires_at=_time(claims["exp"]),
            owner=str(user_id),
        )

    def _user_id(self, subject: str) -> UUID:
        """A UUID is the id, and whatever else is mapped to one of version 5.

        So is a UUID of that version: who may choose their subject could else choose what another's
        is mapped to.
        """
        if CANONICAL_UUID.fullmatch(subject) and UUID(subject).version != MAPPED:
            return UUID(subject)
        return uuid5(NAMESPACE, self._issuer + SEPARATOR + subject)


class _StrictJWT(jwt.PyJWT):
    def _decode_payload(self, decoded: dict[str, Any]) -> dict[str, Any]:
        """PyJWT lets its heirs decide how claims are read: no key twice, and nothing unending."""
        return _object(decoded["payload"], "claims")


def _options(claim: str) -> Options:
    """All that PyJWT can check, of which it leaves out the half by default."""
    return {
        "require": ["exp", "iat", "iss", "aud", claim],
        "enforce_minimum_key_length": True,
    }


def _header(token: bytes) -> tuple[str, str | None]:
    """The algorithm, and the id of the key, that a token says it is signed with."""
    if len(token) > LONGEST_TOKEN:
        raise InvalidToken(f"The token has more than {LONGEST_TOKEN:,} bytes.")
    parts = THREE_PARTS.fullmatch(token)
    if parts is None:
        raise InvalidToken("The token is not a signed JWT: three parts in base64url.")
    header = _object(_decoded(parts[1]), "header")
    _refuse(header)
    algorithm, name = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise InvalidToken(f"The token's alg is none of {', '.join(sorted(ALGORITHMS))}.")
    if "kid" in header and (not isinstance(name, str) or len(name) > LONGEST_ID):
        raise InvalidToken("The token's kid is not the id of a key.")
    return algorithm, name


def _refuse(header: dict[str, Any]) -> None:
    refused = sorted(REFUSED_HEADERS & header.keys())
    if refused:
        raise InvalidToken(f"The token's header has {', '.join(refused)}, which is not taken.")
    if str(header.get("typ", "JWT")).lower() not in TYPES:
        raise InvalidToken("The token's typ says that it is for something else.")


def _decoded(part: bytes) -> bytes:
    try:
        return base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    except ValueError:
        raise InvalidToken("The token's header is not in base64url.") from None


def _object(document: bytes, name: str) -> dict[str, Any]:
    try:
        parsed = from_json(document, catch_duplicate_keys=True, allow_inf_nan=False)
    except ValueError:
        raise InvalidToken(f"The token's {name} cannot be read as JSON.") from None
    if not isinstance(parsed, dict):
        raise InvalidToken(f"The token's {name} is no JSON object.")
    return parsed


def _subject(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_SUBJECT:
        raise InvalidToken(f"A user is named by a string of 1 to {LONGEST_SUBJECT} characters.")
    return value


def _time(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        raise InvalidToken("The token's exp is no time that will come.") from None
