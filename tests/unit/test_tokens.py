"""Bearer tokens: the caller that a token names, and every reason to refuse one."""

import asyncio
import base64
import hmac
import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openapi.access.key_sources import Keys, fixed_key, keys_at
from openapi.access.token_rules import LONGEST_TOKEN, InvalidToken
from openapi.access.tokens import NAMESPACE, Caller, Verifier
from tests.support.cases import for_each
from tests.support.issuer import Issuer, SigningKey, base64url, encoded, new_private, running_issuer
from tests.support.references import property_settings

ALGORITHMS = ["EdDSA", "ES256", "RS256", "PS256"]
SOON = 60


@pytest.fixture(scope="module")
def strangers_key() -> SigningKey:
    return SigningKey("EdDSA", new_private("EdDSA"))


def whose(token: str, issuer: Issuer, keys: Keys | None = None, **options: Any) -> Caller:
    async def verify() -> Caller:
        async with keys or keys_at(issuer.jwks_url) as known:
            return await verifier(issuer, known, **options).verify(token.encode())

    return asyncio.run(verify())


def verifier(issuer: Issuer, keys: Keys, leeway: float = 0, **options: Any) -> Verifier:
    settings = {"issuer": issuer.url, "audience": issuer.url, "leeway": leeway, **options}
    return Verifier(keys, **settings)


def complaint(token: str, issuer: Issuer, keys: Keys | None = None, **options: Any) -> str:
    """The reason of the refusal."""
    with pytest.raises(InvalidToken) as refused:
        whose(token, issuer, keys, **options)
    return str(refused.value)


@for_each("algorithm", ALGORITHMS)
def test_valid_token_names_the_caller(algorithm: str) -> None:
    with running_issuer(algorithm) as issuer:
        user_id, expires = str(uuid4()), int(time.time()) + SOON

        caller = whose(issuer.token(user_id, exp=expires), issuer)

    assert caller.user_id == UUID(user_id)
    assert caller.subject == user_id
    assert caller.issuer == issuer.url
    assert caller.expires_at.timestamp() == expires


def test_token_may_have_several_audiences(issuer: Issuer) -> None:
    token = issuer.token(aud=["https://other.example", issuer.url])

    assert whose(token, issuer).subject == "alice"


def test_token_with_the_claims_of_better_auth_is_accepted(issuer: Issuer) -> None:
    user: dict[str, Any] = {
        "id": "q3vV0kXbY1TzRrWm5nUoPs7cEjHa9LdG",
        "name": "Älice",
        "email": "alice@example.org",
        "emailVerified": False,
        "image": None,
        "createdAt": "2026-01-01T00:00:00.000Z",
    }
    claims = {**user, **issuer.claims(user["id"])}

    token = issuer.key.sign({"alg": "EdDSA", "kid": issuer.key.kid}, claims)

    assert whose(token, issuer).subject == user["id"]
    assert whose(token, issuer, claim="email").subject == "alice@example.org"


def test_key_without_alg_verifies_the_algorithms_of_its_type(issuer: Issuer) -> None:
    key = issuer.rotate("PS256")
    del key.jwk["alg"]

    assert whose(issuer.token(), issuer).subject == "alice"


@for_each("typ", ["JWT", "jwt", "at+jwt", "application/at+jwt"])
def test_access_token_type_is_accepted(issuer: Issuer, typ: str) -> None:
    assert whose(issuer.token(header={"typ": typ}), issuer).subject == "alice"


def test_lifetime_over_the_longest_is_refused(issuer: Issuer) -> None:
    now = int(time.time())
    within = issuer.token(iat=now - 100, exp=now + 800)
    over = issuer.token(iat=now - 101, exp=now + 800)

    assert whose(within, issuer, lifetime=900).subject == "alice"
    assert complaint(over, issuer, lifetime=900) == "The token's lifetime is longer than 900 s."
    assert whose(over, issuer).subject == "alice"


