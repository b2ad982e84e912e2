"""The statements of an import.

They run after the one that takes the lock of the user's row: what they read does not change.
"""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Integer,
    Select,
    Text,
    bindparam,
    case,
    column,
    func,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from db.owner import OWNER
from db.postgres.statement import Access, Statement
from db.schema.clauses import (
    LATER,
    ONE,
    RFC_3339,
    TRUE,
    UTC,
    lists,
    param,
    range_of,
    tasks,
    these_lists,
    this_owner,
    this_user,
    users,
)
from db.schema.digests import LIST_HASH, changed_by, hash_of, total


def _text(text: str) -> Any:
    return literal_column(f"'{text}'", Text)


_some_list = select(ONE).select_from(lists).where(these_lists)
STATE = Statement(
    "import_state",
    select(
        users.c.id,
        users.c.revision,
        func.to_char(func.timezone(UTC, LATER), RFC_3339).label("moment"),
        users.c.task_count,
        ((users.c.task_count == literal_column("0", Integer)) & ~_some_list.exists()).label(
            "is_empty"
        ),
    ).where(this_owner),
    Access.READ,
)

LIST_FIELDS = [each.name for each in lists.c if each.name != OWNER]
_batch = (
    func.json_to_recordset(bindparam("lists", type_=JSON))
    .table_valued(*(column(name, lists.c[name].type) for name in LIST_FIELDS))
    .render_derived("batch", with_types=True)
)
_replaced = total(
    LIST_HASH, these_lists, lists.c.id.in_(select(_batch.c.id)), lists.c.deleted_at.is_(None)
)
_owner = (
    update(users)
    .where(this_owner)
    .values(
        revision=param("revision", users.c.revision),
        changed_at=param("moment", users.c.changed_at),
        digest=changed_by(
            added=total(hash_of(_batch.c.revision), _batch.c.deleted_at.is_(None)),
            removed=_replaced,
        ),
    )
    .returning(users.c.id)
    .cte("owner")
)
_rows = {OWNER: _owner.c.id, **{name: _batch.c[name] for name in LIST_FIELDS}}
_upserted = insert(lists).from_select([*_rows], select(*_rows.values()))
WRITE_LISTS = Statement(
    "write_lists",
    _upserted.on_conflict_do_update(
        index_elements=[OWNER, "id"],
        set_={name: _upserted.excluded[name] for name in LIST_FIELDS if name != "id"},
    ),
    Access.WRITE,
)

# The user's data begins anew: tokens of the change feed from before are refused, and what is
# imported with older revisions is not in the index of words yet.
BEGIN_ANEW = Statement(
    "begin_anew",
    update(users)
    .where(this_owner)
    .values(created_at=func.clock_timestamp(), indexed_revision=literal_column("0", BigInteger)),
    Access.WRITE,
)

# The deletions that took others along have other revisions now.
_renamed = (
    func.json_to_recordset(bindparam("deletions", type_=JSON))
    .table_valued(column("old", BigInteger), column("new", BigInteger))
    .render_derived("renamed", with_types=True)
)
RENAME_DELETIONS = Statement(
    "rename_deletions",
    update(tasks)
    .where(this_user, tasks.c.deletion == _renamed.c.old)
    .values(deletion=_renamed.c.new),
    Access.WRITE,
)


# PostgreSQL knows nothing of the rows that this transaction has written: where it expects one, and
# there are many, a nested loop would read all of them for each.
WITHOUT_LOOPS = Statement(
    "without_nested_loops",
    select(func.set_config(_text("enable_nestloop"), _text("off"), TRUE).label("off")),
    Access.READ,
)


