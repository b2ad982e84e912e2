"""A statement, compiled once from SQLAlchemy Core to what the driver sends."""

import re
from collections.abc import Iterable, Iterator
from enum import Enum, auto
from functools import cached_property
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import JSON, Select, func, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Compiled, Dialect
from sqlalchemy.sql.base import ReadOnlyColumnCollection
from sqlalchemy.sql.compiler import SQLCompiler

from db.owner import OWNER

POSITION = re.compile(r"\$(\d+)")
ARGUMENT = 'arguments."{}"'
"""A parameter in the function that runs a group of calls."""

SHORT_LOCK_TIMEOUT = """IF json_array_length(calls) > 1 THEN
                    setting := set_config('lock_timeout', '250ms', true);
                END IF;"""

_DIALECT = postgresql.dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]


class Returning(Protocol):
    """Any SQLAlchemy clause that returns rows."""

    @property
    def exported_columns(self) -> ReadOnlyColumnCollection[Any, Any]:
        """The columns of its rows."""

    def compile(self, *, dialect: Dialect) -> Compiled:
        """The clause as SQL."""


class Access(Enum):
    """What a statement does to the data; it decides where it may run, and how often."""

    READ = auto()
    """It changes nothing: a standby can run it, and it is run again if its connection is lost."""

    LOCK = auto()
    """It changes nothing, but takes a lock until its transaction ends."""

    WRITE = auto()
    """It may change rows."""


