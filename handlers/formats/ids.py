"""Ids of tasks that have none which is a UUID: made from what the file has of them.

They are made for one user, and the same for the same file: so a second import finds them again.
"""

from collections import Counter
from hashlib import sha256
from uuid import UUID, uuid5

import orjson


def id_from(user_id: UUID, text: str) -> str:
    """The id itself if it is a UUID, or one that is made from the user's and this one."""
    try:
        return str(UUID(text))
    except ValueError:
        return str(uuid5(user_id, text))


class Numbering:
    """Ids of tasks without any: those with the same content are numbered."""

    def __init__(self, user_id: UUID) -> None:
        self._user_id = user_id
        self._counts: Counter[bytes] = Counter()

    def id_of(self, *content: str | None) -> str:
        """The id of the next task with this content."""
        digest = sha256(orjson.dumps(content)).digest()[:16]
        self._counts[digest] += 1
        return str(uuid5(self._user_id, f"{digest.hex()} {self._counts[digest]}"))
