"""The next dues of a task that recurs."""

from typing import Any
from uuid import UUID

from sqlalchemy import select

from db.database import Session
from db.postgres.statement import Access, Statement
from db.schema.clauses import document, this_task
from db.tasks import recurring
from db.tasks.tasks import unknown

_COLUMNS = ["recurrence", "due_on", "due_at", "time_zone", "skipped_due"]

FIND = Statement("find_recurrence", select(document(_COLUMNS)).where(this_task), Access.READ)

CATALOGUE = (FIND,)
"""The statements that a connection prepares."""


async def upcoming(
    database: Session, user_id: UUID, task_id: UUID, limit: int
) -> list[dict[str, Any]]:
    """When the task is due after its own due, if it is completed in time."""
    task = await database.fetch_document(FIND, user_id=user_id, task_id=task_id)
    if task is None:
        raise unknown(task_id)
    return recurring.upcoming(task, task["skipped_due"], limit)
