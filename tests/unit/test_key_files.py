"""Keys in a file, and a single key in the settings."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from openapi.access.key_sources import LARGEST, fixed_key, keys_in_file
from openapi.access.keys import UnusableKeys
from tests.support.issuer import Issuer, SigningKey, new_private, running_issuer
from tests.support.verifying import RunningVerifier, eventually, run


def test_file_holds_a_key_set_or_one_key_in_pem(issuer: Issuer, tmp_path: Path) -> None:
    async def scene() -> None:
        path = tmp_path / "keys"
        for content in (issuer.document, issuer.key.pem.encode(), b"\n" + issuer.key.pem.encode()):
            path.write_bytes(content)
            async with RunningVerifier(issuer, keys_in_file(path)) as api:
                assert await api.verify(issuer.token())

    run(scene)


def test_changed_file_is_read_again(issuer: Issuer, tmp_path: Path) -> None:
    async def scene() -> None:
        path = tmp_path / "jwks.json"
        path.write_bytes(issuer.document)
        async with RunningVerifier(issuer, keys_in_file(path, interval=0.05)) as api:
            old = issuer.token()
            assert await api.verify(old)
            issuer.rotate(forget=True)
            path.write_bytes(issuer.document)

            assert await eventually(lambda: api.verify(issuer.token()))
            assert not api.remembers(old)

    run(scene)


def test_new_key_in_a_file_is_found_at_once(issuer: Issuer, tmp_path: Path) -> None:
    async def scene() -> None:
        path = tmp_path / "jwks.json"
        path.write_bytes(issuer.document)
        async with RunningVerifier(issuer, keys_in_file(path, interval=60, pause=0)) as api:
            assert await api.verify(issuer.token())
            issuer.rotate()
            path.write_bytes(issuer.document)

            assert await api.verify(issuer.token())

    run(scene)


@pytest.mark.parametrize("content", [None, b"", b"{", b"-----BEGIN PUBLIC KEY-----"])
def test_broken_file_leaves_the_keys_as_they_were(
    issuer: Issuer, tmp_path: Path, content: bytes | None
) -> None:
    async def scene() -> None:
        path = tmp_path / "jwks.json"
        path.write_bytes(issuer.document)
        async with RunningVerifier(issuer, keys_in_file(path, interval=0.05, pause=0.05)) as api:
            if content is None:
                path.unlink()
            else:
                path.write_bytes(content)
            await asyncio.sleep(0.2)

            assert await api.verify(issuer.token())

    run(scene)


@pytest.mark.parametrize("content", [None, b"", b"{}", b" " * (LARGEST + 1), b"ssh-ed25519 AAAA"])
def test_file_without_a_usable_key_is_refused_at_start(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "jwks.json"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(UnusableKeys):
        keys_in_file(path)


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "RS256", "PS256"])
@pytest.mark.parametrize("kid", [None, "any"])
def test_pem_key_verifies_tokens_of_any_key_id(algorithm: str, kid: str | None) -> None:
    async def scene() -> None:
        with running_issuer(algorithm) as issuer:
            async with RunningVerifier(issuer, fixed_key(issuer.key.pem)) as api:
                assert await api.verify(issuer.token(header={"kid": kid}))
                assert not await api.verify(issuer.token(header={"kid": kid, "alg": "HS256"}))
            assert issuer.requests == 0

    run(scene)


def private_pem(_: SigningKey) -> str:
    private = new_private("ES256")
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


UNUSABLE_PEM: dict[str, tuple[Callable[[SigningKey], str], str]] = {
    "nothing": (lambda _: "", "one key"),
    "garbage": (
        lambda _: "-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----",
        "not a public key",
    ),
    "a private key": (private_pem, "private key"),
    "two keys": (lambda key: key.pem * 2, "one key"),
    "a weak RSA key": (lambda key: key.pem, "2048 to 8192 bits here, this one 1024"),
    "a key of another curve": (
        lambda _: SigningKey("ES384", new_private("ES384")).pem,
        "neither Ed25519 nor P-256 nor RSA",
    ),
}


@pytest.mark.parametrize(("pem", "why"), UNUSABLE_PEM.values(), ids=UNUSABLE_PEM)
def test_pem_is_refused_that_is(
    weak: SigningKey, pem: Callable[[SigningKey], str], why: str
) -> None:
    with pytest.raises(UnusableKeys, match=why):
        fixed_key(pem(weak))
