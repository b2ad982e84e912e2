"""Errors of the data layer, as facts of the domain: without status codes, without SQL."""

from datetime import timedelta
from typing import Any, ClassVar, NamedTuple


class DomainError(Exception):
    """Base of all errors that the data layer raises on purpose; clients may read the text."""

    is_final: bool = True
    """Whether the error is the outcome of the request, to be replayed if it is sent again."""


class TaskNotFound(DomainError):
    """The user has no task of that id, or had one and deleted it."""


class ListNotFound(DomainError):
    """The user has no list of that id, or had one and deleted it."""


class CalendarNotFound(DomainError):
    """The user has no calendar, or the secret is not that of one."""


class VersionRequired(DomainError):
    """The operation does not name the version of the task that it changes."""

    is_final = False


class TooManyTasks(DomainError):
    """The user has as many tasks as the server stores for one, those in the trash included."""

    is_final = False


class TooManyLists(DomainError):
    """The user has as many lists as the server stores for one, those in the trash included."""

    is_final = False


class KeyReused(DomainError):
    """The user has sent another request with the same key."""


class KeyInUse(DomainError):
    """A request with the same key is still being processed."""


class TooManyReplays(DomainError):
    """The server stores no more responses for the user, until one expires in `wait`."""

    is_final = False

    def __init__(self, detail: str, wait: timedelta = timedelta()) -> None:
        super().__init__(detail)
        self.wait = wait


class ArgumentRefused(DomainError):
    """An argument is valid for its schema, but not for the stored data."""

    argument: ClassVar[str]


class CursorRefused(ArgumentRefused):
    """The cursor was not made for this list of this user."""

    argument = "cursor"


class OrderRefused(ArgumentRefused):
    """The list has no such order."""

    argument = "sort"


class SinceRefused(ArgumentRefused):
    """The token was not made by this user's change feed."""

    argument = "since"


class FieldRefused(DomainError):
    """A field is valid for its schema, but not for the stored data."""

    is_final = False

    def __init__(self, detail: str, field: str = "") -> None:
        super().__init__(detail)
        self.field = field


class LineFault(NamedTuple):
    """What is wrong with a line of a file."""

    detail: str
    line: int | None = None
    pointer: str = ""


class LinesRefused(DomainError):
    """A file has faults, and nothing of it was imported."""

    is_final = False

    def __init__(self, faults: list[LineFault]) -> None:
        super().__init__(f"{len(faults)} faults")
        self.faults = faults


class LastEventIdRefused(ArgumentRefused):
    """The same, for a stream that goes on after its last event."""

    argument = "Last-Event-ID"


class ChangesForgotten(DomainError):
    """The change feed cannot continue at the token: tombstones after it have been purged."""


class Contradiction(DomainError):
    """The request contradicts the task or list `current`, which may be in the trash."""

    about: ClassVar[str] = "task"

    def __init__(self, detail: str, current: dict[str, Any] | None = None) -> None:
        super().__init__(detail)
        self.current = current


class TaskChanged(Contradiction):
    """The task does not have the version that the request expects."""


class IdTaken(Contradiction):
    """The user has, or had, a task with the id of the new one."""


class TaskExists(Contradiction):
    """The same, for a request that allows no such task (`If-None-Match: *`)."""


class ListChanged(Contradiction):
    """The list does not have the version that the request expects."""

    about = "list"


class ListIdTaken(Contradiction):
    """The user has, or had, a list with the id of the new one."""

    about = "list"


class ListExists(Contradiction):
    """The same, for a request that allows no such list (`If-None-Match: *`)."""

    about = "list"


class Refused(NamedTuple):
    """An operation of a batch that was not done, and why."""

    operation: int
    """Its index in the batch."""

    kind: type[DomainError]
    detail: str
    current: dict[str, Any] | None
    """The task that it contradicts."""

    field: str | None = None
    """The field of the operation that is refused."""

    @classmethod
    def because_of(cls, error: DomainError, operation: int) -> "Refused":
        """The error as a value."""
        current = error.current if isinstance(error, Contradiction) else None
        field = error.field if isinstance(error, FieldRefused) else None
        return cls(operation, type(error), str(error), current, field)


class BatchRefused(DomainError):
    """One operation of an atomic batch was refused, and the others were undone."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.detail)
        self.refused = refused
        self.is_final = refused.kind.is_final


class Unavailable(DomainError):
    """The database cannot serve this request now; a later try may succeed."""

    is_final = False


class BackupFailed(Exception):
    """A backup or a restoration cannot be done, or did not give the same data."""


class DatabaseAway(Unavailable):
    """There is no connection to the database, or it accepts no changes."""


class ShardMoved(DatabaseAway):
    """The node of a Citus cluster that was asked does not have the user's data (any more)."""


class Overloaded(Unavailable):
    """The request would have had to wait too long: for a connection, or for another change."""


class DatabaseFailing(Unavailable):
    """The database lacks disk, memory or connections, or cannot use them; it changed nothing."""


class ConnectionLost(Unavailable):
    """The connection broke during a write, which may have been committed or not."""


class StatementTimedOut(Unavailable):
    """The database did not finish a statement within its time."""


class UnfitRole(Exception):
    """Row-level security does not apply to the role of the server."""


class UnfitDatabase(Exception):
    """The database is not as the server found it when it started."""


class OwnerLost(Exception):
    """A statement runs without its owner, so that it would find no rows."""


class ConnectionRefused(Exception):
    """The database refuses our role, password or database name; a later attempt would fail, too."""


class SchemaOutdated(Exception):
    """The database's schema is not the one that this version needs."""


class NotDistributable(Exception):
    """The tables cannot be distributed over a cluster; the message says why."""


class EmbeddedPostgresError(Exception):
    """The embedded PostgreSQL cannot run; the message says how to fix that."""
