"""Lists that go to the trash with their tasks, and come back with them, in one step.

The list and each task get their own revision and time, as if they changed one after the other: so a
page of the change feed can end between any two of them.
"""

from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Integer,
    ScalarSelect,
    Select,
    case,
    func,
    null,
    select,
    update,
)

from db.lists.statements import ONE_LIST, as_expected, this_list, this_tombstone
from db.postgres.statement import Access, Statement
from db.schema.clauses import (
    LATER,
    MICROSECOND,
    ONE,
    lists,
    param,
    range_of,
    tasks,
    this_owner,
    this_user,
    users,
)
from db.schema.digests import LIST_HASH, TASK_HASH, changed_by, hash_of, total
from db.schema.rare_fields import rare_of

Values = dict[str, ColumnElement[Any]]


class _Cascade:
    """The parts of a statement that changes a list, and tasks together with it."""

    def __init__(self, which: ColumnElement[bool], of_tasks: ColumnElement[bool]) -> None:
        self.list = which & as_expected
        """Which list changes."""
        self.tasks = this_user & of_tasks
        """Which tasks change with it."""
        number = func.row_number(type_=Integer()).over().label("number")
        self.numbered = select(tasks.c.id, number).where(self.tasks).cte("numbered")
        self.count: ScalarSelect[int] = (
            select(func.count(type_=Integer())).select_from(self.numbered).scalar_subquery()
        )

    def owner(self, digest: ColumnElement[int]) -> CTE:
        """The revision and the moment before the first of the changes, if the list is there."""
        revision, moment = users.c.revision, users.c.changed_at
        return (
            update(users)
            .where(this_owner)
            .where(select(ONE).select_from(lists).where(self.list).exists())
            .values(
                revision=revision + self.count + ONE,
                changed_at=LATER + self.count * MICROSECOND,
                digest=digest,
            )
            .returning(
                (revision - self.count - ONE).label("revision"),
                (moment - (self.count + ONE) * MICROSECOND).label("changed_at"),
            )
            .cte("owner")
        )

    def change_tasks(self, values: Values) -> CTE:
        """The change of the tasks."""
        found = tasks.c.id == self.numbered.c.id
        changes = {**values, "revision_range": range_of(values["revision"])}
        changed = update(tasks).where(this_user, found).values(changes)
        return changed.returning(tasks.c.id).cte("moved")


def _stamps(owner: CTE, number: ColumnElement[int]) -> Values:
    """The revision and the time of the change with this number, from 1."""
    return {
        "revision": owner.c.revision + number,
        "updated_at": owner.c.changed_at + number * MICROSECOND,
    }


def _deletion() -> Select[Any]:
    """The tasks go first, and the list last."""
    cascade = _Cascade(
        this_list, tasks.c.deleted_at.is_(None) & (tasks.c.list_id == param("list_id", lists.c.id))
    )
    removed = total(TASK_HASH, cascade.tasks) + total(LIST_HASH, cascade.list)
    owner = cascade.owner(changed_by(removed=removed))
    last = _stamps(owner, cascade.count + ONE)
    stamps = _stamps(owner, cascade.numbered.c.number)
    moved = cascade.change_tasks(
        {**stamps, "deleted_at": stamps["updated_at"], "deletion": last["revision"]}
    )
    deleted = update(lists).where(cascade.list).values({**last, "deleted_at": last["updated_at"]})
    return select(deleted.returning(ONE_LIST).cte("changed")).add_cte(moved)


def _restoration() -> Select[Any]:
    """The list goes first, and then the tasks that its deletion took along."""
    deletion = select(lists.c.revision).where(this_tombstone & as_expected).scalar_subquery()
    cascade = _Cascade(this_tombstone, tasks.c.deletion == deletion)
    numbered = cascade.numbered
    next_revision = users.c.revision + ONE
    added = total(hash_of(next_revision + numbered.c.number)) + hash_of(next_revision)
    owner = cascade.owner(changed_by(added=added))
    # A parent that was restored before is no longer in the list.
    parent = case((tasks.c.parent_id.in_(select(numbered.c.id)), tasks.c.parent_id))
    moved = cascade.change_tasks(
        {
            **_stamps(owner, ONE + numbered.c.number),
            "deleted_at": null(),
            "deletion": null(),
            "parent_id": parent,
            "rare_fields": rare_of({**tasks.c, "parent_id": parent}),
        }
    )
    restored = (
        update(lists).where(cascade.list).values({**_stamps(owner, ONE), "deleted_at": null()})
    )
    return select(restored.returning(ONE_LIST).cte("changed")).add_cte(moved)


DELETE = Statement("delete_list", _deletion(), Access.WRITE)
RESTORE = Statement("restore_list", _restoration(), Access.WRITE)

CATALOGUE = (DELETE, RESTORE)
"""The statements that a connection prepares."""
