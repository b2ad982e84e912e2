"""The operations on a user's calendar: a secret path at which dated tasks can be read."""

from hashlib import sha256
from secrets import token_urlsafe
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    JSON,
    Integer,
    LargeBinary,
    Table,
    Uuid,
    bindparam,
    delete,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import insert

from db.database import Session, fetch_from_parts
from db.errors import CalendarNotFound
from db.postgres.statement import Access, Statement
from db.schema.calendars import Calendar
from db.schema.clauses import ACTIVE_COLUMNS, OWNER_REVISION, document, param, tasks, this_user
from db.tasks.statements import LOCK_OR_CREATE_USER

NO_CALENDAR = "There is no such calendar."
SECRET_BYTES = 32
MOST_TASKS = 1000

calendars: Table = Calendar.metadata.tables["calendars"]

_calendar = document(["created_at"], calendars)
_this_calendar = calendars.c.user_id == param("user_id", calendars.c.user_id)
_hash = param("secret_hash", calendars.c.secret_hash)

CREATE = Statement(
    "create_calendar",
    insert(calendars)
    .values(user_id=param("user_id", calendars.c.user_id), secret_hash=_hash)
    .on_conflict_do_update(
        index_elements=["user_id"], set_={"secret_hash": _hash, "created_at": func.now()}
    )
    .returning(_calendar),
    Access.WRITE,
)
GET = Statement("get_calendar", select(_calendar).where(_this_calendar), Access.READ)
DELETE = Statement(
    "delete_calendar",
    delete(calendars).where(_this_calendar).returning(calendars.c.user_id),
    Access.WRITE,
)
FIND_OWNER = Statement(
    "find_owner_of_calendar",
    select(
        func.owner_of_calendar(bindparam("hash", type_=LargeBinary), type_=Uuid()).label("user")
    ),
    Access.READ,
)

# The index in the order of `due` ends the scan; an aggregate is one value even if the condition on
# the owner were missing.
_dated = (
    select(document(ACTIVE_COLUMNS))
    .where(this_user, tasks.c.deleted_at.is_(None), tasks.c.due.is_not(None))
    .order_by(tasks.c.due.desc(), tasks.c.id.desc())
    .limit(literal_column(str(MOST_TASKS), Integer))
    .subquery("dated")
)
LIST_DATED = Statement(
    "list_dated_tasks",
    select(func.json_build_array(OWNER_REVISION, func.json_agg(_dated.c.document), type_=JSON)),
    Access.READ,
    finds_many=True,
)

CATALOGUE = (CREATE, GET, DELETE, FIND_OWNER, LIST_DATED)
"""The statements that a connection prepares."""


class DatedTasks(NamedTuple):
    """The tasks of a calendar, and the user's revision."""

    tasks: list[dict[str, Any]]
    revision: int


async def create(database: Session, user_id: UUID) -> tuple[dict[str, Any], str]:
    """Store a new secret in place of the one before; return the calendar and the secret."""
    secret = token_urlsafe(SECRET_BYTES)
    async with database.transaction(user_id) as transaction:
        rows = await transaction.fetch(
            LOCK_OR_CREATE_USER, CREATE, user_id=user_id, secret_hash=_hash_of(secret)
        )
    return rows[0][0], secret


async def get(database: Session, user_id: UUID) -> dict[str, Any]:
    """The user's calendar, without its secret."""
    found: dict[str, Any] | None = await database.fetch_document(GET, user_id=user_id)
    if found is None:
        raise CalendarNotFound(NO_CALENDAR)
    return found


async def delete_secret(database: Session, user_id: UUID) -> None:
    """Delete the user's calendar, if there is one: its secret is revoked."""
    await database.fetch(DELETE, user_id=user_id)


async def owner_of(database: Session, secret: str) -> UUID:
    """The user whose calendar has the secret.

    The time of the search depends on the hash, which no client can choose, not on the secret.
    """
    found, failures = await fetch_from_parts(database, FIND_OWNER, hash=_hash_of(secret))
    for [[user_id]] in found:
        if user_id is not None:
            return UUID(user_id)
    if failures:
        raise failures[0]
    raise CalendarNotFound(NO_CALENDAR)


async def dated_tasks(database: Session, user_id: UUID) -> DatedTasks:
    """The dated tasks that are not in the trash; of too many, those that are due last."""
    revision, found = await database.fetch_document(LIST_DATED, user_id=user_id)
    return DatedTasks(found or [], revision)


def _hash_of(secret: str) -> bytes:
    return sha256(secret.encode()).digest()
