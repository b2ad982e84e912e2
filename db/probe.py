"""A probe at the start: each way to run a statement writes and reads one row of its owner.

If the owner got lost on the way, row-level security would hide all rows: lists would be empty, and
no error would say why.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import psycopg2
from sqlalchemy import JSON, delete, func, literal_column, select
from sqlalchemy.dialects.postgresql import insert

from db.citus.opening import database_at
from db.database import Database
from db.errors import ConnectionLost, DatabaseAway, OwnerLost, Unavailable
from db.postgres.pool_options import PoolOptions
from db.postgres.statement import Access, Statement
from db.schema.clauses import TRUE, param, this_owner, users

log = logging.getLogger("errand")

ADVICE = (
    "Something between Errand and PostgreSQL drops settings or changes statements. A pooler must"
    " run in session or transaction mode; otherwise let DATABASE_URL lead to PostgreSQL itself."
)


class Statements(NamedTuple):
    """A statement that writes a user's row and one that reads it; each returns one document."""

    write: Statement
    read: Statement


def _statements(name: str) -> Statements:
    owner = param("user_id", users.c.id)
    write = (
        insert(users)
        .values(id=owner)
        .on_conflict_do_update(index_elements=["id"], set_={"revision": users.c.revision})
        .returning(func.to_json(users.c.id, type_=JSON))
    )
    # Without the owner's condition: what it finds is what row-level security lets it see.
    some = select(users.c.id).limit(literal_column("2")).subquery()
    visible = select(func.json_agg(some.c.id)).scalar_subquery()
    setting = func.current_setting(literal_column("'errand.user_id'"), TRUE)
    read = select(func.json_build_array(setting, visible, type_=JSON)).where(owner.is_not(None))
    return Statements(
        Statement(f"probe_write_{name}", write, Access.WRITE),
        Statement(f"probe_read_{name}", read, Access.READ),
    )


AT_THE_START = _statements("prepared")
ON_DEMAND = _statements("on_demand")
ERASE = (Statement("probe_erase", delete(users).where(this_owner), Access.WRITE),)

Run = Callable[[Database, Statement, Sequence[UUID]], Awaitable[Sequence[Any]]]
"""Runs a statement once for each owner, and returns the documents."""


async def _alone(database: Database, statement: Statement, owners: Sequence[UUID]) -> list[Any]:
    rows = [await database.fetch(statement, user_id=owner) for owner in owners]
    return [each[0][0] if each else None for each in rows]


async def _grouped(database: Database, statement: Statement, owners: Sequence[UUID]) -> list[Any]:
    return await asyncio.gather(
        *(database.fetch_document(statement, user_id=owner) for owner in owners)
    )


async def _in_transactions(
    database: Database, statement: Statement, owners: Sequence[UUID]
) -> list[Any]:
    documents = []
    for owner in owners:
        async with database.transaction(owner) as transaction:
            documents.append(await transaction.fetch_document(statement, user_id=owner))
    return documents


WAYS: dict[str, Run] = {
    "alone": _alone,
    "in a group": _grouped,
    "in a transaction": _in_transactions,
}


async def probe(options: PoolOptions) -> None:
    """Raise `OwnerLost` if there is a way on which a statement loses its owner."""
    with _quiet("errand.database"):
        async with database_at(options.for_a_command(), AT_THE_START) as database:
            await Probe(database).run()


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Log no warnings about connections: those of the server will bring the same ones."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


class Probe:
    """Writes and reads the rows of two new users, which are erased at the end."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._owners = uuid4(), uuid4()
        self._has_written = False
        self._may_write = True

    async def run(self) -> None:
        """Probe every way."""
        try:
            for way, run in WAYS.items():
                for statements in (AT_THE_START, ON_DEMAND):
                    await self._probe(way, run, statements)
        finally:
            if self._has_written:
                with suppress(Unavailable, psycopg2.Error):
                    await _alone(self._database, ERASE[0], self._owners)

    async def _probe(self, way: str, run: Run, statements: Statements) -> None:
        try:
            try:
                await self._write_and_read(way, run, statements)
            except ConnectionLost:  # by chance, or because it ran that way
                await self._write_and_read(way, run, statements)
        except (ConnectionLost, psycopg2.Error) as error:
            raise OwnerLost(f"A statement cannot run {way}: {_reason(error)}. {ADVICE}") from error
        except DatabaseAway:
            raise
        except Unavailable as error:
            log.warning("no statement was run %s to probe that it keeps its owner: %s", way, error)

    async def _write_and_read(self, way: str, run: Run, statements: Statements) -> None:
        await self._write(run, statements.write)
        seen = await run(self._database, statements.read, self._owners)
        for owner, (setting, users_seen) in zip(self._owners, seen, strict=True):
            # A standby has no row of the owner, but the setting.
            rows = [str(owner)] if self._may_write else None
            if setting is None or setting.replace("-", "") != owner.hex or users_seen != rows:
                raise OwnerLost(
                    f"A statement that runs {way} loses its owner: row-level security would hide"
                    f" every row, and lists would be empty. {ADVICE}"
                )

    async def _write(self, run: Run, statement: Statement) -> None:
        """Write a row of each owner, unless the database is a standby."""
        if self._may_write:
            try:
                await run(self._database, statement, self._owners)
                self._has_written = True
            except DatabaseAway:
                self._may_write = False


def _reason(error: Exception) -> str:
    return str(error.__cause__ or error).strip().partition("\n")[0].rstrip(".")
