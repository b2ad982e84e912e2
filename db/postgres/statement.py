"""A statement, compiled once from SQLAlchemy Core to what the driver sends."""

import re
from collections.abc import Iterator
from enum import Enum, auto
from functools import cached_property
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import JSON
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Compiled, Dialect
from sqlalchemy.sql.base import ReadOnlyColumnCollection
from sqlalchemy.sql.compiler import SQLCompiler

OWNER = "user_id"
"""The parameter that names whose rows a statement is about."""

PLACE = re.compile(r"\$(\d+)")
BRIEFLY_IF_SEVERAL = """IF json_array_length(calls) > 1 THEN
                    told := set_config('lock_timeout', '250ms', true);
                END IF;"""

_DIALECT = postgresql.dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]


class Returning(Protocol):
    """Any SQLAlchemy clause that returns rows."""

    @property
    def exported_columns(self) -> ReadOnlyColumnCollection[Any, Any]:
        """What it returns."""

    def compile(self, *, dialect: Dialect) -> Compiled:
        """It as text."""


class Access(Enum):
    """What a statement does to the data; it decides where it may run, and how often."""

    READ = auto()
    """It changes nothing: a standby can run it, and it is run again if its connection is lost."""

    LOCK = auto()
    """It changes nothing, but takes a lock until its transaction ends."""

    WRITE = auto()
    """It may change rows."""


class Statement:
    """A named statement, in the forms that a connection may want it."""

    def __init__(
        self, name: str, clause: Returning, access: Access, *, finds_many: bool = False
    ) -> None:
        self.name = name
        self.access = access
        self.finds_many = finds_many
        self._clause = clause

    @cached_property
    def _compiled(self) -> SQLCompiler:
        compiled = self._clause.compile(dialect=_DIALECT)
        assert isinstance(compiled, SQLCompiler)
        return compiled

    @cached_property
    def has_owner(self) -> bool:
        """Whether it is about one user's rows."""
        return OWNER in self._places

    @cached_property
    def changes_user_data(self) -> bool:
        """Whether it may change one user's rows."""
        return self.access is Access.WRITE and self.has_owner

    @cached_property
    def returns_document(self) -> bool:
        """Whether it returns one JSON document at the most, about one user's rows."""
        returned = [column.type for column in self._clause.exported_columns]
        return self.has_owner and len(returned) == 1 and isinstance(returned[0], JSON)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The names of what it returns, in order."""
        return tuple(self._clause.exported_columns.keys())

    def as_dicts(self, rows: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
        """Rows that it returned, by the names of their columns."""
        return [dict(zip(self.columns, row, strict=True)) for row in rows]

    @cached_property
    def _places(self) -> list[str]:
        return self._compiled.positiontup or []

    @property
    def _parameters(self) -> Iterator[tuple[str, str]]:
        for name in self._places:
            yield name, self._compiled.binds[name].type.compile(_DIALECT)

    @cached_property
    def preparation(self) -> str:
        """What makes it known to a connection, once."""
        types = ", ".join(kind for _, kind in self._parameters)
        return f"PREPARE {self.name} ({types}) AS {self._compiled.string}".replace(" ()", "")

    def sql(self, values: dict[str, Any], *, prepared: bool) -> str:
        """What runs it, and ahead of it what tells the policies, and them alone, for whom.

        Sent as one query, both are one transaction, and its end forgets it. On PostgreSQL 18 this
        costs half of what `SELECT set_config(…)` would.
        """
        statement = self.prepared if prepared else self.bare
        if not self.has_owner:
            return statement
        owner: UUID = values[OWNER]
        return f"SET LOCAL errand.user_id = '{owner.hex}'; {statement}"

    @cached_property
    def prepared(self) -> str:
        """What runs it on a connection to which it is known."""
        values = ", ".join(f"%({name})s" for name, _ in self._parameters)
        return f"EXECUTE {self.name} ({values})".replace(" ()", "")

    @cached_property
    def prepared_for_each(self) -> str:
        """What runs it for each of several calls, on a connection to which that is known."""
        return f"EXECUTE {self.name}_for_each (%(calls)s)"

    @cached_property
    def preparation_for_each(self) -> str:
        """What makes that known to a connection, as a function of its session alone.

        It tells the policies of each call whose it is, and has none of several wait for a lock.
        After 20 ms it stops, for those who share a commit wait for each other.
        """
        function = f"{self.name}_for_each"
        columns = ", ".join(f'"{name}" {kind}' for name, kind in self._parameters)
        statement = self._with_names(self._compiled.string, 'given."{}"')
        return f"""
            CREATE FUNCTION pg_temp.{function}(calls json) RETURNS SETOF json
            LANGUAGE plpgsql AS $function$
            DECLARE given record; told text; document json;
            BEGIN
                {"" if self.access is Access.READ else BRIEFLY_IF_SEVERAL}
                FOR given IN SELECT * FROM json_to_recordset(calls) AS call ({columns}) LOOP
                    told := set_config('errand.user_id', given.{OWNER}::text, true);
                    {statement} INTO document;
                    RETURN NEXT document;
                    EXIT WHEN clock_timestamp() > statement_timestamp() + interval '20 ms';
                END LOOP;
            END $function$;
            PREPARE {function} (json) AS SELECT pg_temp.{function}($1)
        """  # noqa: S608

    @cached_property
    def bare(self) -> str:
        """What runs it on any connection; alone, it shows nobody's rows to the server's role."""
        return self._with_names(self._compiled.string.replace("%", "%%"), "%({})s")

    def _with_names(self, sql: str, written: str) -> str:
        """It with its parameters by name, not by place, each written that way."""
        return PLACE.sub(lambda place: written.format(self._places[int(place[1]) - 1]), sql)