@for_each("claim", ["nonce", "at_hash"])
def test_id_token_is_refused_where_settings_say_so(issuer: Issuer, claim: str) -> None:
    claims: dict[str, Any] = {claim: "x"}
    token = issuer.token(**claims)

    assert "ID token" in complaint(token, issuer, refuse_id_tokens=True)
    assert whose(token, issuer).subject == "alice"


@for_each("typ", [None, "JWT", "application/jwt"])
def test_only_at_jwt_is_accepted_where_settings_say_so(issuer: Issuer, typ: str | None) -> None:
    refused = issuer.token(header={"typ": typ})
    accepted = [issuer.token(header={"typ": each}) for each in ("at+jwt", "application/AT+JWT")]

    assert "not at+jwt" in complaint(refused, issuer, require_at_jwt=True)
    for token in accepted:
        assert whose(token, issuer, require_at_jwt=True).subject == "alice"


def test_caller_and_refusal_name_the_key(issuer: Issuer) -> None:
    with pytest.raises(InvalidToken) as refused:
        whose(issuer.token(exp=0), issuer)

    assert refused.value.key_id == issuer.key.kid
    assert whose(issuer.token(), issuer).key_id == issuer.key.kid


REFUSED_CLAIMS: dict[str, tuple[Callable[[Issuer], dict[str, Any]], str]] = {
    "another issuer": (lambda _: {"iss": "https://evil.example"}, "another issuer"),
    "an issuer with a slash more": (lambda issuer: {"iss": issuer.url + "/"}, "another issuer"),
    "a list of issuers": (lambda issuer: {"iss": [issuer.url]}, "another issuer"),
    "no issuer": (lambda _: {"iss": None}, "no iss"),
    "another audience": (lambda _: {"aud": "https://other.example"}, "another audience"),
    "other audiences": (lambda _: {"aud": ["https://a.example"]}, "another audience"),
    "no audience": (lambda _: {"aud": None}, "no aud"),
    "an empty audience": (lambda _: {"aud": ""}, "no aud"),
    "a time that is over": (lambda _: {"exp": int(time.time()) - 1}, "expired"),
    "a time that is over now": (lambda _: {"exp": int(time.time())}, "expired"),
    "a time that never comes": (lambda _: {"exp": 10**15}, "exp"),
    "infinity": (lambda _: {"exp": 1e300}, "exp"),
    "a time as a string": (lambda _: {"exp": "9999999999"}, "exp is not a number"),
    "true as a time": (lambda _: {"iat": True}, "iat is not a number"),
    "no expiry": (lambda _: {"exp": None}, "no exp"),
    "no time of issue": (lambda _: {"iat": None}, "no iat"),
    "an issue in future": (lambda _: {"iat": int(time.time()) + SOON}, "not valid yet"),
    "a beginning in future": (lambda _: {"nbf": int(time.time()) + SOON}, "not valid yet"),
    "a beginning as a string": (lambda _: {"nbf": "1"}, "nbf is not a number"),
    "no user": (lambda _: {"sub": None}, "no sub"),
    "an empty user": (lambda _: {"sub": ""}, "1 to 255 characters"),
    "an overlong user": (lambda _: {"sub": "x" * 256}, "1 to 255 characters"),
    "a number as user": (lambda _: {"sub": 7}, "not a valid JWT"),
    "a list as user": (lambda _: {"sub": ["alice"]}, "not a valid JWT"),
}


@for_each(("claims", "why"), REFUSED_CLAIMS.values(), ids=REFUSED_CLAIMS)
def test_claims_are_refused_with(
    issuer: Issuer, claims: Callable[[Issuer], dict[str, Any]], why: str
) -> None:
    assert why in complaint(issuer.token(**claims(issuer)), issuer)


def test_clocks_may_differ_by_the_leeway(issuer: Issuer) -> None:
    now = int(time.time())

    assert whose(issuer.token(exp=now - 5), issuer, leeway=30)
    assert whose(issuer.token(iat=now + 5, nbf=now + 5), issuer, leeway=30)
    assert "expired" in complaint(issuer.token(exp=now - 35), issuer, leeway=30)
    assert "not valid yet" in complaint(issuer.token(iat=now + 35), issuer, leeway=30)


