"""Rules for the header and the claims of a token, besides its signature."""

import re
from dataclasses import dataclass
from typing import Any

from jiter import from_json
from jwt.utils import base64url_decode

from openapi.access.keys import ALGORITHMS, LONGEST_ID

LONGEST_TOKEN = 8 * 1024
LONGEST_SUBJECT = 255  # OpenID Connect Core, 2

THREE_PARTS = re.compile(rb"([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")

# A logout token, say, is signed by the same issuer and grants no access (RFC 8725, 3.11).
ACCESS_TOKEN_TYPES = frozenset({"at+jwt", "application/at+jwt"})
TYPES = ACCESS_TOKEN_TYPES | {"jwt", "application/jwt"}
# A key inside the token proves nothing; no critical extension is supported.
REFUSED_HEADERS = frozenset({"jwk", "jku", "x5c", "x5u", "crit", "b64"})
# An ID token tells a client who its user is; it is not an access token (OpenID Connect Core, 2).
ID_TOKEN_CLAIMS = ("nonce", "at_hash")

SEPARATOR = "\x1f"


class InvalidToken(Exception):
    """The token is not valid; the text says why. `key_id` is the key that it names, if any."""

    def __init__(self, reason: str, key_id: str | None = None) -> None:
        super().__init__(reason)
        self.key_id = key_id


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRules:
    """Rules for the tokens of one issuer to one audience."""

    issuer: str
    audience: str
    leeway: float
    """Seconds by which clocks may differ."""
    claim: str = "sub"
    """The claim that names the user."""
    lifetime: int | None = None
    """The longest time from `iat` to `exp`, in seconds."""
    refuse_id_tokens: bool = False
    require_at_jwt: bool = False

    def __post_init__(self) -> None:
        # PyJWT does not check an issuer or an audience that is empty.
        if not self.issuer or not self.audience or not self.claim:
            raise ValueError("an issuer, an audience and a claim must be named")
        if SEPARATOR in self.issuer:
            raise ValueError("an issuer has no control characters")

    def check_header(self, header: dict[str, Any]) -> None:
        """Refuse headers that are not supported, and tokens of other types."""
        refused = sorted(REFUSED_HEADERS & header.keys())
        if refused:
            raise InvalidToken(f"The token's header has {', '.join(refused)}, which is refused.")
        typ = str(header.get("typ", "JWT")).lower()
        if typ not in TYPES:
            raise InvalidToken("The token's typ is not that of an access token.")
        if self.require_at_jwt and typ not in ACCESS_TOKEN_TYPES:
            raise InvalidToken("The token's typ is not at+jwt.")

    def check_claims(self, claims: dict[str, Any]) -> None:
        """Refuse times that are not numbers, a lifetime that is too long, and ID tokens."""
        for name in ("exp", "iat", "nbf"):
            if type(claims.get(name, 0)) not in (int, float):
                raise InvalidToken(f"The token's {name} is not a number.")
        if self.lifetime is not None and claims["exp"] - claims["iat"] > self.lifetime:
            raise InvalidToken(f"The token's lifetime is longer than {self.lifetime:,} s.")
        if self.refuse_id_tokens:
            for name in ID_TOKEN_CLAIMS:
                if name in claims:
                    raise InvalidToken(f"The token has {name}, so it is an ID token.")

    def subject(self, claims: dict[str, Any]) -> str:
        """The name of the user."""
        value = claims[self.claim]
        if not isinstance(value, str) or not 0 < len(value) <= LONGEST_SUBJECT:
            raise InvalidToken(f"A user is named by a string of 1 to {LONGEST_SUBJECT} characters.")
        return value


def header_of(token: bytes) -> dict[str, Any]:
    """The header of a JWT whose signature is not verified yet."""
    if len(token) > LONGEST_TOKEN:
        raise InvalidToken(f"The token has more than {LONGEST_TOKEN:,} bytes.")
    parts = THREE_PARTS.fullmatch(token)
    if parts is None:
        raise InvalidToken("The token is not a signed JWT: three parts in base64url.")
    try:
        document = base64url_decode(parts[1])
    except ValueError:
        raise InvalidToken("The token's header is not in base64url.") from None
    return json_object(document, "header")


def key_id_of(header: dict[str, Any]) -> str | None:
    """The id of the key that a token says it is signed with."""
    name = header.get("kid")
    if "kid" in header and (not isinstance(name, str) or len(name) > LONGEST_ID):
        raise InvalidToken("The token's kid is not the id of a key.")
    return name


def algorithm_of(header: dict[str, Any]) -> str:
    """The algorithm that a token says it is signed with."""
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise InvalidToken(f"The token's alg is none of {', '.join(sorted(ALGORITHMS))}.")
    return algorithm


def json_object(document: bytes, name: str) -> dict[str, Any]:
    """A JSON object without duplicate names."""
    try:
        parsed = from_json(document, catch_duplicate_keys=True, allow_inf_nan=False)
    except ValueError:
        raise InvalidToken(f"The token's {name} is not valid JSON.") from None
    if not isinstance(parsed, dict):
        raise InvalidToken(f"The token's {name} is not a JSON object.")
    return parsed
