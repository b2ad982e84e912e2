"""Where an issuer's keys may be fetched from, and which certificates are accepted."""

import ipaddress
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from openapi.access.key_sources import checked_url, keys_at
from openapi.access.keys import UnusableKeys
from tests.support.issuer import Issuer, running_issuer
from tests.support.verifying import RunningVerifier, run


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
def test_url_is_https_or_loopback(url: str) -> None:
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
def test_any_other_url_is_refused(url: str) -> None:
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


def test_certificate_of_an_unknown_authority_is_refused(secure: Issuer) -> None:
    async def scene() -> None:
        async with RunningVerifier(secure) as api:
            assert await api.has_no_keys_for(secure.token())
        assert secure.requests == 0

    run(scene)


def test_ssl_cert_file_names_the_authorities(
    secure: Issuer, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    async def scene() -> None:
        async with RunningVerifier(secure) as api:
            assert await api.verify(secure.token())

    run(scene)


@pytest.mark.parametrize("content", [None, "", "-----BEGIN CERTIFICATE-----"])
def test_unreadable_ssl_cert_file_stops_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    authorities = tmp_path / "authorities.pem"
    if content is not None:
        authorities.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(authorities))

    with pytest.raises(UnusableKeys, match="SSL_CERT_FILE"):
        keys_at("https://auth.example.org/jwks")


def test_certificate_of_another_name_is_refused(
    secure: Issuer, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    elsewhere = keys_at(secure.jwks_url.replace("127.0.0.1", "localhost"))

    async def scene() -> None:
        async with RunningVerifier(secure, elsewhere) as api:
            assert await api.has_no_keys_for(secure.token())

    run(scene)


def test_loopback_issuer_is_asked_without_a_proxy(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")

    async def scene() -> None:
        async with RunningVerifier(issuer) as api:
            assert await api.verify(issuer.token())

    run(scene)