def _misplaced() -> Select[Any]:
    """Tasks that cannot be where they are, and why."""
    active = select(tasks.c.id, tasks.c.parent_id, tasks.c.list_id).where(
        this_user, tasks.c.deleted_at.is_(None)
    )
    one, parent = active.subquery("one"), active.subquery("parent")
    live = select(lists.c.id).where(these_lists, lists.c.deleted_at.is_(None)).subquery("live")
    found = (
        select(
            one.c.id,
            case(
                (one.c.list_id.is_not(None) & live.c.id.is_(None), _text("list")),
                (parent.c.id.is_(None), _text("parent")),
                else_=_text("other_list"),
            ).label("fault"),
        )
        .select_from(
            one.outerjoin(live, live.c.id == one.c.list_id).outerjoin(
                parent, parent.c.id == one.c.parent_id
            )
        )
        .where(
            or_(
                one.c.list_id.is_not(None) & live.c.id.is_(None),
                one.c.parent_id.is_not(None) & parent.c.id.is_(None),
                parent.c.list_id.is_distinct_from(one.c.list_id) & parent.c.id.is_not(None),
            )
        )
    )
    return found.limit(bindparam("limit", type_=Integer))


_depth = bindparam("most_above", type_=Integer)


def _overgrown() -> Select[Any]:
    """Tasks with too much above them or below them; a cycle has no end above."""
    is_below = this_user & tasks.c.deleted_at.is_(None) & tasks.c.parent_id.is_not(None)
    above = select(tasks.c.id, tasks.c.parent_id, ONE.label("depth")).where(is_below)
    chain = above.cte("chain", recursive=True)
    higher = select(chain.c.id, tasks.c.parent_id, chain.c.depth + ONE).where(
        is_below, tasks.c.id == chain.c.parent_id, chain.c.depth <= _depth
    )
    chain = chain.union_all(higher)
    deep = select(chain.c.id, _text("deep").label("fault")).where(chain.c.depth > _depth)
    wide = (
        select(chain.c.parent_id, _text("wide"))
        .group_by(chain.c.parent_id)
        .having(func.count() > bindparam("most_below", type_=Integer))
    )
    both = deep.union_all(wide).subquery("both")
    return select(both.c.id, both.c.fault).limit(bindparam("limit", type_=Integer))


MISPLACED = Statement("find_misplaced", _misplaced(), Access.READ)
OVERGROWN = Statement("find_overgrown", _overgrown(), Access.READ)

# The order by completion is that of these numbers.
_is_open = tasks.c.completed_at.is_(None)
_earlier = func.lag(tasks.c.completion_revision).over(
    partition_by=[_is_open], order_by=[tasks.c.completed_at, tasks.c.id]
)
_in_order = (
    select((~_is_open & (tasks.c.completion_revision <= _earlier)).label("is_wrong"))
    .where(this_user)
    .subquery("in_order")
)
COMPLETIONS = Statement(
    "check_completions",
    select(
        func.count(type_=Integer()).label("count"),
        func.count(type_=Integer()).filter(_in_order.c.is_wrong).label("wrong"),
    ).select_from(_in_order),
    Access.READ,
)

_ordered = (
    select(
        tasks.c.id,
        func.row_number(type_=Integer())
        .over(order_by=[tasks.c.completed_at.desc(), tasks.c.id.desc()])
        .label("rank"),
    )
    .where(this_user, tasks.c.completed_at.is_not(None))
    .cte("ordered")
)
_number_of = users.c.revision - _ordered.c.rank + ONE
RENUMBER_COMPLETIONS = Statement(
    "renumber_completions",
    update(tasks)
    .where(this_user, this_owner, tasks.c.id == _ordered.c.id)
    .where(tasks.c.completion_revision != _number_of)
    .values(completion_revision=_number_of, completion_range=range_of(_number_of)),
    Access.WRITE,
)

CATALOGUE = (
    STATE,
    WRITE_LISTS,
    BEGIN_ANEW,
    RENAME_DELETIONS,
    WITHOUT_LOOPS,
    MISPLACED,
    OVERGROWN,
    COMPLETIONS,
    RENUMBER_COMPLETIONS,
)
"""The statements that a connection prepares."""
