"""Statements on the shards of a node, which Citus's planner does not see."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from sqlalchemy.sql.compiler import SQLCompiler

from db.citus.shard_sql import on_shard
from db.postgres.failures import MOVED
from db.postgres.statement import ARGUMENT, Statement

SHARD = "shard"
"""What a call of a group says besides the values of its statement."""


class DerivedStatement(Statement):
    """A statement that is made from another one, with the same parameters and rows."""

    def __init__(self, name: str, base: Statement) -> None:
        super().__init__(name, base._clause, base.access, finds_many=base.finds_many)
        self._base = base

    @property
    def _compiled(self) -> SQLCompiler:
        return self._base._compiled


class ShardStatement(DerivedStatement):
    """A statement on the tables of one shard; it fails if the shard is on another node."""

    def __init__(self, base: Statement, tables: Mapping[str, int]) -> None:
        """The tables are those of the shard, each with its number."""
        self.shard = tables["users"]
        super().__init__(f"{base.name}_{self.shard}", base)
        self._tables = tables

    @cached_property
    def text(self) -> str:
        """The SQL, with its parameters by their positions."""
        return on_shard(self._base.text, self._tables, self.shard)

    @cached_property
    def _guard(self) -> str:
        """The lock that keeps the shard where it is until the transaction ends."""
        is_about_shard = self.text != self._base.text
        return f"SELECT errand_hold({self.shard}); " if is_about_shard else ""

    def sql(self, values: dict[str, Any], *, prepared: bool) -> str:
        """The SQL that runs it, after the guard and the setting with the owner."""
        return self._guard + super().sql(values, prepared=prepared)


class NodeStatement(DerivedStatement):
    """A statement that a group runs for owners on any of a node's shards.

    Its function has the statement once for each shard. PostgreSQL plans those that are called.
    """

    def __init__(self, name: str, base: Statement, shards: Sequence[ShardStatement]) -> None:
        super().__init__(name, base)
        self._on_shards = {each.shard: each for each in shards}

    def alone(self, values: dict[str, Any]) -> Statement:
        """The statement that runs one of its calls by itself."""
        return self._on_shards[values[SHARD]]

    def preparations(self, *, functions: bool) -> list[str]:
        """The SQL that creates the function, and prepares its call."""
        assert functions, self.name
        return [self.preparation_for_each]

    def deallocations(self, *, functions: bool) -> list[str]:
        """The SQL that deallocates and drops the function."""
        assert functions, self.name
        return [self.deallocation_for_each]

    @property
    def _waits_for_locks(self) -> bool:
        return True  # while a shard is being moved

    @property
    def _fields(self) -> Iterable[tuple[str, str]]:
        return [(SHARD, "bigint"), *self._parameters]

    @property
    def _assignment(self) -> str:
        branches = " ".join(
            f"WHEN {number} THEN {self._with_names(each.text, ARGUMENT)} INTO document;"
            for number, each in self._on_shards.items()
        )
        moved = f"RAISE EXCEPTION USING ERRCODE = '{MOVED}', MESSAGE = 'the shard is elsewhere';"
        return f"""
            PERFORM errand_hold(arguments.{SHARD});
            CASE arguments.{SHARD} {branches} ELSE {moved} END CASE;
        """
