"""What the statement of a list returns: it is the same for all lists of a shape, and computed once.

To compute it for each request took a tenth of the time of a list.
"""

from functools import lru_cache
from typing import NamedTuple

from db.postgres.statement import Statement
from db.schema.fields import RARE_FIELDS
from db.tasks.dates import MOMENTS
from db.tasks.list_shapes import Shape, is_nullable
from db.tasks.list_statements import MOST_SHAPES, statement_of


class PageLayout(NamedTuple):
    """The statement of a page, and what its document has."""

    statement: Statement

    names: tuple[str, ...]
    """The fields of the tasks, the rare ones last: they are one piece of JSON in plain tasks."""

    usual: tuple[str, ...]
    """Those that have an array of their own in the document."""

    nullable: tuple[str, ...]
    """Those that have null instead of an array if they are null in all tasks."""

    moments: tuple[str, ...]

    private: tuple[str, ...]
    """Those that only cursors need."""

    has_edges: bool
    """Whether an array follows that marks the last of the scanned rows."""

    is_backwards: bool

    sorts_few: bool
    """Whether another statement sorts the tasks if they are few."""


@lru_cache(maxsize=MOST_SHAPES)
def layout_of(shape: Shape) -> PageLayout:
    """The layout of a page of this shape."""
    return PageLayout(
        statement=statement_of(shape),
        names=tuple(sorted(shape.names, key=RARE_FIELDS.__contains__)),
        usual=shape.usual,
        nullable=tuple(filter(is_nullable, shape.usual)),
        moments=tuple(name for name in shape.usual if name in MOMENTS),
        private=tuple(shape.private),
        has_edges=shape.filters_rows,
        is_backwards=shape.start.is_backwards,
        sorts_few=shape.sorts_few,
    )
