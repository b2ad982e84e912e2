"""What can go wrong with the data, in the words of the domain; no status codes, no SQL."""

from typing import Any, ClassVar, NamedTuple


class DomainError(Exception):
    """Base of everything that the data layer raises on purpose; its text is fit for a client."""

    is_final: bool = True
    """Whether the same request, sent again, would deserve the same response."""


class TaskNotFound(DomainError):
    """The user has no task of that id, or had one and deleted it."""


class VersionRequired(DomainError):
    """The operation does not say which version of the task it is about."""

    is_final = False


class KeyReused(DomainError):
    """The user has sent another request with the key of this one."""


class KeyInUse(DomainError):
    """A request with the same key is still being answered."""


class ArgumentRefused(DomainError):
    """An argument is of the right form, but the data does not bear it out."""

    argument: ClassVar[str]


class CursorRefused(ArgumentRefused):
    """The cursor is not one that this user was given for this list."""

    argument = "cursor"


class SinceRefused(ArgumentRefused):
    """The token is not one that this user's change feed has given."""

    argument = "since"


class ChangesForgotten(DomainError):
    """The feed cannot be continued from there: something that was to be told is known no more."""


class Contradiction(DomainError):
    """What is there stands against the request; `current` is the task, be it in the trash."""

    def __init__(self, detail: str, current: dict[str, Any] | None = None) -> None:
        super().__init__(detail)
        self.current = current


class TaskChanged(Contradiction):
    """The task is not as the request expects it."""


class IdTaken(Contradiction):
    """The user has, or had, a task of the id that the request brings for a new one."""


class TaskExists(Contradiction):
    """The same, where the request says that there must be none."""


class Refused(NamedTuple):
    """An operation of a batch that was not done, and why."""

    operation: int
    """Its index in the batch."""

    kind: type[DomainError]
    detail: str
    current: dict[str, Any] | None
    """The task that it contradicts."""

    @classmethod
    def because_of(cls, error: DomainError, operation: int) -> "Refused":
        """The error as a value."""
        current = error.current if isinstance(error, Contradiction) else None
        return cls(operation, type(error), str(error), current)


class BatchRefused(DomainError):
    """One operation of an atomic batch was refused, and the others were undone."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.detail)
        self.refused = refused
        self.is_final = refused.kind.is_final


class Unavailable(DomainError):
    """The database cannot serve this request now; a later try may succeed."""

    is_final = False


class DatabaseAway(Unavailable):
    """No connection became free in time, because the database is away or too busy."""


class DatabaseFailing(Unavailable):
    """The database lacks disk, memory or connections, or cannot use them; it changed nothing."""


class ConnectionLost(Unavailable):
    """The connection broke while a write was under way: it may have happened or not."""


class StatementTimedOut(Unavailable):
    """The database did not finish a statement within its time."""


class UnfitRole(Exception):
    """The server would connect as a role that row-level security does not hold."""


class SchemaOutdated(Exception):
    """The database's schema is not the one this version works with."""


class EmbeddedPostgresError(Exception):
    """The embedded PostgreSQL cannot run; the message says what to do about it."""