class Statement:
    """A named statement, as SQL to be run with or without being prepared, alone or in a group."""

    def __init__(
        self, name: str, clause: Returning, access: Access, *, finds_many: bool = False
    ) -> None:
        self.name = name
        self.access = access
        self.finds_many = finds_many
        self._clause = clause

    def beside(self, other: Select[Any]) -> "Statement":
        """A statement that returns an array of another document and its own, of one snapshot."""
        assert self.returns_document and isinstance(self._clause, Select), self.name
        both = func.json_build_array(
            other.scalar_subquery(), self._clause.scalar_subquery(), type_=JSON
        )
        return Statement(f"{self.name}_beside", select(both), self.access, finds_many=True)

    @cached_property
    def _compiled(self) -> SQLCompiler:
        compiled = self._clause.compile(dialect=_DIALECT)
        assert isinstance(compiled, SQLCompiler)
        return compiled

    @property
    def text(self) -> str:
        """The SQL, with its parameters by their positions."""
        return self._compiled.string

    @cached_property
    def has_owner(self) -> bool:
        """Whether it reads or writes the rows of one user, its parameter."""
        return OWNER in self._names

    @cached_property
    def changes_user_data(self) -> bool:
        """Whether it may change one user's rows."""
        return self.access is Access.WRITE and self.has_owner

    @cached_property
    def returns_document(self) -> bool:
        """Whether it is about one user's rows and returns one JSON document or none."""
        returned = [column.type for column in self._clause.exported_columns]
        return self.has_owner and len(returned) == 1 and isinstance(returned[0], JSON)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns it returns, in order."""
        return tuple(self._clause.exported_columns.keys())

    def as_dicts(self, rows: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
        """Rows that it returned, by the names of their columns."""
        return [dict(zip(self.columns, row, strict=True)) for row in rows]

    @cached_property
    def _names(self) -> list[str]:
        """The names of its parameters, by their positions."""
        return self._compiled.positiontup or []

    @property
    def _parameters(self) -> Iterator[tuple[str, str]]:
        for name in self._names:
            yield name, self._compiled.binds[name].type.compile(_DIALECT)

    @cached_property
    def preparation(self) -> str:
        """The SQL that prepares it on a connection."""
        types = ", ".join(kind for _, kind in self._parameters)
        parameters = f" ({types})" if types else ""
        return f"PREPARE {self.name}{parameters} AS {self.text}"

    def preparations(self, *, functions: bool) -> list[str]:
        """The SQL that prepares it in every way that it can be run on a connection."""
        if functions and self.returns_document:
            return [self.preparation, self.preparation_for_each]
        return [self.preparation]

    def deallocations(self, *, functions: bool) -> list[str]:
        """The SQL that deallocates what `preparations` has prepared."""
        if functions and self.returns_document:
            return [self.deallocation, self.deallocation_for_each]
        return [self.deallocation]

    def alone(self, _: dict[str, Any]) -> "Statement":
        """The statement that runs one of its calls by itself."""
        return self

    def sql(self, values: dict[str, Any], *, prepared: bool) -> str:
        """The SQL that runs it, after a setting with the owner for row-level security.

        Both are sent as one query and are one transaction; the setting ends with it. On PostgreSQL
        18 this costs half as much as `SELECT set_config(…)`.
        """
        statement = self.prepared if prepared else self.bare
        if not self.has_owner:
            return statement
        owner: UUID = values[OWNER]
        return f"SET LOCAL errand.user_id = '{owner.hex}'; {statement}"

    @cached_property
    def prepared(self) -> str:
        """The SQL that runs it on a connection that has prepared it."""
        values = ", ".join(f"%({name})s" for name, _ in self._parameters)
        return f"EXECUTE {self.name} ({values})".replace(" ()", "")

    @cached_property
    def prepared_for_each(self) -> str:
        """The SQL that runs it for each of several calls, by a function of the connection."""
        return f"EXECUTE {self.name}_for_each (%(calls)s)"

    @cached_property
    def preparation_for_each(self) -> str:
        """The SQL that creates that function, for this session only, and prepares its call.

        It sets the owner of each call for row-level security. If there are several calls, none
        waits long for a lock. It stops after 20 ms: calls that share a commit wait for each other.
        """
        function = f"{self.name}_for_each"
        columns = ", ".join(f'"{name}" {kind}' for name, kind in self._fields)
        return f"""
            CREATE FUNCTION pg_temp.{function}(calls json) RETURNS SETOF json
            LANGUAGE plpgsql AS $function$
            DECLARE arguments record; setting text; document json;
            BEGIN
                {SHORT_LOCK_TIMEOUT if self._waits_for_locks else ""}
                FOR arguments IN SELECT * FROM json_to_recordset(calls) AS call ({columns}) LOOP
                    setting := set_config('errand.user_id', arguments.{OWNER}::text, true);
                    {self._assignment}
                    RETURN NEXT document;
                    EXIT WHEN clock_timestamp() > statement_timestamp() + interval '20 ms';
                END LOOP;
            END $function$;
            PREPARE {function} (json) AS SELECT pg_temp.{function}($1)
        """  # noqa: S608

    @property
    def _waits_for_locks(self) -> bool:
        """Whether a call may wait for a lock."""
        return self.access is not Access.READ

    @property
    def _fields(self) -> Iterable[tuple[str, str]]:
        """The names and types of what that function is given with each call."""
        return self._parameters

    @property
    def _assignment(self) -> str:
        """What that function does with `arguments`: it sets `document`."""
        return f"{self._with_names(self.text, ARGUMENT)} INTO document;"

    @property
    def deallocation(self) -> str:
        """The SQL that deallocates it on a connection."""
        return f"DEALLOCATE {self.name}"

    @property
    def deallocation_for_each(self) -> str:
        """The SQL that deallocates and drops that function."""
        function = f"{self.name}_for_each"
        return f"DEALLOCATE {function}; DROP FUNCTION pg_temp.{function}(json)"

    @cached_property
    def bare(self) -> str:
        """The SQL that runs it unprepared; without the owner's setting it finds no rows."""
        return self._with_names(self.text.replace("%", "%%"), "%({})s")

    def _with_names(self, sql: str, form: str) -> str:
        """The SQL with its parameters by name instead of position, each in that form."""
        return POSITION.sub(lambda position: form.format(self._names[int(position[1]) - 1]), sql)
