"""Queries for lists: the filters and the order."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time
from functools import cached_property, lru_cache
from hashlib import blake2b
from typing import Any
from uuid import UUID

from db.caseless import folded
from db.errors import OrderRefused
from db.schema.clauses import tasks
from db.schema.fields import DEFAULTS, Filter, Ranked, Serves
from db.tasks.dates import in_utc
from db.tasks.list_shapes import FILTERS, FINDERS, INDEXES, RELEVANCE, SEARCH, Order, Shape, Start
from db.tasks.searches import Search
from db.zones import today_in

END = "infinity"
DIGEST_SIZE = 8
OVERDUE = "overdue"
ONLY_SEARCHES = "Only a search, a list with `q`, is sorted by relevance."

Values = Mapping[str, Any]


@dataclass(frozen=True)
class ListQuery:
    """The filters and the order of a list."""

    deleted: bool
    filters: Values
    order: Order
    zone: str | None = None
    """The time zone that decides what is overdue, if that is a filter."""

    @classmethod
    def of(
        cls, filters: Values, sort: str | None, *, deleted: bool, zone: str = "UTC"
    ) -> "ListQuery":
        """The list with these filters and this order; a filter that is None is left out.

        Raises `OrderRefused` if the list cannot be sorted so.
        """
        filters = _without_none(filters)
        if not filters:
            return _unfiltered(sort, deleted)
        order = Order.of(sort, deleted=deleted)
        return cls(deleted, filters, order, zone if OVERDUE in filters else None)

    def __post_init__(self) -> None:
        if self.order.field == RELEVANCE and not self.is_search:
            raise OrderRefused(ONLY_SEARCHES)

    @property
    def is_search(self) -> bool:
        """Whether the list has only tasks with some words."""
        return SEARCH in self.filters

    def search(self, owner: UUID) -> Search:
        """What it searches for in the owner's tasks, if it is a search."""
        return Search.of(self.filters[SEARCH], owner)

    def parameters(self, owner: UUID) -> dict[str, Any]:
        """The values of its filters, as the columns store them; `overdue` is of this moment."""
        search = self.search(owner)._asdict() if self.is_search else {}
        columns = [name for name in self.filters if name != SEARCH]
        today = {} if self.zone is None else self._of_today(self.zone)
        return {**{name: _stored(name, self.filters[name]) for name in columns}, **search, **today}

    def _of_today(self, zone: str) -> dict[str, Any]:
        now = datetime.now(UTC)
        today = today_in(zone, now)
        latest = max(now, datetime.combine(today, time.min, UTC))
        return {"now": now, "today": today, "due_until": latest if self.filters[OVERDUE] else END}

    @cached_property
    def digest(self) -> bytes:
        """A hash of the list, whatever the order of its filters."""
        filters = [
            (name, sorted(set(value)) if isinstance(value, list) else value)
            for name, value in sorted(self.filters.items())
        ]
        parts = (self.deleted, filters, self.order, self.zone)
        return blake2b(repr(parts).encode(), digest_size=DIGEST_SIZE).digest()

    def shape(self, start: Start, *, key_is_null: bool = False) -> Shape:
        """The shape of a page with this start."""
        if not self.filters:  # the list that is read most
            return Shape(self.deleted, (), self.order, start, None, key_is_null)
        names = tuple(sorted(self.filters))
        with_ranges = [each for each in names if self._has_ranges(each, start)]
        ranged = next((each for each in (*FINDERS, *with_ranges) if each in with_ranges), None)
        return Shape(self.deleted, names, self.order, start, ranged, key_is_null)

    def _has_ranges(self, name: str, start: Start) -> bool:
        """Whether an index has a range for each of the filter's values, in the list's order."""
        return (
            start is not Start.OFFSET
            and Serves(self.order.field, self.deleted, name) in INDEXES
            and DEFAULTS.get(name) not in _listed(self.filters[name])
        )


@lru_cache
def _unfiltered(sort: str | None, deleted: bool) -> ListQuery:
    """The list of all tasks: it is read most, so what is computed of it is kept."""
    return ListQuery(deleted, {}, Order.of(sort, deleted=deleted))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _without_none(filters: Values) -> Values:
    return {name: value for name, value in filters.items() if value is not None}


def _stored(name: str, value: Any) -> Any:
    column, kind_of_filter = FILTERS[name]
    kind = tasks.c[column].type
    if kind_of_filter in (Filter.BEFORE, Filter.SINCE):
        return in_utc(value)
    if kind_of_filter is Filter.ALL_OF:
        return list(dict.fromkeys(map(folded, value)))
    if kind_of_filter is Filter.ANY_OF:
        value = list(dict.fromkeys(value))  # a repeated value must not be read twice
    return kind.ranks(value) if isinstance(kind, Ranked) else value
