"""Where the rows of each user are: the shards of a cluster, and the nodes that have them."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Integer, String, column, text

from db.citus.hashing import hash_of_uuid
from db.citus.statements import ShardStatement
from db.postgres.statement import Access, Statement

REMEMBERED_OWNERS = 100_000
MOST_STATEMENTS = 256
"""The statements whose SQL is kept for each shard."""

# One row for each table of each shard. `users` names the group of tables that are moved together.
PLACEMENTS = Statement(
    "find_placements",
    text("""
        SELECT CAST(shard.shardmaxvalue AS integer) AS greatest_hash, class.relname AS table_name,
               CAST(shard.shardid AS integer) AS shard, node.nodename AS host, node.nodeport AS port
          FROM pg_dist_partition AS of_users
          JOIN pg_dist_partition AS member ON member.colocationid = of_users.colocationid
          JOIN pg_class AS class ON class.oid = member.logicalrelid
          JOIN pg_dist_shard AS shard ON shard.logicalrelid = member.logicalrelid
          JOIN pg_dist_placement AS placement ON placement.shardid = shard.shardid
          JOIN pg_dist_node AS node ON node.groupid = placement.groupid
         WHERE of_users.logicalrelid = to_regclass('users') AND of_users.partmethod = 'h'
           AND node.noderole = 'primary'
         ORDER BY greatest_hash, placement.placementid
    """).columns(
        column("greatest_hash", Integer),
        column("table_name", String),
        column("shard", Integer),
        column("host", String),
        column("port", Integer),
    ),
    Access.READ,
)


class Address(NamedTuple):
    """Where a node listens."""

    host: str
    port: int


class Placement(NamedTuple):
    """One table of a shard, and the node that has it."""

    greatest_hash: int
    table: str
    number: int
    host: str
    port: int


class Shard:
    """The tables with the rows of those users whose hash is in one range."""

    def __init__(self, greatest_hash: int, tables: Mapping[str, int], node: Address) -> None:
        self.greatest_hash = greatest_hash
        self.node = node
        self.number = tables["users"]
        """The number of the users' table, by which the shard and its functions are known."""
        self.statement = lru_cache(MOST_STATEMENTS)(self._statement)
        """The statement on the tables of this shard."""
        self._tables = tables

    @property
    def tables(self) -> list[str]:
        """The names of its tables."""
        return [f"{table}_{number}" for table, number in self._tables.items()]

    def _statement(self, base: Statement) -> ShardStatement:
        return ShardStatement(base, self._tables)


class ShardMap:
    """All shards of a cluster, as its metadata had them at one moment."""

    def __init__(self, placements: Iterable[Placement]) -> None:
        self.shards = list(_shards(placements))
        self._greatest = [each.greatest_hash for each in self.shards]
        self.shard_of = lru_cache(REMEMBERED_OWNERS)(self._find)
        """The shard that has, or would have, the rows of a user."""

    def _find(self, owner: UUID) -> Shard:
        return self.shards[bisect_left(self._greatest, hash_of_uuid(owner))]

    def shards_on(self, node: Address) -> list[Shard]:
        """The shards that the node has."""
        return [each for each in self.shards if each.node == node]

    @property
    def tables(self) -> list[str]:
        """The names of the tables of all shards."""
        return [table for shard in self.shards for table in shard.tables]

    @property
    def nodes(self) -> set[Address]:
        """The nodes that have a shard."""
        return {each.node for each in self.shards}


def _shards(placements: Iterable[Placement]) -> Iterator[Shard]:
    for greatest_hash, group in groupby(placements, attrgetter("greatest_hash")):
        tables = list(group)
        numbers = {each.table: each.number for each in tables}
        yield Shard(greatest_hash, numbers, Address(tables[0].host, tables[0].port))
