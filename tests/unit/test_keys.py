"""Where the keys of tokens come from, and what happens when they don't."""

import asyncio
import gzip
import ipaddress
import json
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given
from hypothesis import strategies as st
from jwt import get_algorithm_by_name

from openapi.access.key_sources import (
    LARGEST,
    Keys,
    KeysUnavailable,
    checked_url,
    fixed_key,
    keys_at,
    keys_in_file,
)
from openapi.access.keys import UnusableKeys, jwk_set, pem_key
from openapi.access.token_rules import InvalidToken
from openapi.access.tokens import Caller, Verifier
from tests.support.issuer import JWKS_PATH, Issuer, SigningKey, new_private, running_issuer
from tests.support.references import property_settings

QUICKLY = 0.25
OUTAGE = 1.0


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with running_issuer() as running:
        yield running


@pytest.fixture(scope="module")
def weak() -> SigningKey:
    return SigningKey("RS256", new_private("RS256", bits=1024))


class Asking:
    """A verifier with its keys, while they are kept fresh."""

    def __init__(self, issuer: Issuer, keys: Keys | None = None, **options: float) -> None:
        self.issuer = issuer
        self.keys = keys or keys_at(issuer.jwks_url, **options)
        self.verifier = Verifier(self.keys, issuer=issuer.url, audience=issuer.url, leeway=0)

    async def __aenter__(self) -> "Asking":
        await self.keys.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.keys.__aexit__(None, None, None)

    async def asks(self, token: str) -> Caller | None:
        """Who it is, or None if the token is refused."""
        try:
            return await self.verifier.verify(token.encode())
        except InvalidToken:
            return None

    async def is_told_to_come_again(self, token: str) -> bool:
        try:
            await self.asks(token)
        except KeysUnavailable:
            return True
        return False

    def remembers(self, token: str) -> bool:
        return self.verifier.remembered(token.encode()) is not None

    def with_unknown_key(self, sub: str = "mallory") -> str:
        return self.issuer.token(sub, key=SigningKey("EdDSA", new_private("EdDSA")))


def run(story: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(story())  # type: ignore[arg-type]


async def eventually(holds: Callable[[], Awaitable[Any]], seconds: float = 5) -> bool:
    """Whether it comes true before long."""
    deadline = time.monotonic() + seconds
    while not await holds():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.01)
    return True


class Stopwatch:
    def __init__(self) -> None:
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began


# Fetching


def test_one_fetch_serves_all(issuer: Issuer) -> None:
    async def story() -> None:
        async with Asking(issuer) as api:
            tokens = [issuer.token(f"user {number}") for number in range(50)]

            assert all(await asyncio.gather(*(api.asks(token) for token in tokens)))

            assert issuer.requests == 1

    run(story)


def test_a_new_key_is_fetched_when_it_first_appears(issuer: Issuer) -> None:
    async def story() -> None:
        async with Asking(issuer, pause=0) as api:
            old = issuer.token()
            assert await api.asks(old)
            issuer.rotate()

            tokens = [issuer.token(f"user {number}") for number in range(50)]
            assert all(await asyncio.gather(*(api.asks(token) for token in tokens)))

            assert await api.asks(old)
            assert issuer.requests == 2

    run(story)


def test_made_up_keys_cause_one_fetch_in_a_pause(issuer: Issuer) -> None:
    async def story() -> None:
        async with Asking(issuer, pause=0.5) as api:
            assert await api.asks(issuer.token())
            for _ in range(50):
                assert not await api.asks(api.with_unknown_key())
            assert issuer.requests == 1 + 1
            await asyncio.sleep(0.55)

            tokens = [api.with_unknown_key() for _ in range(50)]
            assert not any(await asyncio.gather(*(api.asks(token) for token in tokens)))
            for token in tokens:
                assert not await api.asks(token)

            assert issuer.requests == 1 + 2

    run(story)


