"""Lists as values: which of a user's tasks, in which order, and from where on."""

from collections.abc import Mapping
from enum import Enum
from hashlib import blake2b
from typing import Any, NamedTuple

from db.schema.clauses import ACTIVE_COLUMNS, TRASH_COLUMNS, tasks
from db.schema.fields import DEFAULTS, Filter, Ranked, Serves

LONGEST_NAME = 40

FILTERS: dict[str, Filter] = {
    each.name: each.info["filter"] for each in tasks.c if "filter" in each.info
}
INDEXES: set[Serves] = {each.info["serves"] for each in tasks.indexes if "serves" in each.info}

Values = Mapping[str, Any]


class Order(NamedTuple):
    """By which field a list is sorted; ties are by id, and nulls come last."""

    field: str
    descending: bool

    @classmethod
    def of(cls, sort: str | None, *, deleted: bool) -> "Order":
        """The order that `sort` names; by default the latest come first."""
        if sort is None:
            return cls("deleted_at" if deleted else "created_at", descending=True)
        return cls(sort.removeprefix("-"), sort.startswith("-"))

    @property
    def key(self) -> tuple[str, ...]:
        """The fields whose values say where in the order a task is."""
        return ("revision",) if self.field == "updated_at" else (self.field, "id")


class Page(Enum):
    """From where on a page is read; before a key, it is read backwards."""

    FIRST = "first"
    OFFSET = "offset"
    AFTER = "after"
    FROM = "from"
    BEFORE = "before"
    UNTIL = "until"

    @property
    def is_backwards(self) -> bool:
        """Whether the list is read in the opposite order."""
        return self in (Page.BEFORE, Page.UNTIL)

    @property
    def includes_key(self) -> bool:
        """Whether a task at the key is on the page."""
        return self in (Page.FROM, Page.UNTIL)


class Shape(NamedTuple):
    """What the statement of a list depends on: all but the values."""

    deleted: bool
    filters: tuple[str, ...]
    order: Order
    page: Page
    ranged: str | None = None
    """The filter whose index the page reads, a range for each of its values."""
    key_is_null: bool = False

    @property
    def looks_through(self) -> bool:
        """Whether it filters what it reads, and so may stop before the page is full."""
        return self.page is not Page.OFFSET and bool(not self.is_served or self.unserved_filters)

    @property
    def is_served(self) -> bool:
        """Whether an index has the tasks of this list alone, in its order."""
        return Serves(self.order.field, self.deleted, self.ranged) in INDEXES

    @property
    def unserved_filters(self) -> list[str]:
        """The filters that the rows of the index must be compared with."""
        return [each for each in self.filters if each != self.ranged]

    @property
    def names(self) -> list[str]:
        """The fields of the tasks that it returns."""
        return TRASH_COLUMNS if self.deleted else ACTIVE_COLUMNS

    @property
    def statement_name(self) -> str:
        """The same for the same shape, in every process; PostgreSQL cuts long names off."""
        order = f"{self.order.field}{'_desc' if self.order.descending else ''}"
        filters = [f"{each}_ranges" if each == self.ranged else each for each in self.filters]
        parts = ["trash" if self.deleted else "tasks", "by", order, *filters, self.page.value]
        name = "_".join(["list", *parts, *(["null"] if self.key_is_null else [])])
        if len(name) <= LONGEST_NAME:
            return name
        return f"{name[:LONGEST_NAME]}_{blake2b(name.encode(), digest_size=6).hexdigest()}"


class ListQuery(NamedTuple):
    """Which of a user's tasks, and in which order."""

    deleted: bool
    filters: Values
    order: Order

    @classmethod
    def of(cls, filters: Values, sort: str | None, *, deleted: bool) -> "ListQuery":
        """The list with these filters and this order; a filter that is None is left out."""
        return cls(deleted, _without_none(filters), Order.of(sort, deleted=deleted))

    @property
    def parameters(self) -> dict[str, Any]:
        """The values of its filters, as the columns store them."""
        return {name: _stored(name, value) for name, value in self.filters.items()}

    def digest(self) -> bytes:
        """The same for the same list, in whatever order its filters are written."""
        filters = [
            (name, sorted(set(value)) if isinstance(value, list) else value)
            for name, value in sorted(self.filters.items())
        ]
        return blake2b(repr((self.deleted, filters, self.order)).encode(), digest_size=8).digest()

    def shape(self, page: Page, *, key_is_null: bool = False) -> Shape:
        """Its shape, for a page that begins there."""
        names = tuple(sorted(self.filters))
        ranged = next((each for each in names if self._has_ranges(each, page)), None)
        return Shape(self.deleted, names, self.order, page, ranged, key_is_null)

    def _has_ranges(self, name: str, page: Page) -> bool:
        """Whether an index has a range for each of the filter's values, in the list's order."""
        return (
            page is not Page.OFFSET
            and Serves(self.order.field, self.deleted, name) in INDEXES
            and DEFAULTS[name] not in self.filters[name]
        )


def _without_none(filters: Values) -> Values:
    return {name: value for name, value in filters.items() if value is not None}


def _stored(name: str, value: Any) -> Any:
    kind = tasks.c[name].type
    if FILTERS[name] is Filter.ANY_OF:
        value = list(dict.fromkeys(value))  # a repeated value has no second range
    return kind.ranks(value) if isinstance(kind, Ranked) else value
