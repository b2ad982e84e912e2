"""Tokens of one's own making, to try the server as it is with an issuer, without having one."""

import os
import tempfile
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

ISSUER = AUDIENCE = "errand-local"
FILE = "token-key.pem"


def issue(folder: Path, subject: str, lifetime: timedelta) -> str:
    """A token for that subject, signed with the key of this folder."""
    now = datetime.now(UTC)
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": subject,
        "iat": now,
        "exp": now + lifetime,
    }
    return jwt.encode(claims, _private_key(folder), algorithm="EdDSA")


def public_key(folder: Path) -> str:
    """What those tokens are checked with."""
    public = _private_key(folder).public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _private_key(folder: Path) -> Ed25519PrivateKey:
    """The key, which is made when it is first needed."""
    path = folder.expanduser() / FILE
    if not path.exists():
        _make(path)
    key = load_pem_private_key(path.read_bytes(), password=None)
    assert isinstance(key, Ed25519PrivateKey), f"{path} was not written by errand"
    return key


def _make(path: Path) -> None:
    """Write it beside and link it, so that of several processes one makes it, and whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    descriptor, draft = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
    with suppress(FileExistsError):
        os.link(draft, path)
    Path(draft).unlink()
