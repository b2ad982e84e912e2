"""Opaque tokens: signed by the server, given to a client, and verified when they come back."""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from functools import lru_cache
from uuid import UUID

from db.database import Session
from db.tasks import statements

MAC_LENGTH = 16


class Forged(ValueError):
    """The token was not signed with this key, for this purpose and user."""


class Signer:
    """Signs tokens, and verifies them."""

    def __init__(self, key: bytes) -> None:
        self._mac_of_nothing = hmac.new(key, digestmod="sha256")

    def sign(self, content: bytes, purpose: str, user_id: UUID) -> str:
        """A token of the content: URL-safe text."""
        return _text(content + self._mac(content, purpose, user_id))

    def verify(self, token: str, purpose: str, user_id: UUID) -> bytes:
        """The content of the token; raises `Forged`."""
        signed = _bytes(token)
        content, mac = signed[:-MAC_LENGTH], signed[-MAC_LENGTH:]
        if not hmac.compare_digest(mac, self._mac(content, purpose, user_id)):
            raise Forged
        return content

    def _mac(self, content: bytes, purpose: str, user_id: UUID) -> bytes:
        # The user id has 16 bytes, and the purpose ends with NUL: the message is unambiguous.
        message = user_id.bytes + purpose.encode() + b"\0" + content
        # A copy, because to begin with the key takes longer than the message.
        mac = self._mac_of_nothing.copy()
        mac.update(message)
        return mac.digest()[:MAC_LENGTH]


async def read_signer(database: Session) -> Signer:
    """The signer with the key that all servers of this database share."""
    [(key,)] = await database.fetch_constant(statements.SIGNING_KEY)
    return _signer(bytes(key))


@lru_cache
def _signer(key: bytes) -> Signer:
    return Signer(key)


def _text(signed: bytes) -> str:
    return urlsafe_b64encode(signed).rstrip(b"=").decode()


def _bytes(token: str) -> bytes:
    try:
        signed = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except ValueError:
        raise Forged from None
    # The decoder ignores some bits and characters: accept only the text that the server wrote.
    if _text(signed) != token:
        raise Forged
    return signed
