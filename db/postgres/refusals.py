"""Why a database refuses a connection, if a later attempt would fail, too."""

import re
import time
from select import select

import psycopg2
from psycopg2 import errorcodes
from psycopg2.extensions import POLL_OK, POLL_READ, POLL_WRITE

from db.errors import ConnectionRefused
from db.postgres import libpq

SECONDS = 5
CODE = re.compile(r":\s+([0-9A-Z]{5})\s")
SEVERITY = "FATAL:"
# A message of libpq, not of the server: the server wants a password, and there is none.
NO_PASSWORD = "no password supplied"  # noqa: S105

GIVE_PASSWORD = "put the role's password into DATABASE_URL, or into the file that PGPASSFILE names"  # noqa: S105
ADVICE = {
    errorcodes.INVALID_PASSWORD: "correct the password in DATABASE_URL",
    errorcodes.INVALID_AUTHORIZATION_SPECIFICATION: (
        "create the role, let it log in and allow it in pg_hba.conf, or correct DATABASE_URL"
    ),
    errorcodes.INVALID_CATALOG_NAME: (
        "create the database and run `errand migrate`, or correct its name in DATABASE_URL"
    ),
    errorcodes.INSUFFICIENT_PRIVILEGE: "GRANT it CONNECT on the database, or correct DATABASE_URL",
}


def refusal(url: str, error: psycopg2.OperationalError) -> ConnectionRefused | None:
    """The refusal that ended an attempt to connect; None if a later attempt may succeed."""
    reason = str(error).strip().rpartition("\n")[2].rpartition(SEVERITY)[2].strip()
    advice = GIVE_PASSWORD if NO_PASSWORD in reason else ADVICE.get(_sqlstate(url))
    if advice is None:
        return None
    return ConnectionRefused(f"The database refuses the connection: {reason}. To fix it, {advice}.")


def _sqlstate(url: str) -> str:
    """The SQLSTATE with which another attempt fails; empty if there is none."""
    try:
        raw = psycopg2.connect(url, async_=1)
    except psycopg2.OperationalError:
        return ""
    deadline = time.monotonic() + SECONDS
    try:
        libpq.set_error_verbosity(raw.pgconn_ptr, libpq.SQLSTATE_ONLY)
        while (state := raw.poll()) != POLL_OK and (left := deadline - time.monotonic()) > 0:
            socket = [raw.fileno()]
            select(
                socket if state == POLL_READ else (),
                socket if state == POLL_WRITE else (),
                (),
                left,
            )
    except psycopg2.OperationalError as error:
        code = CODE.search(str(error))
        return code[1] if code else ""
    finally:
        raw.close()
    return ""