def test_made_up_keys_do_not_delay_others(issuer: Issuer) -> None:
    async def story() -> None:
        async with Asking(issuer, pause=0) as api:
            assert await api.asks(issuer.token())
            issuer.hangs()
            waiting = [asyncio.create_task(api.asks(api.with_unknown_key())) for _ in range(20)]
            await asyncio.sleep(0.1)
            watch = Stopwatch()

            assert all([await api.asks(issuer.token(f"user {number}")) for number in range(20)])

            assert watch.seconds < QUICKLY
            assert issuer.requests == 2
            assert not any(each.done() for each in waiting)
            issuer.recovers()
            await asyncio.gather(*waiting, return_exceptions=True)

    run(story)


def test_who_leaves_while_it_is_fetched_does_not_end_it_for_others(issuer: Issuer) -> None:
    async def story() -> None:
        issuer.is_slow(0.3)
        async with Asking(issuer) as api:
            leaving = asyncio.create_task(api.asks(issuer.token("bob")))
            staying = asyncio.create_task(api.asks(issuer.token("alice")))
            await asyncio.sleep(0.1)
            leaving.cancel()

            assert await staying
            assert leaving.cancelled()
            assert issuer.requests == 1

    run(story)


def test_keys_are_kept_fresh_without_anybody_asking(issuer: Issuer) -> None:
    async def story() -> None:
        async with Asking(issuer, interval=0.05):
            await asyncio.sleep(0.5)
            assert 3 <= issuer.requests <= 11
        await asyncio.sleep(0.1)  # one may be on its way
        stopped = issuer.requests
        await asyncio.sleep(0.2)
        assert issuer.requests == stopped

    run(story)


def test_fetching_stops_in_the_midst_of_it(issuer: Issuer) -> None:
    async def story() -> None:
        issuer.hangs()
        async with Asking(issuer):
            await asyncio.sleep(0.1)
            watch = Stopwatch()
        assert watch.seconds < QUICKLY
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(story)


def test_a_withdrawn_key_verifies_nothing_any_more_not_even_what_is_remembered(
    issuer: Issuer,
) -> None:
    async def story() -> None:
        async with Asking(issuer, interval=0.05) as api:
            old = issuer.token("alice")
            assert await api.asks(old)
            issuer.rotate(forget=True)
            new = issuer.token("alice")

            assert await eventually(lambda: api.asks(new))

            assert not api.remembers(old)
            assert await api.asks(old) is None
            assert api.remembers(new)

    run(story)


def test_a_key_that_changes_under_its_id_verifies_nothing_of_before(issuer: Issuer) -> None:
    async def story() -> None:
        async with Asking(issuer, interval=0.05) as api:
            old = issuer.token("alice")
            assert await api.asks(old)
            changed = SigningKey("EdDSA", new_private("EdDSA"), kid=issuer.key.kid)
            issuer.published = [changed.jwk]

            assert await eventually(lambda: api.asks(issuer.token("alice", key=changed)))

            assert not api.remembers(old)
            assert await api.asks(old) is None

    run(story)


def test_a_key_that_stays_verifies_what_is_remembered(issuer: Issuer) -> None:
    async def story() -> None:
        async with Asking(issuer, interval=0.05, longest_outage=OUTAGE) as api:
            token = issuer.token("alice")
            assert await api.asks(token)
            issuer.rotate()

            assert await eventually(lambda: api.asks(issuer.token("bob")))
            await asyncio.sleep(OUTAGE)

            assert api.remembers(token)

    run(story)


# Outages

