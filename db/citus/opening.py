"""The database of a URL, be it one PostgreSQL or a Citus cluster with distributed tables."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing

import psycopg2

from db.citus.database import CitusDatabase
from db.database import Database
from db.errors import DatabaseAway
from db.postgres.connector import IS_DISTRIBUTED
from db.postgres.pool_options import PoolOptions
from db.postgres.statement import Statement
from db.postgres.tracing import Tracer

CONNECT_TIMEOUT_SECONDS = 5


@asynccontextmanager
async def database_at(
    options: PoolOptions, catalogue: Sequence[Statement], tracer: Tracer | None = None
) -> AsyncIterator[Database]:
    """The database of the URL, open inside `async with`; it may be away."""
    try:
        is_cluster = await asyncio.to_thread(is_distributed, options.url)
    except DatabaseAway:
        is_cluster = False
    kind = CitusDatabase if is_cluster else Database
    async with kind(options, catalogue, tracer) as database:
        yield database


def is_distributed(url: str) -> bool:
    """Whether the tables are distributed over the nodes of a Citus cluster."""
    try:
        with closing(psycopg2.connect(url, connect_timeout=CONNECT_TIMEOUT_SECONDS)) as opened:
            opened.autocommit = True
            with opened.cursor() as reading:
                reading.execute(f"SELECT {IS_DISTRIBUTED}")
                return bool(reading.fetchall()[0][0])
    except psycopg2.OperationalError as error:
        raise DatabaseAway(f"The database cannot be reached: {error}") from error
