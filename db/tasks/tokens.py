"""What a client is given to bring back: unreadable, and refused if anything about it is changed."""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from uuid import UUID

from db.database import Session
from db.tasks import statements

MAC_LENGTH = 16


class Forged(ValueError):
    """It was not sealed by this key, for this purpose and user."""


class Seal:
    """Puts a key on what is given away, and knows it again."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def close(self, content: bytes, purpose: str, user_id: UUID) -> str:
        """The content as a token: URL-safe text."""
        return _text(content + self._mac(content, purpose, user_id))

    def open(self, token: str, purpose: str, user_id: UUID) -> bytes:
        """The content of a token, or `Forged`."""
        sealed = _bytes(token)
        content, mac = sealed[:-MAC_LENGTH], sealed[-MAC_LENGTH:]
        if not hmac.compare_digest(mac, self._mac(content, purpose, user_id)):
            raise Forged
        return content

    def _mac(self, content: bytes, purpose: str, user_id: UUID) -> bytes:
        # The user's 16 bytes and the purpose's end set the three apart: no two ways to read them.
        message = user_id.bytes + purpose.encode() + b"\0" + content
        return hmac.digest(self._key, message, "sha256")[:MAC_LENGTH]


async def the_seal(database: Session) -> Seal:
    """The seal that all servers of this database share."""
    [(key,)] = await database.fetch_constant(statements.SEAL)
    return Seal(bytes(key))


def _text(sealed: bytes) -> str:
    return urlsafe_b64encode(sealed).rstrip(b"=").decode()


def _bytes(token: str) -> bytes:
    try:
        sealed = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except ValueError:
        raise Forged from None
    # Base64 is read leniently, and has bits that mean nothing: there is but one right spelling.
    if _text(sealed) != token:
        raise Forged
    return sealed