MISFORTUNES: dict[str, Callable[[Issuer], None]] = {
    "it is gone": Issuer.stops,
    "it hangs": Issuer.hangs,
    "it sends byte by byte": Issuer.drips,
    "it answers 500, with keys": Issuer.fails,
    "it answers 404, with keys": lambda issuer: issuer.fails(404),
    "it answers 203, with keys": lambda issuer: issuer.fails(203),
    "it answers garbage": lambda issuer: issuer.says(b"<html>Under maintenance</html>"),
    "it answers nothing": lambda issuer: issuer.says(b""),
    "it answers half": lambda issuer: issuer.says(issuer.document[:-9]),
    "it breaks off": lambda issuer: issuer.says(issuer.document[:-9], content_length="9999"),
    "it answers with null": lambda issuer: issuer.says(b"null"),
    "it answers with broken keys": lambda issuer: issuer.says(b'{"keys":[{"kid":"x"}]}'),
    "it answers without end": Issuer.is_huge,
    "it answers with keys and an end far away": lambda issuer: issuer.is_huge(LARGEST),
    "it compresses": lambda issuer: issuer.says(
        gzip.compress(issuer.document), content_encoding="gzip"
    ),
    "it answers with a key in PEM": lambda issuer: issuer.says(issuer.key.pem.encode()),
}


@pytest.mark.parametrize("befall", MISFORTUNES.values(), ids=MISFORTUNES)
def test_keys_outlive_an_outage_and_nobody_waits_when(
    issuer: Issuer, befall: Callable[[Issuer], None]
) -> None:
    async def story() -> None:
        async with Asking(issuer, interval=0.1, pause=0.1, timeout=0.3) as api:
            remembered = issuer.token("bob")
            assert await api.asks(remembered)
            good = [issuer.token(f"user {number}") for number in range(10)]
            unknown = [api.with_unknown_key() for _ in range(10)]
            befall(issuer)
            await asyncio.sleep(0.6)

            watch = Stopwatch()
            assert all([await api.asks(token) for token in good])
            assert all([await api.is_told_to_come_again(token) for token in unknown])

            assert watch.seconds < QUICKLY
            assert api.remembers(remembered)

    run(story)


@pytest.mark.parametrize("befall", MISFORTUNES.values(), ids=MISFORTUNES)
def test_with_no_key_at_all_everybody_is_told_to_come_again_when(
    issuer: Issuer, befall: Callable[[Issuer], None]
) -> None:
    async def story() -> None:
        befall(issuer)
        async with Asking(issuer, pause=0.1, timeout=0.3) as api:
            watch = Stopwatch()
            assert await api.is_told_to_come_again(issuer.token())
            assert watch.seconds < 0.3 + QUICKLY

            watch = Stopwatch()
            for _ in range(20):
                assert await api.is_told_to_come_again(issuer.token())
            assert watch.seconds < QUICKLY

    run(story)


@pytest.mark.parametrize("has_keys", [True, False])
def test_in_an_outage_nobody_waits_for_what_is_tried_again(issuer: Issuer, has_keys: bool) -> None:
    async def story() -> None:
        if not has_keys:
            issuer.fails()
        async with Asking(issuer, interval=0.1, pause=0.1) as api:
            assert await api.is_told_to_come_again(issuer.token()) is not has_keys
            issuer.fails()
            await asyncio.sleep(0.3)
            issuer.hangs()
            await asyncio.sleep(0.3)
            token, watch = api.with_unknown_key(), Stopwatch()

            assert await api.is_told_to_come_again(token)

            assert watch.seconds < QUICKLY

    run(story)


@pytest.mark.parametrize("pause", [0.2, 5.0])
def test_after_a_failure_there_is_a_pause(issuer: Issuer, pause: float) -> None:
    async def story() -> None:
        issuer.fails()
        async with Asking(issuer, pause=pause) as api:
            watch = Stopwatch()
            while watch.seconds < 1.1:
                assert await api.is_told_to_come_again(issuer.token())
                await asyncio.sleep(0.02)

        assert issuer.requests in ({1} if pause > 1 else {3, 4, 5, 6})

    run(story)


def test_when_the_issuer_is_back_so_are_its_keys(issuer: Issuer) -> None:
    async def story() -> None:
        issuer.stops()
        async with Asking(issuer, pause=0.1) as api:
            assert await api.is_told_to_come_again(issuer.token())
            issuer.starts()
            await asyncio.sleep(0.3)

            assert await api.asks(issuer.token())

    run(story)


