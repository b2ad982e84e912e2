"""Moves: a task gets a position between two others, under the lock of the user's row.

All tasks of a user are in one order, tombstones included. What is between two neighbours in this
order is also between them in every list: so a move reads two rows. If their positions leave no room
for a short one, it spreads the positions of the tasks around, each as a change of its own.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Integer, Select, bindparam, literal_column, select, tuple_, union_all

from db.database import Session
from db.errors import FieldRefused
from db.postgres.statement import Access, Statement
from db.postgres.transaction import Transaction
from db.schema.clauses import PLACE_COLUMNS, param, tasks, this_user
from db.schema.fields import POSITION_LENGTH
from db.tasks import batches
from db.tasks.draft import Draft
from db.tasks.positions import LIMIT, between
from db.tasks.tasks import Task, Versions, as_expected

REACH = 500
"""How many tasks on each side get another position, if there is no room for a short one."""
SHORT = 50
BEFORE, AFTER = "before", "after"
NO_ROOM = (
    f"There is no room: more than {REACH} tasks have this position, or nearly this one. "
    "Give some of them another `position`."
)
ITSELF = "A task has no place before or after itself."


class Neighbour(NamedTuple):
    """A task, or a tombstone, and its place in the user's order."""

    position: str
    id: str
    is_active: bool = True


def _beside(side: str) -> Select[Any]:
    """The nearest rows on one side of a place, without the task that moves there."""
    key = tuple_(tasks.c.position, tasks.c.id)
    place = tuple_(param("position", tasks.c.position), param("neighbour_id", tasks.c.id))
    beyond = key.bool_op("<" if side == BEFORE else ">")(place)
    nearest = [each.desc() if side == BEFORE else each.asc() for each in key]
    return (
        select(
            literal_column(f"'{side}'").label("side"),
            tasks.c.position,
            tasks.c.id,
            tasks.c.deleted_at.is_(None).label("is_active"),
        )
        .where(this_user, beyond, tasks.c.id != param("task_id", tasks.c.id))
        .order_by(*nearest)
        .limit(bindparam("limit", type_=Integer))
    )


NEIGHBOURS = Statement(
    "find_neighbours", union_all(_beside(BEFORE), _beside(AFTER)), Access.READ, finds_many=True
)

CATALOGUE = (NEIGHBOURS,)
"""The statements that a connection prepares."""


async def move(
    database: Session,
    user_id: UUID,
    task_id: UUID,
    target: Mapping[str, Any],
    *,
    expected: Versions = None,
) -> Task:
    """Move the task `before` or `after` the one that the target names, or behind all others.

    It also moves to the list and below the parent that the target names.
    """
    place = {name: target[name] for name in PLACE_COLUMNS if name in target}
    update = {"op": "update", "id": str(task_id), **place}
    side = next((each for each in (BEFORE, AFTER) if each in target), None)
    other = "" if side is None else target[side].lower()
    async with database.transaction(user_id) as transaction:
        draft = await _read(transaction, user_id, update, [other] if other else [])
        task = as_expected(draft.active(update["id"]), expected)
        named = None if side is None else _named(draft, task, side, other)
        placed = await _placed(transaction, user_id, task, side, named)
        if len(placed) > 1:
            draft = await _read(transaction, user_id, update, placed.keys() - {task["id"]})
        for number, (each, position) in enumerate(placed.items(), start=1):
            if number % batches.FEW == 0:
                await asyncio.sleep(0)
            fields = {"id": each, "position": position}
            also = place if each == task["id"] else {}
            batches.done(draft, "update", None, {**fields, **also})
        task = draft.tasks[task["id"]]
        if other and draft.tasks[other]["list_id"] != task["list_id"]:
            raise FieldRefused(f"The task {other} is in another list.", side or "")
        await batches.write(transaction, user_id, draft)
    return task


async def _read(
    transaction: Transaction, user_id: UUID, update: batches.Operation, others: Iterable[str]
) -> Draft:
    """The task that is updated, and others."""
    named = [{"op": "update", "id": each} for each in others]
    return await batches.begin(transaction, user_id, [update, *named])


def _named(draft: Draft, task: Task, side: str, task_id: str) -> Neighbour:
    """The task on the other side of the place."""
    found = draft.tasks.get(task_id)
    if found is None or "deleted_at" in found:
        raise FieldRefused(f"This user has no task {task_id}.", side)
    if found["id"] == task["id"]:
        raise FieldRefused(ITSELF, side)
    return Neighbour(found["position"], found["id"])


async def _placed(
    transaction: Transaction, user_id: UUID, task: Task, side: str | None, named: Neighbour | None
) -> dict[str, str]:
    """The tasks that get another position, and which."""
    place = named or Neighbour(LIMIT, task["id"])
    for reach in (0, REACH):
        rows = await transaction.fetch(
            NEIGHBOURS,
            user_id=user_id,
            task_id=task["id"],
            position=place.position,
            neighbour_id=place.id,
            limit=reach + 1,
        )
        before = sorted((Neighbour(*row[1:]) for row in rows if row[0] == BEFORE), reverse=True)
        after = sorted(Neighbour(*row[1:]) for row in rows if row[0] == AFTER)
        if named is not None:
            (before if side == AFTER else after).insert(0, named)
        if placed := spread(before, task["id"], after, reach):
            return placed
    raise FieldRefused(NO_ROOM, side or "")


def spread(
    before: Sequence[Neighbour], task_id: str, after: Sequence[Neighbour], reach: int
) -> dict[str, str]:
    """The positions of a task and of so many on each side, the nearest first; the task's is last.

    None of them, if the others leave no room for short ones. A tombstone stays where it is.
    """
    active = [
        *(each.id for each in reversed(before[:reach]) if each.is_active),
        task_id,
        *(each.id for each in after[:reach] if each.is_active),
    ]
    low, high = (side[reach].position if len(side) > reach else None for side in (before, after))
    keys = between(low, high, len(active))
    longest = POSITION_LENGTH if reach else SHORT
    if not keys or max(map(len, keys)) > longest:
        return {}
    placed = dict(zip(active, keys, strict=True))
    own = placed.pop(task_id)
    return {**placed, task_id: own}
