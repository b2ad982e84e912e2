"""A statement, compiled once from SQLAlchemy Core to what the driver sends."""

import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Protocol

from sqlalchemy import Select
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Compiled, Dialect
from sqlalchemy.sql.base import ReadOnlyColumnCollection
from sqlalchemy.sql.compiler import SQLCompiler

_DIALECT = postgresql.dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]


class Returning(Protocol):
    """Any SQLAlchemy clause that returns rows."""

    @property
    def exported_columns(self) -> ReadOnlyColumnCollection[Any, Any]:
        """What it returns."""

    def compile(self, *, dialect: Dialect) -> Compiled:
        """It as text."""


class Statement:
    """A named statement, in the two forms that a connection may want it."""

    def __init__(self, name: str, clause: Returning) -> None:
        self.name = name
        self.only_reads = isinstance(clause, Select)
        self._clause = clause

    @cached_property
    def _compiled(self) -> SQLCompiler:
        compiled = self._clause.compile(dialect=_DIALECT)
        assert isinstance(compiled, SQLCompiler)
        return compiled

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The names of what it returns, in order."""
        return tuple(self._clause.exported_columns.keys())

    @property
    def _parameters(self) -> Iterator[tuple[str, str]]:
        for name in self._compiled.positiontup or []:
            yield name, self._compiled.binds[name].type.compile(_DIALECT)

    @cached_property
    def preparation(self) -> str:
        """What makes it known to a connection, once."""
        types = ", ".join(kind for _, kind in self._parameters)
        return f"PREPARE {self.name} ({types}) AS {self._compiled.string}".replace(" ()", "")

    @cached_property
    def prepared(self) -> str:
        """What runs it on a connection to which it is known."""
        values = ", ".join(f"%({name})s" for name, _ in self._parameters)
        return f"EXECUTE {self.name} ({values})".replace(" ()", "")

    @cached_property
    def plain(self) -> str:
        """What runs it on any connection."""
        names = self._compiled.positiontup or []
        return re.sub(
            r"\$(\d+)",
            lambda place: f"%({names[int(place[1]) - 1]})s",
            self._compiled.string.replace("%", "%%"),
        )
