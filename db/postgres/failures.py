"""Errors of PostgreSQL: whether a statement is run again, and which domain error callers get."""

import psycopg2
from psycopg2 import errorcodes

from db.errors import ConnectionLost, DatabaseAway, DatabaseFailing, ShardMoved, StatementTimedOut

# The statement had no effect, and may succeed if it is run again.
RETRYABLE = {
    errorcodes.SERIALIZATION_FAILURE,
    errorcodes.DEADLOCK_DETECTED,
    errorcodes.READ_ONLY_SQL_TRANSACTION,
    # This is not the session that has prepared the statements.
    errorcodes.INVALID_SQL_STATEMENT_NAME,
}

TIMED_OUT = {errorcodes.QUERY_CANCELED, errorcodes.LOCK_NOT_AVAILABLE}

# A node of the database cannot be reached; disk, memory or connections are used up; a disk failed.
FAILING_CLASSES = {
    errorcodes.CLASS_CONNECTION_EXCEPTION,
    errorcodes.CLASS_INSUFFICIENT_RESOURCES,
    errorcodes.CLASS_SYSTEM_ERROR,
}

MOVED = "SM001"
"""The code of `errand_hold`: on Citus, the shard of the owner is on another node."""

UNCERTAIN = "A change may or may not have been made: check."


def is_retryable(error: BaseException) -> bool:
    """Whether the statement had no effect, and may succeed if it is run again."""
    return getattr(error, "pgcode", None) in RETRYABLE


def had_no_effect(error: BaseException, *, lost: bool) -> bool:
    """Whether the statement certainly changed nothing: the database reported an error for it."""
    return is_retryable(error) or (getattr(error, "pgcode", None) is not None and not lost)


def domain_error(error: psycopg2.Error, *, lost: bool) -> Exception:
    """The domain error for callers; the error itself if it is a bug of this program."""
    code = error.pgcode
    if code in RETRYABLE:
        return DatabaseAway("The database did not accept the change; nothing was changed.")
    if code == MOVED:
        return ShardMoved("The user's data are being moved to another node; nothing was changed.")
    if code in TIMED_OUT:
        return StatementTimedOut("The database cancelled the statement; nothing was changed.")
    if lost:
        return ConnectionLost(f"The connection to the database broke. {UNCERTAIN}")
    if is_failing(error):
        return DatabaseFailing("The database reported a failure of its own; nothing was changed.")
    return error


def is_failing(error: psycopg2.Error) -> bool:
    """Whether the database itself is failing, whatever the statement is."""
    return error.pgcode is not None and error.pgcode[:2] in FAILING_CLASSES