def test_keys_are_not_trusted_for_ever(issuer: Issuer) -> None:
    async def story() -> None:
        async with Asking(issuer, interval=0.1, pause=0.1, longest_outage=OUTAGE) as api:
            token = issuer.token()
            assert await api.asks(token)
            issuer.fails()
            await asyncio.sleep(OUTAGE / 2)
            assert api.remembers(token)
            await asyncio.sleep(OUTAGE)

            assert not api.remembers(token)
            assert await api.is_told_to_come_again(token)
            issuer.recovers()
            await asyncio.sleep(0.3)
            assert api.remembers(token)
            assert await api.asks(issuer.token("bob"))

    run(story)


def test_an_outage_is_told_once_and_so_is_its_end(
    issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with Asking(issuer, interval=0.05, pause=0.05) as api:
            assert await api.asks(issuer.token())
            issuer.fails()
            await asyncio.sleep(0.5)
            issuer.recovers()
            await asyncio.sleep(0.2)

    caplog.set_level("INFO", "errand.tokens")
    run(story)

    assert [record.getMessage() for record in caplog.records] == [
        f"The keys of tokens cannot be had from {issuer.jwks_url}: the answer is 500, not 200",
        f"The keys of tokens can be had again from {issuer.jwks_url}",
    ]


def test_a_redirect_is_not_followed(issuer: Issuer) -> None:
    async def story() -> None:
        with running_issuer() as elsewhere:
            issuer.redirects_to(elsewhere.jwks_url)
            async with Asking(issuer) as api:
                assert await api.is_told_to_come_again(elsewhere.token(iss=issuer.url))
            assert elsewhere.requests == 0

    run(story)


# The address


@pytest.mark.parametrize(
    "url",
    [
        "https://auth.example.org/jwks",
        "http://localhost:3000/jwks",
        "http://127.0.0.1/jwks",
        "http://127.1.2.3/jwks",
        "http://[::1]:3000/jwks",
        "HTTP://LOCALHOST/jwks",
    ],
)
def test_an_address_is_secure_or_on_this_machine(url: str) -> None:
    assert checked_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://auth.example.org/jwks",
        "http://localhost.example.org/jwks",
        "http://127.0.0.1.example.org/jwks",
        "http://10.0.0.1/jwks",
        "http://0.0.0.0/jwks",
        "http://127.0.0.1@auth.example.org/jwks",
        "https://user:password@auth.example.org/jwks",
        "file:///etc/passwd",
        "ftp://localhost/jwks",
        "localhost/jwks",
        "https:///jwks",
        "https://[::1/jwks",
        "",
    ],
)
def test_no_other_address_is_taken(url: str) -> None:
    with pytest.raises(UnusableKeys, match=r"URL|https"):
        keys_at(url)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1 that signs itself, with its key."""
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    private, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Errand's tests")])
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    signed = (
        x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )
    path.write_bytes(
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + signed.public_bytes(Encoding.PEM)
    )
    return path


@pytest.fixture
def secure(certificate: Path) -> Iterator[Issuer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with running_issuer(tls=context) as running:
        yield running


def test_an_issuer_that_no_authority_vouches_for_is_not_asked(secure: Issuer) -> None:
    async def story() -> None:
        async with Asking(secure) as api:
            assert await api.is_told_to_come_again(secure.token())
        assert secure.requests == 0

    run(story)


def test_ssl_cert_file_names_the_authorities(
    secure: Issuer, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    async def story() -> None:
        async with Asking(secure) as api:
            assert await api.asks(secure.token())

    run(story)


@pytest.mark.parametrize("content", [None, "", "-----BEGIN CERTIFICATE-----"])
def test_authorities_that_cannot_be_read_are_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    authorities = tmp_path / "authorities.pem"
    if content is not None:
        authorities.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(authorities))

    with pytest.raises(UnusableKeys, match="SSL_CERT_FILE"):
        keys_at("https://auth.example.org/jwks")


def test_a_certificate_of_another_name_is_refused(
    secure: Issuer, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    elsewhere = keys_at(secure.jwks_url.replace("127.0.0.1", "localhost"))

    async def story() -> None:
        async with Asking(secure, elsewhere) as api:
            assert await api.is_told_to_come_again(secure.token())

    run(story)


def test_no_proxy_comes_between_programs_of_one_machine(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")

    async def story() -> None:
        async with Asking(issuer) as api:
            assert await api.asks(issuer.token())

    run(story)


# Files and settings


def test_a_file_holds_a_set_of_keys_or_one_in_pem(issuer: Issuer, tmp_path: Path) -> None:
    async def story() -> None:
        path = tmp_path / "keys"
        for content in (issuer.document, issuer.key.pem.encode(), b"\n" + issuer.key.pem.encode()):
            path.write_bytes(content)
            async with Asking(issuer, keys_in_file(path)) as api:
                assert await api.asks(issuer.token())

    run(story)


def test_a_file_is_read_again_when_it_changes(issuer: Issuer, tmp_path: Path) -> None:
    async def story() -> None:
        path = tmp_path / "jwks.json"
        path.write_bytes(issuer.document)
        async with Asking(issuer, keys_in_file(path, interval=0.05)) as api:
            old = issuer.token()
            assert await api.asks(old)
            issuer.rotate(forget=True)
            path.write_bytes(issuer.document)

            assert await eventually(lambda: api.asks(issuer.token()))
            assert not api.remembers(old)

    run(story)


def test_a_new_key_in_a_file_is_found_at_once(issuer: Issuer, tmp_path: Path) -> None:
    async def story() -> None:
        path = tmp_path / "jwks.json"
        path.write_bytes(issuer.document)
        async with Asking(issuer, keys_in_file(path, interval=60, pause=0)) as api:
            assert await api.asks(issuer.token())
            issuer.rotate()
            path.write_bytes(issuer.document)

            assert await api.asks(issuer.token())

    run(story)


@pytest.mark.parametrize("content", [None, b"", b"{", b"-----BEGIN PUBLIC KEY-----"])
def test_a_file_that_breaks_leaves_the_keys_as_they_were(
    issuer: Issuer, tmp_path: Path, content: bytes | None
) -> None:
    async def story() -> None:
        path = tmp_path / "jwks.json"
        path.write_bytes(issuer.document)
        async with Asking(issuer, keys_in_file(path, interval=0.05, pause=0.05)) as api:
            if content is None:
                path.unlink()
            else:
                path.write_bytes(content)
            await asyncio.sleep(0.2)

            assert await api.asks(issuer.token())

    run(story)


@pytest.mark.parametrize("content", [None, b"", b"{}", b" " * (LARGEST + 1), b"ssh-ed25519 AAAA"])
def test_a_file_without_a_usable_key_is_refused_at_once(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "jwks.json"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(UnusableKeys):
        keys_in_file(path)


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "RS256", "PS256"])
@pytest.mark.parametrize("kid", [None, "any"])
def test_a_key_in_pem_verifies_whatever_id_a_token_names(algorithm: str, kid: str | None) -> None:
    async def story() -> None:
        with running_issuer(algorithm) as issuer:
            async with Asking(issuer, fixed_key(issuer.key.pem)) as api:
                assert await api.asks(issuer.token(header={"kid": kid}))
                assert not await api.asks(issuer.token(header={"kid": kid, "alg": "HS256"}))
            assert issuer.requests == 0

    run(story)


def private_pem(_: SigningKey) -> str:
    private = new_private("ES256")
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


UNUSABLE_PEM: dict[str, tuple[Callable[[SigningKey], str], str]] = {
    "nothing": (lambda _: "", "one key"),
    "garbage": (lambda _: "-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----", "no public"),
    "a private key": (private_pem, "private key"),
    "two keys": (lambda key: key.pem * 2, "one key"),
    "a weak RSA key": (lambda key: key.pem, "2048 to 8192 bits here, this one 1024"),
    "a key of another curve": (
        lambda _: SigningKey("ES384", new_private("ES384")).pem,
        "neither Ed25519 nor P-256 nor RSA",
    ),
}


@pytest.mark.parametrize(("pem", "why"), UNUSABLE_PEM.values(), ids=UNUSABLE_PEM)
def test_no_key_in_pem_is(weak: SigningKey, pem: Callable[[SigningKey], str], why: str) -> None:
    with pytest.raises(UnusableKeys, match=why):
        fixed_key(pem(weak))


# What is in a set of keys

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
def test_nothing_is_verified_and_nothing_else_spoilt_by_a_key_that_is(
    issuer: Issuer, algorithm: str, change: dict[str, Any]
) -> None:
    good = issuer.key
    other = SigningKey(algorithm, new_private(algorithm))
    other.jwk |= change
    issuer.published = [other.jwk, good.jwk]

    async def story() -> None:
        async with Asking(issuer) as api:
            assert await api.asks(issuer.token(key=good))
            assert not await api.asks(issuer.token(key=other))

    run(story)


def test_a_weak_key_verifies_nothing(issuer: Issuer, weak: SigningKey) -> None:
    issuer.published.append(weak.jwk)

    async def story() -> None:
        async with Asking(issuer) as api:
            assert await api.asks(issuer.token())
            assert not await api.asks(issuer.token(key=weak))

    run(story)


def test_a_secret_key_in_the_set_is_no_secret_and_verifies_nothing(issuer: Issuer) -> None:
    issuer.published.append({"kty": "oct", "k": "c2VjcmV0", "kid": "secret", "alg": "HS256"})

    async def story() -> None:
        async with Asking(issuer) as api:
            assert not await api.asks(issuer.token(header={"alg": "HS256", "kid": "secret"}))

    run(story)


def test_of_two_keys_of_one_id_the_first_counts(issuer: Issuer) -> None:
    first = issuer.key
    second = SigningKey("EdDSA", new_private("EdDSA"), kid=first.kid)
    issuer.published.append(second.jwk)

    async def story() -> None:
        async with Asking(issuer) as api:
            assert await api.asks(issuer.token(key=first))
            assert not await api.asks(issuer.token(key=second))

    run(story)


def test_what_is_left_out_of_a_set_is_told_once(
    issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    issuer.published.append({"kty": "oct", "k": "c2VjcmV0", "kid": "secret"})

    async def story() -> None:
        async with Asking(issuer, interval=0.05):
            await asyncio.sleep(0.3)

    run(story)

    assert [record.getMessage() for record in caplog.records] == [
        "Of a JWK set, 1 keys are left out: key 1: its kty is none of OKP, EC, RSA"
    ]


def test_a_key_that_is_published_with_its_secret_is_told_apart(issuer: Issuer) -> None:
    algorithm = get_algorithm_by_name("EdDSA")
    private = algorithm.to_jwk(issuer.key.private, True)

    with pytest.raises(UnusableKeys, match="private, and everybody can read it"):
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
def test_whatever_stands_beside_it_a_good_key_is_used(others: list[Any]) -> None:
    document = json.dumps({"keys": [*others, GOOD.jwk]}).encode()

    assert GOOD.kid in jwk_set(document)


@property_settings(200)
@given(document=st.binary(max_size=50) | ANYTHING.map(lambda value: json.dumps(value).encode()))
def test_no_document_is_a_set_of_keys_by_chance(document: bytes) -> None:
    for read in (jwk_set, pem_key):
        with pytest.raises(UnusableKeys):
            read(document)


GOOD = SigningKey("EdDSA", new_private("EdDSA"))


def test_better_auth_publishes_its_keys_here(issuer: Issuer) -> None:
    assert issuer.jwks_url == issuer.url + JWKS_PATH == issuer.url + "/api/auth/jwks"
    assert issuer.key.jwk.keys() == {"alg", "crv", "kty", "x", "kid"}


def test_keys_can_be_revoked_down_to_none(issuer: Issuer) -> None:
    async def story() -> None:
        async with Asking(issuer, interval=0.05, pause=0) as api:
            token = issuer.token()
            assert await api.asks(token)

            issuer.published = []
            await asyncio.sleep(0.5)

            assert not await api.asks(token)

    run(story)
