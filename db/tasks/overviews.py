"""Overviews of a user's tasks: numbers of tasks, counted by one statement each."""

from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    JSON,
    ColumnElement,
    Integer,
    ScalarSelect,
    Text,
    bindparam,
    collate,
    func,
    select,
)

from db.caseless import folded
from db.database import Session
from db.postgres.statement import Access, Statement
from db.schema.clauses import ONE, OWNER_REVISION, param, task_tags, tasks, this_user
from db.tasks.tasks import NO_REVISION


class TagPage(NamedTuple):
    """The number of tasks with each tag, the tag after which the next page begins, the revision."""

    tags: list[dict[str, Any]]
    next: str | None
    revision: int


_is_live = this_user & tasks.c.deleted_at.is_(None)


def _number(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.count(type_=Integer()).filter(condition)


# One scan of the tasks. To join them with `task_tags` would take a look-up for each tag of each.
_each = (
    select(
        func.jsonb_array_elements_text(tasks.c.tag_keys, type_=Text()).label("tag"),
        tasks.c.completed,
    )
    .where(_is_live, tasks.c.tag_keys.is_not(None))
    .subquery("each")
)
_tag = collate(_each.c.tag, "C")
_counted = (
    select(
        _tag.label("tag"),
        _number(~_each.c.completed).label("open"),
        _number(_each.c.completed).label("done"),
    )
    .where(_tag > bindparam("after", type_=Text))
    .group_by(_tag)
    .order_by(_tag)
    .limit(bindparam("limit", type_=Integer))
    .subquery("counted")
)


def _newest_name() -> ScalarSelect[Any]:
    """The name of the tag in the newest task that has it."""
    named = task_tags.alias("named")
    has_owner = named.c.user_id == param("user_id", named.c.user_id)
    return (
        select(named.c.name)
        .where(has_owner, named.c.tag == _counted.c.tag)
        .order_by(named.c.created_at.desc(), named.c.task_id.desc())
        .limit(ONE)
        .scalar_subquery()
    )


# The arrays keep the order of the rows.
_columns = [_newest_name(), _counted.c.open, _counted.c.done]
LIST_TAGS = Statement(
    "list_tags",
    select(
        func.json_build_array(OWNER_REVISION, *map(func.array_agg, _columns), type_=JSON).label(
            "tags"
        )
    ).select_from(_counted),
    Access.READ,
    finds_many=True,
)

CATALOGUE = (LIST_TAGS,)
"""The statements that a connection prepares."""


async def list_tags(database: Session, user_id: UUID, *, after: str | None, limit: int) -> TagPage:
    """The tags of the user's tasks that come after this one, by their keys."""
    revision, *columns = await database.fetch_document(
        LIST_TAGS, user_id=user_id, after=folded(after or ""), limit=limit + 1
    )
    rows = zip(*(each or [] for each in columns), strict=True)
    tags = [{"name": name, "open": still_open, "done": done} for name, still_open, done in rows]
    following = tags[limit - 1]["name"] if len(tags) > limit else None
    return TagPage(tags[:limit], following, revision or NO_REVISION)
