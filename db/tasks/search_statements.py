"""Which tasks a search finds, in SQL.

Few candidates are found by the index of words, and compared and sorted as a whole. If there are
many, the list is scanned in its order like any other, and each task is compared.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Integer,
    ScalarSelect,
    Table,
    Uuid,
    case,
    column,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import TSQUERY, TSVECTOR
from sqlalchemy.sql.expression import bindparam

from db.owner import OWNER
from db.schema.clauses import param, this_owner, users
from db.schema.texts import TaskText

MOST_CANDIDATES = 1000
LEAST, MOST = 0, 2
"""The relevance of a task: it matches anywhere, in its title, with whole words in its title."""

task_texts: Table = TaskText.metadata.tables["task_texts"]

_rows = func.find_task_texts(
    bindparam("candidates", type_=TSQUERY), literal_column(str(MOST_CANDIDATES + 1), Integer)
).table_valued(column(OWNER, Uuid), column("task_id", Uuid), column("lexemes", TSVECTOR))
CANDIDATES = (
    select(_rows.c.task_id, _rows.c.lexemes)
    .where(_rows.c.user_id == param(OWNER, task_texts.c.user_id))
    .cte("candidates")
)
"""The rows of the tasks that may match, or one more than are looked at."""

_count = select(func.count(type_=BigInteger())).select_from(CANDIDATES).scalar_subquery()
HAS_TOO_MANY_CANDIDATES = _count > literal_column(str(MOST_CANDIDATES), Integer)

# An aggregate is one value even if the condition on the owner were missing.
INDEXED_REVISION = select(func.max(users.c.indexed_revision)).where(this_owner).scalar_subquery()


def matches_words(lexemes: ColumnElement[Any], query: str = "wanted") -> ColumnElement[bool]:
    """Whether a text matches the query."""
    return lexemes.bool_op("@@")(bindparam(query, type_=TSQUERY))


def relevance(lexemes: ColumnElement[Any]) -> ColumnElement[int]:
    """How well a text matches, from 0; null if it does not."""
    ranks = case(
        (matches_words(lexemes, "whole_in_title"), _rank(MOST)),
        (matches_words(lexemes, "in_title"), _rank(1)),
        else_=_rank(LEAST),
    )
    return case((matches_words(lexemes), ranks))


def has_words(rows: FromClause) -> ColumnElement[bool]:
    """Whether a task matches the search."""
    return _of_text(rows, matches_words(task_texts.c.lexemes))


def relevance_of(rows: FromClause) -> ColumnElement[int]:
    """How well a task matches the search; null if it does not."""
    return _of_text(rows, relevance(task_texts.c.lexemes))


def _of_text(rows: FromClause, value: ColumnElement[Any]) -> ScalarSelect[Any]:
    owner = task_texts.c.user_id == param(OWNER, task_texts.c.user_id)
    return select(value).where(owner, task_texts.c.task_id == rows.c.id).scalar_subquery()


def _rank(rank: int) -> ColumnElement[int]:
    return literal_column(str(rank), Integer)
