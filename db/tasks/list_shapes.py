"""The shapes of lists: the order, the start of the page, and all else that determines the SQL."""

from enum import Enum
from hashlib import blake2b
from typing import NamedTuple

from db.owner import OWNER
from db.schema.clauses import ACTIVE_COLUMNS, TRASH_COLUMNS, task_tags, tasks
from db.schema.fields import RARE_FIELDS, Filter, Serves

LONGEST_NAME = 40
SEARCH = "q"
COMPLETION, COMPLETION_REVISION = "completed_at", "completion_revision"
TAG = "tag"
FINDERS = ("parent_id", TAG, "list_id")
"""The filters that leave few tasks, those that leave the fewest first."""
RELEVANCE = "relevance"

FILTERS: dict[str, tuple[str, Filter]] = {
    name: (each.name, kind)
    for each in tasks.c
    for name, kind in [
        *([(each.name, each.info["filter"])] if "filter" in each.info else []),
        *each.info.get("filters", {}).items(),
    ]
}
"""For each filter, the column that it is about, and how it chooses tasks by its value."""
INDEXES: set[Serves] = {
    each.info["serves"] for each in (*tasks.indexes, task_tags.primary_key) if "serves" in each.info
}


def is_nullable(field: str) -> bool:
    """Whether a field of a list's tasks may be null."""
    return field in tasks.c and bool(tasks.c[field].nullable)


class Order(NamedTuple):
    """The field by which a list is sorted; then by id. Nulls come last."""

    field: str
    descending: bool

    @classmethod
    def of(cls, sort: str | None, *, deleted: bool) -> "Order":
        """The order that `sort` names; by default the newest tasks come first."""
        if sort is None:
            return cls("deleted_at" if deleted else "created_at", descending=True)
        field = sort.removeprefix("-")
        # The most relevant tasks come first: ascending is the rank.
        return cls(field, sort.startswith("-") is not (field == RELEVANCE))

    @property
    def key(self) -> tuple[str, ...]:
        """The fields that determine the position of a task in the order."""
        if self.field == RELEVANCE:
            return (RELEVANCE, "created_at", "id")
        if self.field == COMPLETION:
            return (COMPLETION, "id", COMPLETION_REVISION)
        return ("revision",) if self.field == "updated_at" else (self.field, "id")


class Start(Enum):
    """Where a page begins; `FROM` and `UNTIL` include the task at the key."""

    FIRST = "first"
    OFFSET = "offset"
    AFTER = "after"
    FROM = "from"
    BEFORE = "before"
    UNTIL = "until"

    @property
    def is_backwards(self) -> bool:
        """Whether the page is before the key, and so is read in the opposite order."""
        return self in (Start.BEFORE, Start.UNTIL)

    @property
    def includes_key(self) -> bool:
        """Whether the task at the key is on the page."""
        return self in (Start.FROM, Start.UNTIL)


class Shape(NamedTuple):
    """Everything that determines the SQL of a list: all but the values."""

    deleted: bool
    filters: tuple[str, ...]
    order: Order
    start: Start
    ranged: str | None = None
    """The filter whose index is read: one range of the index for each value."""
    key_is_null: bool = False
    is_found: bool = False
    """Whether the tasks that a search or the `finder` leaves are read first, and then sorted."""

    @property
    def descends(self) -> bool:
        """Whether the page is read in descending order."""
        return self.order.descending is not self.start.is_backwards

    @property
    def is_search(self) -> bool:
        """Whether the list has only tasks with some words."""
        return SEARCH in self.filters

    @property
    def is_by_relevance(self) -> bool:
        """Whether the order is by relevance, which is not a field of a task."""
        return self.order.field == RELEVANCE

    @property
    def has_nulls(self) -> bool:
        """Whether the sorted field of a task in the list may be null."""
        return is_nullable(self.order.field) and self.order.field != "deleted_at"

    @property
    def sorted_filters(self) -> list[str]:
        """The filters about the sorted field, if it may be null: they bound the range.

        The index of the order by completion has other values: none bounds it.
        """
        if not self.has_nulls or self.order.field == COMPLETION:
            return []
        return [each for each in self.filters if FILTERS[each][0] == self.order.field]

    @property
    def filters_rows(self) -> bool:
        """Whether rows of the index are filtered, so that the page may end before it is full."""
        if self.start is Start.OFFSET or self.is_found:
            return False
        return not self.is_served or bool(self.unserved_filters)

    @property
    def is_served(self) -> bool:
        """Whether an index has the tasks in this order: those in the trash, or those that are not.

        Filters other than `ranged` do not count: they are compared with each row.
        """
        field = "created_at" if self.is_by_relevance else self.order.field
        return Serves(field, self.deleted, self.ranged) in INDEXES

    @property
    def unserved_filters(self) -> list[str]:
        """The filters that no index serves: they are compared with each row."""
        bounding = [*self.sorted_filters, *([] if self.is_tagged else [self.ranged])]
        # Not all tasks that are due before now are overdue.
        partly = [each for each in bounding if each and FILTERS[each][1] is Filter.OVERDUE]
        return [each for each in self.filters if each in partly or each not in bounding]

    @property
    def finder(self) -> str | None:
        """The filter that leaves the fewest tasks: an index has the tasks of each of its values."""
        return next((each for each in FINDERS if each in self.filters), None)

    @property
    def sorts_few(self) -> bool:
        """Whether the tasks of the finder are sorted if they are few: no index has their order."""
        is_listed = not self.deleted and self.start is not Start.OFFSET
        has_no_range = self.finder is not None and self.finder != self.ranged
        return has_no_range and is_listed and not self.is_search

    @property
    def is_tagged(self) -> bool:
        """Whether the tasks with the first of several tags are read, and compared with all."""
        return self.ranged is not None and FILTERS[self.ranged][1] is Filter.ALL_OF

    @property
    def names(self) -> tuple[str, ...]:
        """The fields of the tasks that it returns."""
        return (*(TRASH_COLUMNS if self.deleted else ACTIVE_COLUMNS), *self.private)

    @property
    def usual(self) -> tuple[str, ...]:
        """Those of them that are returned as an array of their own."""
        return tuple(name for name in self.names if name not in RARE_FIELDS and name != OWNER)

    @property
    def private(self) -> list[str]:
        """The fields that only cursors need: clients do not get them."""
        of_order = {RELEVANCE: [RELEVANCE], COMPLETION: [COMPLETION_REVISION]}
        return of_order.get(self.order.field, [])

    @property
    def statement_name(self) -> str:
        """The statement's name, equal in every process; PostgreSQL truncates long names."""
        order = f"{self.order.field}{'_desc' if self.order.descending else ''}"
        filters = [f"{each}_ranges" if each == self.ranged else each for each in self.filters]
        parts = ["trash" if self.deleted else "tasks", "by", order, *filters, self.start.value]
        flags = {"null": self.key_is_null, "found": self.is_found}
        name = "_".join(["list", *parts, *(flag for flag, is_set in flags.items() if is_set)])
        if len(name) <= LONGEST_NAME:
            return name
        return f"{name[:LONGEST_NAME]}_{blake2b(name.encode(), digest_size=6).hexdigest()}"
