"""What an import counts: lists and tasks, and the user's revisions and moments."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from db.tasks.dates import rfc_3339
from db.tasks.draft import MICROSECOND


class Limits(NamedTuple):
    """How much is stored for one user."""

    tasks: int
    lists: int


@dataclass
class Counts:
    """How many lists or tasks of the file are new, differ from the stored ones, or do not."""

    created: int = 0
    changed: int = 0
    unchanged: int = 0

    @property
    def written(self) -> int:
        """How many are written."""
        return self.created + self.changed


class Stamps:
    """The user's latest revision and moment."""

    def __init__(self, revision: int, moment: str) -> None:
        self.revision = revision
        self.now = moment
        self._moment = datetime.fromisoformat(moment)

    @property
    def moment(self) -> str:
        """The moment as the server writes all."""
        return rfc_3339(self._moment)

    def next(self) -> dict[str, Any]:
        """Those of the next change."""
        self.revision += 1
        self._moment += MICROSECOND
        return {"revision": self.revision, "updated_at": self.moment}
