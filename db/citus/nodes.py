"""The nodes of a cluster: a pool of connections to each, and the groups that share them."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from psycopg2.extensions import make_dsn, parse_dsn

from db.citus.shards import MOST_STATEMENTS, Address, Shard
from db.citus.statements import SHARD, NodeStatement
from db.database import groups_of, pool_of
from db.postgres.activity import Activity
from db.postgres.group import Document
from db.postgres.ping import Ping
from db.postgres.pool_options import PoolOptions
from db.postgres.statement import Statement
from db.postgres.tracing import Tracer
from db.schema.tables import OWNED_TABLES

# A statement is prepared for each shard. Otherwise Citus would send new functions to all nodes.
MOST_PREPARED = 512
SESSION = ("SET citus.enable_ddl_propagation TO off",)


def options_of(options: PoolOptions, node: Address) -> PoolOptions:
    """The options of a pool of connections to one node, with the user and password of the URL."""
    fields = {key: value for key, value in parse_dsn(options.url).items() if key != "hostaddr"}
    url = make_dsn(**{**fields, **node._asdict()})
    return replace(options, url=url, session=SESSION, most_prepared=MOST_PREPARED)


class Node:
    """Runs statements on the shards that a node has."""

    def __init__(
        self,
        options: PoolOptions,
        activity: Activity,
        tracer: Tracer | None,
        tables: Sequence[str],
    ) -> None:
        """The tables are those of all shards: it is only used with row-level security on them."""
        self.pool = pool_of(options, (), tracer, [*OWNED_TABLES, *tables])
        self.pool.activity = activity
        self.ping = Ping(self.pool, options.size + 1)
        self._groups = groups_of(self.pool, tracer)
        self._statements = lru_cache(MOST_STATEMENTS)(self._on_all)
        self._shards: Sequence[Shard] = ()
        self._version = 0

    def update(self, shards: Sequence[Shard]) -> None:
        """Note the shards that the node has now."""
        if [each.number for each in shards] != [each.number for each in self._shards]:
            self._shards = shards
            self._version += 1
            self._statements.cache_clear()

    async def fetch_document(
        self, statement: Statement, values: dict[str, Any], shard: Shard
    ) -> Document:
        """The document that the statement returns; it runs in a group or alone."""
        of_node = self._statements(statement)
        return await self._groups.fetch(of_node, {**values, SHARD: shard.number})

    def _on_all(self, statement: Statement) -> NodeStatement:
        on_shards = [each.statement(statement) for each in self._shards]
        return NodeStatement(f"{statement.name}_{self._version}", statement, on_shards)
