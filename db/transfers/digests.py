"""The digest of what is exported, which shows that a file is complete and has all its revisions."""

from hashlib import sha256

from db.schema.digests import MODULUS


def digest_with(digest: int, revision: int) -> int:
    """The digest with one more revision, as `db.schema.digests` has it."""
    added = int.from_bytes(sha256(str(revision).encode()).digest()[:6], "big")
    return (digest + added) % MODULUS
