"""Public keys that verify tokens, as issuers publish them: a JWK set, or one key in PEM."""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)
from jiter import from_json
from jwt import PyJWK

log = logging.getLogger("errand.tokens")

PublicKey = Ed25519PublicKey | EllipticCurvePublicKey | RSAPublicKey

# The type of a key determines how it is read; its other members can only restrict its use.
READ_AS = {"OKP": "EdDSA", "EC": "ES256", "RSA": "RS256"}
ALGORITHMS = frozenset({"EdDSA", "ES256", "RS256", "PS256"})
RSA_BITS = range(2048, 8192 + 1)
LONGEST_ID = 256

PEM = b"-----BEGIN "


class UnusableKeys(Exception):
    """A document without a usable key; the text says why."""


@dataclass(slots=True, eq=False)
class Key:
    """A public key, and until when the tokens that it has verified are valid."""

    public: PublicKey
    algorithms: frozenset[str]
    valid_until: float = math.inf
    _der: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._der = self.public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def is_same_as(self, other: "Key") -> bool:
        """Whether it is the same key, for the same use."""
        return self._der == other._der and self.algorithms == other.algorithms


# Keys by their ids. A key in PEM has no id: its key is None, and it verifies tokens with any id.
KeySet = dict[str | None, Key]
Reader = Callable[[bytes], KeySet]


def jwk_set_or_pem(document: bytes) -> KeySet:
    """The keys of a document of either kind."""
    return pem_key(document) if document.lstrip().startswith(PEM) else jwk_set(document)


def pem_key(document: bytes) -> KeySet:
    """The one public key in PEM."""
    if document.count(PEM) != 1:
        raise UnusableKeys("there must be one key in PEM")
    if b"PRIVATE KEY" in document:
        raise UnusableKeys("this is a private key: tokens are verified with the public one")
    try:
        public = load_pem_public_key(document)
    except Exception as error:
        raise UnusableKeys(f"this is not a public key in PEM: {error}") from None
    return {None: Key(*_checked(public))}


def jwk_set(document: bytes) -> KeySet:
    """The usable keys of a JWK set (RFC 7517); the others are left out and logged."""
    try:
        parsed = from_json(document, catch_duplicate_keys=True, allow_inf_nan=False)
    except ValueError as error:
        raise UnusableKeys(f"this is not JSON: {error}") from None
    if not isinstance(parsed, dict) or not isinstance(parsed.get("keys"), list):
        raise UnusableKeys("this is not a JWK set: it has no list of keys")
    keys: KeySet = {}
    complaints: list[str] = []
    for index, jwk in enumerate(parsed["keys"]):
        try:
            name, key = _key(jwk)
            if name in keys:
                raise UnusableKeys("another key has the same kid; the first one is used")
            keys[name] = key
        except Exception as reason:  # a broken key does not affect the others
            complaints.append(f"key {index}: {reason}")
    if parsed["keys"] and not keys:  # an empty set revokes every key
        raise UnusableKeys("; ".join(["no key of the JWK set is usable", *complaints]))
    if complaints:
        log.warning(
            "Of a JWK set, %d keys are left out: %s", len(complaints), "; ".join(complaints)
        )
    return keys


def _key(jwk: Any) -> tuple[str, Key]:
    if not isinstance(jwk, dict):
        raise UnusableKeys("it is not an object")
    name = jwk.get("kid")
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_ID:
        raise UnusableKeys(f"it has no kid of 1 to {LONGEST_ID} characters")
    if "d" in jwk:
        raise UnusableKeys("it is a private key, and everyone can read it")
    if jwk.get("use", "sig") != "sig" or "verify" not in jwk.get("key_ops", ["verify"]):
        raise UnusableKeys("it is not for verifying signatures")
    public, algorithms = _checked(_public(jwk))
    if "alg" in jwk:
        algorithms = algorithms & {jwk["alg"]}
    if not algorithms:
        raise UnusableKeys(
            f"its alg is none of {', '.join(sorted(ALGORITHMS))}, or does not fit its kty"
        )
    return name, Key(public, algorithms)


def _public(jwk: dict[str, Any]) -> Any:
    read_as = READ_AS.get(str(jwk.get("kty")))
    if read_as is None:
        raise UnusableKeys("its kty is none of OKP, EC, RSA")
    return PyJWK(jwk, read_as).key


def _checked(public: Any) -> tuple[PublicKey, frozenset[str]]:
    """The key and the algorithms of its type, if it is strong enough."""
    match public:
        case Ed25519PublicKey():
            return public, frozenset({"EdDSA"})
        case EllipticCurvePublicKey(curve=SECP256R1()):
            return public, frozenset({"ES256"})
        case RSAPublicKey(key_size=bits) if bits in RSA_BITS:
            return public, frozenset({"RS256", "PS256"})
        case RSAPublicKey(key_size=bits):
            raise UnusableKeys(
                f"an RSA key has {RSA_BITS[0]} to {RSA_BITS[-1]} bits here, this one {bits}"
            )
        case _:
            raise UnusableKeys("it is neither Ed25519 nor P-256 nor RSA")
