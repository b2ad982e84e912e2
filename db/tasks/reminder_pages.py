"""Pages of the reminders of a user's open tasks, in the order of time."""

from hashlib import blake2b
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import JSON, Integer, Table, bindparam, func, select, true, tuple_

from db.database import Session
from db.errors import CursorRefused
from db.postgres.statement import Access, Statement
from db.schema.clauses import ONE, OWNER_REVISION, as_written, param, tasks, this_user
from db.schema.reminders import TaskReminder
from db.tasks.dates import in_utc
from db.tasks.tasks import NO_REVISION
from db.tasks.tokens import Forged, read_signer

PURPOSE = "a page of reminders"
DIGEST_SIZE = 8
SEPARATOR = " "
BEGINNING, END = "-infinity", "infinity"
FIRST_ID = str(UUID(int=0))
UNUSABLE = "This is not a cursor of this list. Begin with the first page."
OF_ANOTHER_PERIOD = (
    "This cursor belongs to another period. Send the `from` and the `until` of its link with it, or"
    " begin with the first page."
)

Reminder = dict[str, Any]

reminders: Table = TaskReminder.metadata.tables["task_reminders"]

_at, _task_id = reminders.c.at, reminders.c.task_id
_first = tuple_(param("first_at", _at), param("first_id", _task_id))
_page = (
    select(_at, _task_id)
    .where(reminders.c.user_id == param("user_id", reminders.c.user_id))
    .where(tuple_(_at, _task_id) >= _first, _at < param("until", _at))
    .order_by(_at, _task_id)
    .limit(bindparam("limit", type_=Integer))
    .subquery("page")
)
# LIMIT keeps PostgreSQL from reading all tasks of the user at once.
_task = (
    select(*(as_written(tasks.c[name]) for name in ("title", "due_on", "due_at")))
    .where(this_user, tasks.c.id == _page.c.task_id)
    .limit(ONE)
    .lateral("task")
)
_found = (
    select(as_written(_page.c.at), _page.c.task_id, *_task.c)
    .select_from(_page.join(_task, true()))
    .subquery("found")
)
LIST_REMINDERS = Statement(
    "list_reminders",
    # The arrays keep the order of the rows.
    select(func.json_build_array(OWNER_REVISION, *map(func.array_agg, _found.c), type_=JSON)),
    Access.READ,
    finds_many=True,
)

CATALOGUE = (LIST_REMINDERS,)
"""The statements that a connection prepares."""


class Period(NamedTuple):
    """From one moment on, until before another, as they are stored."""

    begin: str
    end: str

    @classmethod
    def of(cls, begin: str | None, end: str | None) -> "Period":
        """The period between two moments; None is no bound."""
        return cls(in_utc(begin) if begin else BEGINNING, in_utc(end) if end else END)

    def digest(self) -> bytes:
        """A hash of the period, however its moments are written."""
        return blake2b(repr(tuple(self)).encode(), digest_size=DIGEST_SIZE).digest()


class ReminderPage(NamedTuple):
    """Reminders, the cursor of the next page, and the user's revision."""

    reminders: list[Reminder]
    next: str | None
    revision: int


async def page(
    database: Session, user_id: UUID, period: Period, *, limit: int, cursor: str | None = None
) -> ReminderPage:
    """A page of the reminders that fall due in the period: the first, or the one at the cursor."""
    first = (period.begin, FIRST_ID)
    if cursor is not None:
        first = await _verified(database, cursor, user_id, period)
    revision, *columns = await database.fetch_document(
        LIST_REMINDERS,
        user_id=user_id,
        first_at=first[0],
        first_id=first[1],
        until=period.end,
        limit=limit + 1,
    )
    names = _found.c.keys()
    rows = zip(*(each or [] for each in columns), strict=True)
    found = [dict(zip(names, row, strict=True)) for row in rows]
    following = None
    if len(found) > limit:
        beyond = found.pop()
        following = await _signed(database, beyond, user_id, period)
    return ReminderPage(found, following, revision or NO_REVISION)


async def _signed(database: Session, first: Reminder, user_id: UUID, period: Period) -> str:
    """The token of the page that begins with this reminder."""
    content = period.digest() + SEPARATOR.join([first["at"], first["task_id"]]).encode()
    return (await read_signer(database)).sign(content, PURPOSE, user_id)


async def _verified(
    database: Session, token: str, user_id: UUID, period: Period
) -> tuple[str, str]:
    """The time and the task with which the page of the token begins."""
    try:
        content = (await read_signer(database)).verify(token, PURPOSE, user_id)
    except Forged:
        raise CursorRefused(UNUSABLE) from None
    if content[:DIGEST_SIZE] != period.digest():
        raise CursorRefused(OF_ANOTHER_PERIOD)
    at, task_id = content[DIGEST_SIZE:].decode().split(SEPARATOR)
    return at, task_id
