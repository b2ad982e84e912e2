"""A file that a client sends."""

from collections.abc import Callable
from typing import NamedTuple

from db.transfers.lines import Incoming, Lines


class File(NamedTuple):
    """Its media type, and its lines, checked by the contract."""

    media_type: str
    lines: Lines
    faults: Callable[[Incoming], list[tuple[str, str]]]
    """What is wrong with a list or task that was made of a line: each with its field."""
