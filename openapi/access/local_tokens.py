"""Local tokens, to try the server without an issuer: `errand token` signs them."""

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

from db.private_files import read_private, require_private_folder
from openapi.settings import WrongSettings

ISSUER = AUDIENCE = "errand-local"
FILE = "token-key.pem"


def issue(folder: Path, subject: str, lifetime: timedelta) -> str:
    """A token for the subject, signed with the key in the folder."""
    now = datetime.now(UTC)
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": subject,
        "iat": now,
        "exp": now + lifetime,
    }
    return jwt.encode(claims, _private_key(folder), algorithm="EdDSA", headers={"typ": "at+jwt"})


def public_key(folder: Path) -> str:
    """The key that verifies these tokens, in PEM."""
    public = _private_key(folder).public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _private_key(folder: Path) -> Ed25519PrivateKey:
    """The key in the folder; it is created when it is first needed."""
    path = folder.expanduser() / FILE
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        require_private_folder(path.parent)
        if not path.exists():
            _make(path)
        key = load_pem_private_key(read_private(path), password=None)
    except (OSError, ValueError) as error:
        raise WrongSettings(f"The key of local tokens cannot be used: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise WrongSettings(f"{path} is not a key of local tokens: remove it")
    return key


def _make(path: Path) -> None:
    """Create the key file atomically: of several processes, one creates it."""
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    descriptor, draft = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
    with suppress(FileExistsError):
        os.link(draft, path)
    Path(draft).unlink()
