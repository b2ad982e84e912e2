"""New connections: to a host that responds, with a safe role and with prepared statements."""

import asyncio
import random
from collections.abc import Awaitable, Sequence

import psycopg2

from db.errors import SchemaOutdated, UnfitDatabase, UnfitRole
from db.postgres.connection import Connection
from db.postgres.database_url import host_of, single_host_urls
from db.postgres.pool_options import PoolOptions
from db.postgres.prepared import PreparedStatements
from db.postgres.roles import Powers, require_fit
from db.postgres.schema_version import SCHEMA_COLUMNS, Schema, require_served
from db.postgres.statement import Statement
from db.postgres.throttled_log import ThrottledLog

SHORTEST_PAUSE = 0.05
LONGEST_PAUSE = 0.5
HEAD_START = 1.0

# Without the first setting PostgreSQL plans a list for each request, which takes as long as to read
# it. Without the others PostgreSQL keeps the sessions of a server that has vanished.
SESSION = [
    "SET plan_cache_mode = force_generic_plan",
    "SET tcp_keepalives_idle = 5",
    "SET tcp_keepalives_interval = 2",
    "SET tcp_keepalives_count = 2",
    "SET tcp_user_timeout = 5000",
]
IS_DISTRIBUTED = "to_regprocedure('errand_hold(bigint)') IS NOT NULL"
"""Whether `errand migrate --distribute` has distributed the tables: it creates this last."""

FACTS = (
    "SELECT pg_backend_pid(), current_setting('transaction_read_only') = 'on',"  # noqa: S608
    f" {IS_DISTRIBUTED}, {SCHEMA_COLUMNS} FROM alembic_version"
)
DISTRIBUTED = (
    "the tables have been distributed over the nodes of a cluster: the server finds them when it"
    " is started again"
)

POOLED = (
    "there is a connection pooler in front of the database: statements are not prepared, and"
    " requests do not share transactions"
)


class Connector:
    """Opens connections to one database, which may have several hosts."""

    def __init__(
        self,
        options: PoolOptions,
        *,
        prepared: Sequence[Statement],
        powers_query: str,
    ) -> None:
        self._urls = single_host_urls(options.url)
        self._options = options
        self._powers_query = powers_query
        self._prepared_statements = prepared
        self._preparations = [each.preparation for each in prepared]
        self._functions = [each.preparation_for_each for each in prepared if each.returns_document]
        self._one_at_a_time = asyncio.Lock()
        self._log = ThrottledLog()

    async def connect(self) -> Connection:
        """A new connection, however long that takes.

        Only one is opened at a time, to spare a database that is starting or overloaded.
        """
        async with self._one_at_a_time:
            connection = await self._connect_to_any()
            self._urls.remove(connection.url)
            self._urls.insert(0, connection.url)
            return connection

    def avoid(self, url: str) -> None:
        """Prefer another host from now on, if this one was preferred."""
        if self._urls[0] == url:
            self._urls.append(self._urls.pop(0))

    async def _connect_to_any(self) -> Connection:
        """A connection to the preferred host; if it fails or is slow, to the first that responds.

        Every host has its own loop of attempts: one that hangs does not delay the others.
        """
        preferred, *others = self._urls
        attempt = asyncio.create_task(self._attempt(preferred))
        tasks = [asyncio.create_task(self._connect_to(preferred, attempt))]
        winner = None
        try:
            await asyncio.wait([attempt], timeout=HEAD_START)
            if not attempt.done() or attempt.result() is None:
                tasks += [asyncio.create_task(self._connect_to(each)) for each in others]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            winner = done.pop().result()
            return winner
        finally:
            for task in tasks:
                task.cancel()
            # Critical section: another host may have connected in the same moment.
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(result, Connection) and result is not winner:
                    result.close()

    async def _connect_to(
        self, url: str, attempt: Awaitable[Connection | None] | None = None
    ) -> Connection:
        """A connection to the host; tries until there is one."""
        pause = SHORTEST_PAUSE
        while (connection := await (attempt or self._attempt(url))) is None:
            attempt = None
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311
            pause = min(2 * pause, LONGEST_PAUSE)
        return connection

    async def _attempt(self, url: str) -> Connection | None:
        try:
            async with asyncio.timeout(self._options.connect_timeout):
                return await self._prepared(url)
        except TimeoutError:
            limit = self._options.connect_timeout
            self._log.warn(url, f"cannot connect to {host_of(url)} within {limit:g} s")
        except (psycopg2.Error, OSError, UnfitRole, UnfitDatabase, SchemaOutdated) as error:
            self._log.warn(
                url, f"cannot connect to the database: {str(error).strip() or repr(error)}"
            )
        return None

    async def _prepared(self, url: str) -> Connection:
        """A connection whose role and schema are checked and whose statements are prepared.

        They are checked each time: after a failover the role may have other rights, and a later
        version may have migrated the schema.
        """
        connection = await Connection.open(url, self._options.statement_timeout)
        try:
            async with connection.advancing():
                await self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    async def _prepare(self, connection: Connection) -> None:
        [powers] = await connection.fetch(self._powers_query)
        require_fit(Powers(*powers))
        [(pid, read_only, is_distributed, *schema)] = await connection.fetch(FACTS)
        require_served(Schema(*schema))
        if is_distributed and not self._options.is_distributed:
            raise UnfitDatabase(DISTRIBUTED)
        # A pooler announces a number of its own: a later transaction may be another session's.
        if pid != connection.announced_pid:
            self._log.warn("pooler", POOLED)
        else:
            await connection.fetch(
                "; ".join([*SESSION, *self._options.session, *self._preparations])
            )
            connection.prepared = PreparedStatements(self._options.most_prepared)
            connection.prepared.add_permanent(self._prepared_statements)
            if not read_only:
                await self._make_functions(connection)

    async def _make_functions(self, connection: Connection) -> None:
        """Create the functions that run groups of calls; if the role may not, calls run alone."""
        try:
            # The first query is for a catalogue without functions: libpq refuses an empty text.
            await connection.fetch("; ".join(["SELECT 1", *self._functions]))
        except psycopg2.Error as error:
            if connection.lost:
                raise
            self._log.warn("functions", f"requests do not share transactions: {str(error).strip()}")
        else:
            connection.has_functions = True
