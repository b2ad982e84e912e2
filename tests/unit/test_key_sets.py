"""Which keys of a JWK set are used, and which are left out."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jwt import get_algorithm_by_name

from openapi.access.keys import UnusableKeys, jwk_set, pem_key
from tests.support.issuer import JWKS_PATH, Issuer, SigningKey, new_private
from tests.support.references import property_settings
from tests.support.verifying import RunningVerifier, run

GOOD = SigningKey("EdDSA", new_private("EdDSA"))

OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "for encryption": ("EdDSA", {"use": "enc"}),
    "for signing alone": ("EdDSA", {"key_ops": ["sign"]}),
    "for operations that are no list": ("EdDSA", {"key_ops": 7}),
    "of an alg that is not taken": ("RS256", {"alg": "RS512"}),
    "of the alg none": ("EdDSA", {"alg": "none"}),
    "of the alg HS256": ("EdDSA", {"alg": "HS256"}),
    "of the alg of another type": ("EdDSA", {"alg": "ES256"}),
    "of an alg that is a list": ("EdDSA", {"alg": ["EdDSA"]}),
    "of an alg that is null": ("EdDSA", {"alg": None}),
    "of another curve": ("ES384", {"alg": "ES256"}),
    "of another curve, which it does not admit": ("ES384", {"alg": "ES256", "crv": "P-256"}),
    "of a curve that is a list": ("EdDSA", {"crv": ["Ed25519"]}),
    "of another curve of Edwards'": ("EdDSA", {"crv": "Ed448"}),
    "not on its curve": ("ES256", {"x": "A" * 43}),
    "too short": ("EdDSA", {"x": "AAAA"}),
    "not in base64": ("EdDSA", {"x": "%"}),
    "a number": ("EdDSA", {"x": 7}),
    "of an unknown type": ("EdDSA", {"kty": "XYZ"}),
    "of a type that is a list": ("EdDSA", {"kty": ["OKP"]}),
    "secret": ("EdDSA", {"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"}),
    "private": ("EdDSA", {"d": "A" * 43}),
    "without an id": ("EdDSA", {"kid": ""}),
    "with a number as id": ("EdDSA", {"kid": 7}),
    "even": ("RS256", {"e": "AA"}),
}


@pytest.mark.parametrize(("algorithm", "change"), OTHERS.values(), ids=OTHERS)
def test_key_set_is_used_without_a_key_that_is(
    issuer: Issuer, algorithm: str, change: dict[str, Any]
) -> None:
    good = issuer.key
    other = SigningKey(algorithm, new_private(algorithm))
    other.jwk |= change
    issuer.published = [other.jwk, good.jwk]

    async def scene() -> None:
        async with RunningVerifier(issuer) as api:
            assert await api.verify(issuer.token(key=good))
            assert not await api.verify(issuer.token(key=other))

    run(scene)


def test_weak_key_verifies_no_token(issuer: Issuer, weak: SigningKey) -> None:
    issuer.published.append(weak.jwk)

    async def scene() -> None:
        async with RunningVerifier(issuer) as api:
            assert await api.verify(issuer.token())
            assert not await api.verify(issuer.token(key=weak))

    run(scene)


def test_published_symmetric_key_verifies_no_token(issuer: Issuer) -> None:
    issuer.published.append({"kty": "oct", "k": "c2VjcmV0", "kid": "secret", "alg": "HS256"})

    async def scene() -> None:
        async with RunningVerifier(issuer) as api:
            assert not await api.verify(issuer.token(header={"alg": "HS256", "kid": "secret"}))

    run(scene)


def test_first_of_two_keys_with_one_id_is_used(issuer: Issuer) -> None:
    first = issuer.key
    second = SigningKey("EdDSA", new_private("EdDSA"), kid=first.kid)
    issuer.published.append(second.jwk)

    async def scene() -> None:
        async with RunningVerifier(issuer) as api:
            assert await api.verify(issuer.token(key=first))
            assert not await api.verify(issuer.token(key=second))

    run(scene)


def test_unusable_keys_are_logged_once(issuer: Issuer, caplog: pytest.LogCaptureFixture) -> None:
    issuer.published.append({"kty": "oct", "k": "c2VjcmV0", "kid": "secret"})

    async def scene() -> None:
        async with RunningVerifier(issuer, interval=0.05):
            await asyncio.sleep(0.3)

    run(scene)

    assert [record.getMessage() for record in caplog.records] == [
        "Of a JWK set, 1 keys are left out: key 1: its kty is none of OKP, EC, RSA"
    ]


def test_published_private_key_is_named_in_the_refusal(issuer: Issuer) -> None:
    algorithm = get_algorithm_by_name("EdDSA")
    private = algorithm.to_jwk(issuer.key.private, True)

    with pytest.raises(UnusableKeys, match="it is a private key, and everyone can read it"):
        jwk_set(json.dumps({"keys": [{**private, "kid": issuer.key.kid}]}).encode())


MEMBERS = ["kty", "crv", "x", "y", "n", "e", "d", "kid", "alg", "use", "key_ops", "k", "x5c"]
WORDS = ["OKP", "EC", "RSA", "oct", "Ed25519", "P-256", "EdDSA", "ES256", "RS256", "sig", "AQAB"]
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=50),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(MEMBERS), inner),
    max_leaves=4,
)
JWKS = st.dictionaries(st.sampled_from(MEMBERS), st.sampled_from(WORDS) | ANYTHING, max_size=8)


@property_settings(200)
@given(others=st.lists(JWKS | ANYTHING, max_size=3))
def test_good_key_is_used_beside_any_other_entries(others: list[Any]) -> None:
    document = json.dumps({"keys": [*others, GOOD.jwk]}).encode()

    assert GOOD.kid in jwk_set(document)


@property_settings(200)
@given(document=st.binary(max_size=50) | ANYTHING.map(lambda value: json.dumps(value).encode()))
def test_random_document_is_refused(document: bytes) -> None:
    for read in (jwk_set, pem_key):
        with pytest.raises(UnusableKeys):
            read(document)


def test_issuer_of_the_tests_publishes_keys_as_better_auth_does(issuer: Issuer) -> None:
    assert issuer.jwks_url == issuer.url + JWKS_PATH == issuer.url + "/api/auth/jwks"
    assert issuer.key.jwk.keys() == {"alg", "crv", "kty", "x", "kid"}