@for_each("value", [7, None, "", ["x"], {"id": "x"}, "x" * 256, True])
def test_claim_that_names_the_user_is_as_strict_as_sub(issuer: Issuer, value: Any) -> None:
    assert complaint(issuer.token(uid=value), issuer, claim="uid")


REFUSED_HEADERS: dict[str, tuple[dict[str, Any], str]] = {
    "no alg": ({"alg": None}, "alg is none of"),
    "a list of algs": ({"alg": ["EdDSA"]}, "alg is none of"),
    "an alg in small letters": ({"alg": "eddsa"}, "alg is none of"),
    "another alg than its key's": ({"alg": "ES256"}, "not that of its key"),
    "no kid": ({"kid": None}, "does not name its key"),
    "a kid that is unknown": ({"kid": "made-up"}, "issuer does not have"),
    "an empty kid": ({"kid": ""}, "issuer does not have"),
    "a kid that is a number": ({"kid": 1}, "not the id of a key"),
    "a kid that is overlong": ({"kid": "x" * 257}, "not the id of a key"),
    "a key": ({"jwk": {"kty": "OKP"}}, "has jwk"),
    "a set of keys": ({"jku": "https://evil.example/jwks"}, "has jku"),
    "a certificate": ({"x5c": ["MII"]}, "has x5c"),
    "the address of a certificate": ({"x5u": "https://evil.example/x"}, "has x5u"),
    "something critical": ({"crit": ["exp"], "exp": 1}, "has crit"),
    "something critical that PyJWT knows": ({"crit": ["b64"], "b64": True}, "has b64, crit"),
    "content that is not encoded": ({"crit": ["b64"], "b64": False}, "has b64, crit"),
    "the type of a logout token": ({"typ": "logout+jwt"}, "not that of an access token"),
    "a type that is a number": ({"typ": 1}, "not that of an access token"),
}


@for_each(("header", "why"), REFUSED_HEADERS.values(), ids=REFUSED_HEADERS)
def test_header_is_refused_with(issuer: Issuer, header: dict[str, Any], why: str) -> None:
    assert why in complaint(issuer.token(header=header), issuer)


@for_each("none", ["none", "None", "NONE", "nOnE", ""])
@for_each("signature", ["", "AAAA"])
def test_unsigned_token_is_refused(issuer: Issuer, none: str, signature: str) -> None:
    content = f"{encoded({'alg': none, 'kid': issuer.key.kid})}.{encoded(issuer.claims())}"

    assert complaint(f"{content}.{signature}", issuer)


@for_each("algorithm", ["HS256", "HS384", "HS512"])
def test_token_signed_with_the_public_key_as_a_secret_is_refused(
    issuer: Issuer, algorithm: str
) -> None:
    header = {"alg": algorithm, "kid": issuer.key.kid}
    content = f"{encoded(header)}.{encoded(issuer.claims())}"
    hashed = "sha" + algorithm.removeprefix("HS")
    for secret in (issuer.key.pem, json.dumps(issuer.key.jwk), issuer.key.jwk["x"]):
        forged = hmac.digest(secret.encode(), content.encode(), hashed)

        for keys in (None, fixed_key(issuer.key.pem)):
            why = complaint(f"{content}.{base64url(forged)}", issuer, keys)
            assert "alg is none of" in why


def test_token_signed_with_another_key_is_refused(
    issuer: Issuer, strangers_key: SigningKey
) -> None:
    token = issuer.token(key=strangers_key, header={"kid": issuer.key.kid})

    assert "signature is wrong" in complaint(token, issuer)


def test_key_inside_a_token_is_not_used(issuer: Issuer, strangers_key: SigningKey) -> None:
    token = issuer.token(key=strangers_key, header={"jwk": strangers_key.jwk})

    assert "has jwk" in complaint(token, issuer)


