"""Records with the same fields, kept by field: a page of a list, as the database returns it."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple, overload

import orjson

Record = dict[str, Any]
MOST_ASSEMBLIES = 1024


class Records:
    """Records with the same fields; a field that is the same in all of them is kept once.

    They are not changed, but for `cut`: what is made of them is new.
    """

    __slots__ = ("columns", "constants", "names", "size")

    def __init__(
        self,
        size: int,
        columns: Mapping[str, list[Any]],
        constants: Record,
        names: tuple[str, ...],
    ) -> None:
        """For each field the value of each record, or one for all; and the fields in order."""
        self.size = size
        self.columns = columns
        self.constants = constants
        self.names = names

    def __len__(self) -> int:
        return self.size

    @overload
    def __getitem__(self, place: int) -> Record: ...

    @overload
    def __getitem__(self, place: slice) -> "Records": ...

    def __getitem__(self, place: int | slice) -> "Record | Records":
        columns = {name: values[place] for name, values in self.columns.items()}
        if isinstance(place, int):
            return self.constants | columns
        return Records(len(range(self.size)[place]), columns, self.constants, self.names)

    def cut(self, size: int) -> None:
        """Keep only so many, the first ones."""
        if size < self.size:
            self.size = size
            for values in self.columns.values():
                del values[size:]

    def value(self, name: str, place: int) -> Any:
        """One field of one of the records."""
        values = self.columns.get(name)
        return self.constants[name] if values is None else values[place]

    def without(self, field: str) -> "Records":
        """The records without one of their fields."""
        columns = {name: values for name, values in self.columns.items() if name != field}
        constants = {name: value for name, value in self.constants.items() if name != field}
        names = tuple(name for name in self.names if name != field)
        return Records(self.size, columns, constants, names)

    def as_dicts(self) -> list[Record]:
        """Each record as a dictionary, its fields in order."""
        records = [self[place] for place in range(self.size)]
        return [{name: record[name] for name in self.names} for record in records]

    def as_json(self) -> bytes:
        """The records as a JSON array."""
        if not self.size:
            return b"[]"
        assembly = _assembly(self.names, tuple(self.columns))
        return orjson.dumps(
            assembly.assemble(
                *self.columns.values(),
                *[run.piece(self.constants) for run in assembly.runs],
            )
        )


class Run:
    """Constants beside each other: one piece of JSON, which is kept for the next page.

    A field's values are of one type, and not changed in place: those that are equal have the same
    JSON.
    """

    def __init__(self, names: list[str]) -> None:
        self._names = names
        self._values_in = itemgetter(*names)
        self._prefix = len(orjson.dumps(names[0])) + len("{:")
        self._kept: tuple[Any, Any] = None, None

    def piece(self, constants: Record) -> Any:
        """The value of the first field; the names and values of the others follow it."""
        values = self._values_in(constants)
        if len(self._names) == 1:
            return values
        kept, piece = self._kept
        if values != kept:
            written = orjson.dumps(dict(zip(self._names, values, strict=True)))
            piece = orjson.Fragment(written[self._prefix : -1])
            self._kept = values, piece
        return piece


class Assembly(NamedTuple):
    """How records are made of columns and constants."""

    runs: list[Run]
    """Constants beside each other are one piece of each record."""
    assemble: Callable[..., list[Record]]
    """Makes the records of the columns and the pieces.

    It is compiled from a text: a dictionary literal takes half the time of any other way.
    """


@lru_cache(maxsize=MOST_ASSEMBLIES)
def _assembly(names: tuple[str, ...], columns: tuple[str, ...]) -> Assembly:
    variables = {name: f"field_{number}" for number, name in enumerate(columns)}
    runs: list[list[str]] = []
    fields: list[str] = []
    is_in_run = False
    for name in names:
        if name in variables:
            fields.append(f"{name!r}: {variables[name]}")
        elif is_in_run:
            runs[-1].append(name)
        else:
            fields.append(f"{name!r}: piece_{len(runs)}")
            runs.append([name])
        is_in_run = name not in variables
    values = ", ".join(variables.values())
    arguments = [*variables.values(), *(f"piece_{number}" for number, _ in enumerate(runs))]
    assemble: Callable[..., list[Record]] = eval(  # noqa: S307
        f"lambda {', '.join(arguments)}:"
        f" [{{{', '.join(fields)}}} for {values}, in zip({values}, strict=True)]"
    )
    return Assembly([Run(run) for run in runs], assemble)
