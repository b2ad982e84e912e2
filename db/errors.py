"""What can go wrong with the data, in the words of the domain; no status codes, no SQL."""


class DomainError(Exception):
    """Base of everything that the data layer raises on purpose; its text is fit for a client."""


class TaskNotFound(DomainError):
    """The user has no task of that id, or had one and deleted it."""


class KeyReused(DomainError):
    """The user has sent another request with the key of this one."""


class KeyInUse(DomainError):
    """A request with the same key is still being answered."""


class Unavailable(DomainError):
    """The database cannot serve this request now; a later try may succeed."""


class DatabaseAway(Unavailable):
    """No connection became free in time, because the database is away or too busy."""


class ConnectionLost(Unavailable):
    """The connection broke while a write was under way: it may have happened or not."""


class StatementTimedOut(Unavailable):
    """The database did not finish a statement within its time."""


class UnfitRole(Exception):
    """The server would connect as a role that row-level security does not hold."""


class SchemaOutdated(Exception):
    """The database's schema is not the one this version works with."""