@for_each("algorithm", ["RS256", "PS256"])
def test_key_verifies_only_its_own_algorithm(issuer: Issuer, algorithm: str) -> None:
    key = issuer.rotate(algorithm)
    other = {"RS256": "PS256", "PS256": "RS256"}[algorithm]
    token = issuer.token(key=SigningKey(other, key.private, key.kid))

    assert "not that of its key" in complaint(token, issuer)


def test_claims_with_the_signature_of_another_token_are_refused(issuer: Issuer) -> None:
    alices, bobs = issuer.token("alice").split("."), issuer.token("bob").split(".")

    assert "signature" in complaint(".".join([alices[0], bobs[1], alices[2]]), issuer)


MALFORMED: dict[str, Callable[[str], str]] = {
    "nothing": lambda _: "",
    "two parts": lambda token: token.rpartition(".")[0],
    "four parts": lambda token: token + ".AAAA",
    "five parts, as encrypted ones have": lambda token: token + ".AAAA.AAAA",
    "two tokens, with a comma": lambda token: f"{token}, {token}",
    "two tokens, with a space": lambda token: f"{token} {token}",
    "a blank before": lambda token: " " + token,
    "a line's end": lambda token: token + "\n",
    "padding": lambda token: token + "==",
    "base64 of the other alphabet": lambda token: token[:-2] + "+/",
    "letters that are not ASCII": lambda token: token[:-1] + "é",
    "a full stop alone": lambda _: "..",
    "an empty signature": lambda token: token.rpartition(".")[0] + ".",
    "a header of an impossible length": lambda token: "A" + token,
    "a header that is no JSON": lambda token: f"{base64url(b'{')}.{token.partition('.')[2]}",
    "a header that is a list": lambda token: f"{encoded([])}.{token.partition('.')[2]}",
}


@for_each("change", MALFORMED.values(), ids=MALFORMED)
def test_malformed_token_is_refused(issuer: Issuer, change: Callable[[str], str]) -> None:
    assert complaint(change(issuer.token()), issuer)


def test_token_over_8_kib_is_refused(issuer: Issuer) -> None:
    def padded(size: int) -> str:
        token = issuer.token(padding="")
        rest = (size - len(token)) * 3 // 4
        return issuer.token(padding="x" * rest)

    assert len(longest := padded(LONGEST_TOKEN - 4)) <= LONGEST_TOKEN
    assert whose(longest, issuer)
    assert "8,192 bytes" in complaint(padded(LONGEST_TOKEN + 8), issuer)


@for_each("name", ["alg", "kid"])
def test_header_with_a_duplicate_key_is_refused(issuer: Issuer, name: str) -> None:
    header = json.dumps({"alg": "EdDSA", "kid": issuer.key.kid})
    twice = f'{{"{name}": "none", {header[1:]}'.encode()

    assert "header" in complaint(issuer.key.sign(twice, issuer.claims()), issuer)


@for_each("name", ["sub", "exp", "aud"])
def test_claims_with_a_duplicate_key_are_refused(issuer: Issuer, name: str) -> None:
    claims = json.dumps(issuer.claims())
    twice = f'{{"{name}": "bob", {claims[1:]}'.encode()
    header = {"alg": "EdDSA", "kid": issuer.key.kid}

    assert "claims" in complaint(issuer.key.sign(header, twice), issuer)


@for_each("claims", [b"[]", b"null", b"{", b"\xff", b'{"sub":"\\ud800"}', b"[" * 999])
def test_claims_that_are_no_object_are_refused(issuer: Issuer, claims: bytes) -> None:
    header = {"alg": "EdDSA", "kid": issuer.key.kid}

    assert "claims" in complaint(issuer.key.sign(header, claims), issuer)


@for_each("missing", ["issuer", "audience", "claim"])
def test_verifier_requires_an_issuer_an_audience_and_a_claim(issuer: Issuer, missing: str) -> None:
    settings: dict[str, Any] = {"issuer": "i", "audience": "a", "claim": "sub", missing: ""}

    with pytest.raises(ValueError, match="must be named"):
        Verifier(fixed_key(issuer.key.pem), leeway=0, **settings)


