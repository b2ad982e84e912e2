"""The digest of all that a user has: a number that two equal copies have in common.

It is the sum, modulo 2^48, of a hash of the revision of everything that is not in the trash: no two
versions of a user's data have the same revision. A write adds what it stores and subtracts what it
replaces, so no digest needs a scan.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    ScalarSelect,
    Table,
    cast,
    func,
    literal_column,
    select,
)

from db.schema.lists import TaskList
from db.schema.models import Task, User

_tasks: Table = Task.metadata.tables["tasks"]
_lists: Table = TaskList.metadata.tables["lists"]
_users: Table = User.metadata.tables["users"]
MODULUS = 2**48
NOTHING = literal_column("0", BigInteger)
# Also of a negative number, `&` leaves the remainder that is not negative.
MASK = literal_column(str(MODULUS - 1), BigInteger)


def hash_of(revision: ColumnElement[Any]) -> ColumnElement[int]:
    """What one version adds to the digest: the first 48 bits of the SHA-256 of its revision."""
    return func.hash_of(revision, type_=BigInteger())


def changed_by(
    added: ColumnElement[int] = NOTHING, removed: ColumnElement[int] = NOTHING
) -> ColumnElement[int]:
    """The owner's digest after a change."""
    return (_users.c.digest + added - removed).op("&")(MASK)


def total(hashes: ColumnElement[int], *conditions: ColumnElement[bool]) -> ScalarSelect[int]:
    """The sum of the hashes of many rows, reduced so that it always fits into the column."""
    reduced = func.coalesce(func.sum(hashes), NOTHING) % literal_column(str(MODULUS), BigInteger)
    return select(cast(reduced, BigInteger)).where(*conditions).scalar_subquery()


TASK_HASH = hash_of(_tasks.c.revision)
LIST_HASH = hash_of(_lists.c.revision)
