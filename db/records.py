"""Records with the same fields, kept by field: a page of a list, as the database returns it."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, overload

import orjson

Record = dict[str, Any]
MOST_READERS = 1024


class Records:
    """Records with the same fields; a field that is the same in all of them is kept once.

    They are not changed: what is made of them is new.
    """

    __slots__ = ("columns", "constants", "size")

    def __init__(self, size: int, columns: Mapping[str, Any], constants: frozenset[str]) -> None:
        """For each field a list with the value of each record; for a constant, the value."""
        self.size = size
        self.columns = columns
        self.constants = constants

    def __len__(self) -> int:
        return self.size

    @overload
    def __getitem__(self, place: int) -> Record: ...

    @overload
    def __getitem__(self, place: slice) -> "Records": ...

    def __getitem__(self, place: int | slice) -> "Record | Records":
        columns = {
            name: values if name in self.constants else values[place]
            for name, values in self.columns.items()
        }
        if isinstance(place, int):
            return columns
        return Records(len(range(self.size)[place]), columns, self.constants)

    def without(self, field: str) -> "Records":
        """The records without one of their fields."""
        columns = {name: values for name, values in self.columns.items() if name != field}
        return Records(self.size, columns, self.constants - {field})

    def as_dicts(self) -> list[Record]:
        """Each record as a dictionary, its fields in order."""
        if not self.size:
            return []
        return _reader(tuple(self.columns), self.constants)(*self.columns.values())

    def as_json(self) -> bytes:
        """The records as a JSON array. Constants beside each other are one piece of each record."""
        pieces: dict[str, bytes] = {}
        columns: dict[str, Any] = {}
        first = None
        for name, values in self.columns.items():
            if name not in self.constants:
                columns[name], first = values, None
            elif first is None:
                columns[name], first = None, name
                pieces[name] = orjson.dumps(values)
            else:
                pieces[first] += b",%b:%b" % (orjson.dumps(name), orjson.dumps(values))
        columns.update((name, orjson.Fragment(piece)) for name, piece in pieces.items())
        joined = Records(self.size, columns, frozenset(pieces))
        return orjson.dumps(joined.as_dicts())


@lru_cache(maxsize=MOST_READERS)
def _reader(names: tuple[str, ...], constants: frozenset[str]) -> Callable[..., list[Record]]:
    """A function that makes dictionaries of the values of each field.

    It is compiled from a text: a dictionary literal takes half the time of any other way.
    """
    arguments = [f"field_{number}" for number, _ in enumerate(names)]
    varying = [
        argument for argument, name in zip(arguments, names, strict=True) if name not in constants
    ]
    fields = ", ".join(
        f"{name!r}: {argument}" for argument, name in zip(arguments, names, strict=True)
    )
    variables, columns = "".join(f"{each}, " for each in varying), ", ".join(varying)
    reader: Callable[..., list[Record]] = eval(  # noqa: S307
        f"lambda {', '.join(arguments)}:"
        f" [{{{fields}}} for {variables} in zip({columns}, strict=True)]"
    )
    return reader