# The user id


def test_uuid_subject_is_the_user_id_in_any_case(issuer: Issuer) -> None:
    user_id = uuid4()

    for subject in (str(user_id), str(user_id).upper()):
        assert whose(issuer.token(subject), issuer).user_id == user_id


@for_each("form", ["{}", "{{{}}}", "urn:uuid:{}", " {}", "{}\n"])
def test_uuid_subject_in_another_form_is_mapped(issuer: Issuer, form: str) -> None:
    user_id = uuid4()
    written = user_id.hex if form == "{}" else form.format(user_id)

    mapped = whose(issuer.token(written), issuer).user_id

    assert mapped != user_id
    assert mapped.version == 5


def test_digits_of_other_scripts_are_no_uuid(issuer: Issuer) -> None:
    assert whose(issuer.token("\u0661" + str(uuid4())[1:]), issuer).user_id.version == 5


def test_other_subject_is_mapped_to_one_user_id(strangers_key: SigningKey) -> None:
    """These ids are stored in databases: to change them is to lose users their tasks."""
    url, now = "https://auth.example.org", int(time.time())
    keys = fixed_key(strangers_key.pem)
    claims = {"iss": url, "aud": url, "iat": now, "exp": now + SOON, "sub": "q3vV0kXbY1TzRrWm"}
    token = strangers_key.sign({"alg": "EdDSA"}, claims)

    verifying = Verifier(keys, issuer=url, audience=url, leeway=0).verify(token.encode())

    assert asyncio.run(verifying).user_id == UUID("ec2db947-fe0e-50f9-ab4d-616d5fb9ad1f")


def test_same_subject_of_another_issuer_is_another_user(issuer: Issuer) -> None:
    with running_issuer() as other:
        assert whose(issuer.token("alice"), issuer) != whose(other.token("alice"), other)


# Cached tokens


class Visits:
    """One verifier for several tokens."""

    def __init__(self, issuer: Issuer, **options: Any) -> None:
        self.keys = fixed_key(issuer.key.pem)
        self.verifier = verifier(issuer, self.keys, **options)

    def verify(self, token: str) -> Caller:
        return asyncio.run(self.verifier.verify(token.encode()))

    def remembered(self, token: str) -> Caller | None:
        # Each request has bytes of its own.
        return self.verifier.remembered(bytes(bytearray(token.encode())))


def test_verified_token_is_cached(issuer: Issuer) -> None:
    visits, token = Visits(issuer), issuer.token()

    assert visits.remembered(token) is None
    caller = visits.verify(token)

    assert visits.remembered(token) is caller
    assert visits.remembered(token[:-1]) is None


def test_refused_token_is_not_cached(issuer: Issuer) -> None:
    visits, token = Visits(issuer), issuer.token(aud="https://other.example")

    for _ in range(2):
        with pytest.raises(InvalidToken):
            visits.verify(token)
        assert visits.remembered(token) is None


@for_each("leeway", [0.0, 1.0])
def test_cached_token_expires(issuer: Issuer, leeway: float) -> None:
    visits, expires = Visits(issuer, leeway=leeway), int(time.time()) + 2
    token = issuer.token(exp=expires)
    visits.verify(token)

    time.sleep(expires + leeway - 0.3 - time.time())
    assert visits.remembered(token)
    time.sleep(expires + leeway + 0.05 - time.time())

    assert visits.remembered(token) is None
    with pytest.raises(InvalidToken, match="expired"):
        visits.verify(token)


def test_cache_of_tokens_is_bounded(issuer: Issuer) -> None:
    visits = Visits(issuer, remembered=20)
    tokens = [issuer.token(str(uuid4())) for _ in range(100)]

    for token in tokens:
        visits.verify(token)

    assert 10 <= sum(visits.remembered(token) is not None for token in reversed(tokens)) <= 20


