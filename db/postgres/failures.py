"""What an error of PostgreSQL's means: whether to run the statement again, what to tell callers."""

import psycopg2
from psycopg2 import errorcodes

from db.errors import ConnectionLost, DatabaseAway, DatabaseFailing, StatementTimedOut

# The statement had no effect, and the same one may well succeed.
WORTH_A_RETRY = {
    errorcodes.SERIALIZATION_FAILURE,
    errorcodes.DEADLOCK_DETECTED,
    errorcodes.READ_ONLY_SQL_TRANSACTION,
    # The session is not the one in which the statements were prepared.
    errorcodes.INVALID_SQL_STATEMENT_NAME,
}

TIMED_OUT = {errorcodes.QUERY_CANCELED, errorcodes.LOCK_NOT_AVAILABLE}

# A node behind the database is away; no disk, memory or connections are left; a disk is broken.
FAILING_CLASSES = {
    errorcodes.CLASS_CONNECTION_EXCEPTION,
    errorcodes.CLASS_INSUFFICIENT_RESOURCES,
    errorcodes.CLASS_SYSTEM_ERROR,
}

UNCERTAIN = "A change may have been made or not: look."


def is_worth_a_retry(error: BaseException) -> bool:
    """Whether the statement had no effect, and may have one if it is run again."""
    return getattr(error, "pgcode", None) in WORTH_A_RETRY


def had_no_effect(error: BaseException, *, lost: bool) -> bool:
    """Whether the database has refused the statement, and not just vanished."""
    return is_worth_a_retry(error) or (getattr(error, "pgcode", None) is not None and not lost)


def domain_error(error: psycopg2.Error, *, lost: bool) -> Exception:
    """What callers are to know of an error, or itself if it is a fault of ours."""
    code = error.pgcode
    if code in WORTH_A_RETRY:
        return DatabaseAway("The database could not take the change; nothing was changed.")
    if code in TIMED_OUT:
        return StatementTimedOut("The database cancelled the statement; nothing was changed.")
    if lost:
        return ConnectionLost(f"The connection to the database broke. {UNCERTAIN}")
    if is_failing(error):
        return DatabaseFailing("The database lacks what it needs to work; nothing was changed.")
    return error


def is_failing(error: psycopg2.Error) -> bool:
    """Whether the database cannot work as it should, whatever it is asked to do."""
    return error.pgcode is not None and error.pgcode[:2] in FAILING_CLASSES
