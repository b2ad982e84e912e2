"""The statements about lists.

Each write runs under the lock of the user's row, which another statement has taken before: so what
it reads does not change.
"""

from typing import Any

from sqlalchemy import (
    ARRAY,
    CTE,
    JSON,
    BigInteger,
    ColumnElement,
    Integer,
    Interval,
    any_,
    bindparam,
    func,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by, insert

from db.postgres.statement import Access, Statement
from db.schema.changes import merged
from db.schema.clauses import (
    DELETED_LIST_COLUMNS,
    LIST_COLUMNS,
    NEXT,
    ONE,
    OWNER_REVISION,
    WRITABLE_LIST_COLUMNS,
    document,
    lists,
    param,
    position_of,
    these_lists,
    this_owner,
    users,
)
from db.schema.digests import LIST_HASH, changed_by, hash_of, total

ONE_LIST = document(LIST_COLUMNS, lists)

this_id = these_lists & (lists.c.id == param("list_id", lists.c.id))
this_list = this_id & lists.c.deleted_at.is_(None)
this_tombstone = this_id & lists.c.deleted_at.is_not(None)

_expected = bindparam("expected", type_=ARRAY(BigInteger))
as_expected = _expected.is_(None) | (lists.c.revision == any_(_expected))


def _owner(condition: ColumnElement[bool], digest: ColumnElement[int]) -> CTE:
    """The owner's next revision and moment, if the condition holds."""
    return (
        update(users)
        .where(this_owner & condition)
        .values({**NEXT, "digest": digest})
        .returning(users.c.id, users.c.revision, users.c.changed_at)
        .cte("owner")
    )


_in_order = aggregate_order_by(ONE_LIST, lists.c.position, lists.c.id)
EVERY = Statement(
    "list_lists",
    select(func.json_build_array(OWNER_REVISION, func.json_agg(_in_order), type_=JSON))
    .select_from(lists)
    .where(these_lists & lists.c.deleted_at.is_(None)),
    Access.READ,
    finds_many=True,
)

GET = Statement("get_list", select(ONE_LIST).where(this_list), Access.READ)

# A list or its tombstone.
_deletable = document(DELETED_LIST_COLUMNS, lists)
FIND = Statement("find_list", select(_deletable).where(this_id), Access.READ)

_new = {name: param(name, lists.c[name]) for name in ("id", "title", "position")}
_others = select(ONE).select_from(lists).where(these_lists)
_count = select(func.count(type_=Integer())).select_from(lists).where(these_lists)


def _creation() -> Statement:
    """A statement that stores a new list, if its id is new and there is room for it."""
    is_new = ~_others.where(lists.c.id == _new["id"]).exists()
    has_room = _count.scalar_subquery() < bindparam("max_lists", type_=Integer)
    digest = changed_by(added=hash_of(NEXT["revision"]))
    owner = _owner(is_new & has_room, digest)
    values: dict[str, ColumnElement[Any]] = {
        "user_id": owner.c.id,
        **_new,
        "position": func.coalesce(_new["position"], position_of(owner.c.revision)),
        "created_at": owner.c.changed_at,
        "updated_at": owner.c.changed_at,
        "revision": owner.c.revision,
    }
    stored = insert(lists).from_select([*values], select(*values.values()))
    return Statement("create_list", stored.returning(ONE_LIST), Access.WRITE)


CREATE = _creation()


def _patch() -> Statement:
    condition = this_list & as_expected
    owner = _owner(
        select(ONE).select_from(lists).where(condition).exists(),
        changed_by(added=hash_of(NEXT["revision"]), removed=total(LIST_HASH, condition)),
    )
    stamps = {"updated_at": owner.c.changed_at, "revision": owner.c.revision}
    fields = {name: merged(lists.c[name]) for name in WRITABLE_LIST_COLUMNS}
    stored = update(lists).where(condition).values(**fields, **stamps)
    return Statement("patch_list", stored.returning(ONE_LIST), Access.WRITE)


PATCH = _patch()

PURGE = Statement(
    "purge_lists",
    select(
        func.purge_lists(
            bindparam("older_than", type_=Interval), bindparam("at_most", type_=Integer)
        ).label("purged")
    ),
    Access.WRITE,
)

CATALOGUE = (EVERY, GET, FIND, CREATE, PATCH, PURGE)
"""The statements that a connection prepares."""