def test_token_in_use_stays_cached(issuer: Issuer) -> None:
    visits, token = Visits(issuer, remembered=20), issuer.token("alice")
    visits.verify(token)

    for _ in range(100):
        visits.verify(issuer.token(str(uuid4())))
        assert visits.remembered(token)


def test_refused_tokens_displace_no_cached_token(issuer: Issuer) -> None:
    visits, token = Visits(issuer, remembered=20), issuer.token("alice")
    visits.verify(token)

    for _ in range(100):
        with pytest.raises(InvalidToken):
            visits.verify(issuer.token(str(uuid4()), exp=1))

    assert visits.remembered(token)


def test_long_token_is_not_cached(issuer: Issuer) -> None:
    visits, token = Visits(issuer), issuer.token(image="x" * 2000)

    assert visits.verify(token)
    assert visits.remembered(token) is None
    assert visits.verify(token)


# Random tokens


@pytest.fixture(scope="module")
def any_issuer() -> Iterator[Issuer]:
    with running_issuer() as running:
        yield running


@pytest.fixture(scope="module")
def visits(any_issuer: Issuer) -> Visits:
    return Visits(any_issuer)


PARTS = st.one_of(st.binary(max_size=40).map(base64url), st.text("Ab_-=.+ ", max_size=9))
TOKENS = st.one_of(
    st.binary(max_size=60),
    st.lists(PARTS, min_size=1, max_size=5).map(lambda parts: ".".join(parts).encode()),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
NAMES = ["alg", "kid", "typ", "cty", "b64", "jwk", "enc", "zip"]
CLAIMS = ["iss", "aud", "sub", "exp", "iat", "nbf", "jti"]


SUBJECTS = st.one_of(
    st.text(min_size=1, max_size=40),
    st.uuids().map(str),
    st.uuids().map(lambda each: str(each).upper()),
    st.uuids().map(lambda each: each.hex),
    st.uuids().map(lambda each: each.urn),
    st.uuids().map(lambda each: f"{{{each}}}"),
    st.from_regex(r"[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}", fullmatch=True),
)


def user_of(issuer: Issuer, subject: str) -> UUID:
    """By the rule: a UUID in canonical form is the id, except version 5."""
    with suppress(ValueError):
        if str(UUID(subject)) == subject.lower() and UUID(subject).version != 5:
            return UUID(subject)
    return uuid5(NAMESPACE, f"{issuer.url}\x1f{subject}")


@property_settings(200)
@given(token=TOKENS)
def test_random_bytes_are_refused(visits: Visits, token: bytes) -> None:
    with pytest.raises(InvalidToken):
        asyncio.run(visits.verifier.verify(token))


@property_settings(200)
@given(place=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_token_with_one_byte_changed_is_refused(
    any_issuer: Issuer, visits: Visits, place: int, byte: int
) -> None:
    token = bytearray(any_issuer.token().encode())
    place %= len(token)
    if token[place] == byte:
        byte ^= 1
    token[place] = byte

    with pytest.raises(InvalidToken):
        asyncio.run(visits.verifier.verify(bytes(token)))


@property_settings(200)
@given(
    header=st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=2),
    claims=st.dictionaries(st.sampled_from(CLAIMS), VALUES, max_size=2),
    sub=SUBJECTS,
)
def test_any_signed_claims_are_accepted_or_refused(
    any_issuer: Issuer, visits: Visits, header: dict[str, Any], claims: dict[str, Any], sub: str
) -> None:
    token = any_issuer.key.sign({"alg": "EdDSA", **header}, {**any_issuer.claims(sub), **claims})

    try:
        caller = visits.verify(token)
    except InvalidToken as refused:
        assert 10 < len(str(refused)) < 200
    else:
        signed = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        assert caller.subject == signed["sub"]
        assert caller.user_id == user_of(any_issuer, signed["sub"])
        assert signed["iss"] == signed["aud"] == any_issuer.url
        assert caller.expires_at.timestamp() == int(signed["exp"]) > time.time() - 1
