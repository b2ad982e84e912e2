"""What an import reads of a file: lines, and what is wrong with others."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from db.errors import LineFault


class Line(NamedTuple):
    """One thing of a file, at this line: as the file has it, or as it is imported."""

    number: int | None
    """None in a file that has no lines, such as a JSON document."""

    value: Any

    pointer: str = ""
    """Where it is in a JSON document."""


class Incoming(NamedTuple):
    """A list or a task that is imported."""

    kind: str
    """`list` or `task`."""

    fields: dict[str, Any]
    """The fields that the file has, as JSON; those that it lacks stay as they are stored."""

    list_title: str | None = None
    """The title of the list of the task, which is found or created."""


Lines = Iterator[Line | LineFault]
