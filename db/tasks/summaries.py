"""A summary of a user's tasks: numbers, all counted by one statement in one scan of the tasks."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    JSON,
    ColumnElement,
    Date,
    DateTime,
    Integer,
    bindparam,
    func,
    literal_column,
    select,
)

from db.database import Session
from db.postgres.statement import Access, Statement
from db.schema.clauses import tasks, this_user
from db.schema.fields import Priority
from db.zones import begin_of, today_in

DAYS = 30
DAYS_OF_WEEK = 7
NONE = [0, 0]

_moment = DateTime(timezone=True)


class Calendar(NamedTuple):
    """The days of a summary in a time zone, and the moments at which they begin."""

    now: datetime
    today: date
    tomorrow: date
    monday: date
    next_monday: date
    today_begins: datetime
    tomorrow_begins: datetime
    monday_begins: datetime
    next_monday_begins: datetime
    days: list[datetime]
    """The begin of each of the last days, and the end of today."""

    @classmethod
    def of(cls, zone: str, now: datetime) -> "Calendar":
        """The calendar of the zone at this moment; a week begins on Monday."""
        today = today_in(zone, now)
        monday = today - timedelta(today.weekday())
        tomorrow, next_monday = today + timedelta(1), monday + timedelta(DAYS_OF_WEEK)
        return cls(
            now,
            today,
            tomorrow,
            monday,
            next_monday,
            today_begins=begin_of(today, zone),
            tomorrow_begins=begin_of(tomorrow, zone),
            monday_begins=begin_of(monday, zone),
            next_monday_begins=begin_of(next_monday, zone),
            days=[begin_of(tomorrow - timedelta(back), zone) for back in range(DAYS, -1, -1)],
        )


def _day(name: str) -> ColumnElement[date]:
    return bindparam(name, type_=Date)


def _time(name: str) -> ColumnElement[datetime]:
    return bindparam(name, type_=_moment)


def _is_due(begin: str, end: str) -> ColumnElement[bool]:
    """Whether a task is due on a day from `begin` on, and before `end`."""
    on, at = tasks.c.due_on, tasks.c.due_at
    on_a_day = (on >= _day(begin)) & (on < _day(end))
    at_a_moment = (at >= _time(f"{begin}_begins")) & (at < _time(f"{end}_begins"))
    return (on_a_day | at_a_moment).is_(True)


_is_overdue = ((tasks.c.due_on < _day("today")) | (tasks.c.due_at < _time("now"))).is_(True)
_task = (
    select(
        tasks.c.completed,
        tasks.c.priority,
        tasks.c.list_id,
        _is_overdue.label("overdue"),
        _is_due("today", "tomorrow").label("today"),
        _is_due("monday", "next_monday").label("this_week"),
        # 0 is before the first of the days; null is an open task
        func.width_bucket(
            tasks.c.completed_at, bindparam("days", type_=ARRAY(_moment)), type_=Integer
        ).label("day"),
    )
    .where(this_user, tasks.c.deleted_at.is_(None))
    .subquery("task")
)
_alike = select(*_task.c, func.count(type_=Integer).label("tasks")).group_by(*_task.c).cte("alike")
_done, _open = _alike.c.completed, ~_alike.c.completed


def _number(condition: ColumnElement[bool]) -> ColumnElement[int]:
    """How many tasks meet the condition."""
    counted = func.sum(_alike.c.tasks).filter(condition)
    return func.coalesce(counted, literal_column("0", Integer))


def _by(column: ColumnElement[Any], *numbers: ColumnElement[int]) -> ColumnElement[Any]:
    """Pairs of each value of the column and these numbers."""
    pair = func.json_build_array(column, func.json_build_array(*numbers), type_=JSON)
    pairs = select(pair.label("pair")).group_by(column).subquery()
    return select(func.json_agg(pairs.c.pair)).scalar_subquery()


_totals = select(
    func.json_build_array(
        _number(_open),
        _number(_done),
        _number(_open & _alike.c.overdue),
        _number(_open & _alike.c.today),
        _number(_open & _alike.c.this_week),
    )
).scalar_subquery()
TOTALS = ("open", "done", "overdue", "due_today", "due_this_week")

SUMMARY = Statement(
    "get_summary",
    select(
        func.json_build_array(
            _totals,
            _by(_alike.c.priority, _number(_open), _number(_done)),
            _by(_alike.c.list_id, _number(_open), _number(_done)),
            _by(_alike.c.day, _number(_done)),
            type_=JSON,
        ).label("summary")
    ),
    Access.READ,
    finds_many=True,
)

CATALOGUE = (SUMMARY,)
"""The statements that a connection prepares."""


async def summary(database: Session, user_id: UUID, *, zone: str, now: datetime) -> dict[str, Any]:
    """The numbers of the user's tasks at this moment, in this time zone."""
    calendar = Calendar.of(zone, now)
    totals, by_priority, by_list, by_day = await database.fetch_document(
        SUMMARY, user_id=user_id, **calendar._asdict()
    )
    return {
        "today": calendar.today.isoformat(),
        **dict(zip(TOTALS, totals, strict=True)),
        "by_priority": _by_priority(dict(by_priority or [])),
        "by_list": _by_list(dict(by_list or [])),
        "done_by_day": list(_by_day(calendar.today, dict(by_day or []))),
    }


def _by_priority(found: Mapping[int, list[int]]) -> list[dict[str, Any]]:
    """The numbers by rank, as those of all priorities."""
    numbers = [found.get(rank, NONE) for rank in range(len(Priority))]
    return [
        {"priority": each.value, **_open_and_done(of_priority)}
        for each, of_priority in zip(Priority, numbers, strict=True)
    ]


def _by_list(found: Mapping[str | None, list[int]]) -> list[dict[str, Any]]:
    """The numbers by list, those of the inbox first, even if it is empty."""
    lists = [None, *sorted(each for each in found if each is not None)]
    return [{"list_id": each, **_open_and_done(found.get(each, NONE))} for each in lists]


def _open_and_done(numbers: list[int]) -> dict[str, int]:
    return dict(zip(("open", "done"), numbers, strict=True))


def _by_day(today: date, found: Mapping[int, list[int]]) -> Iterable[dict[str, Any]]:
    """The numbers by the place of the day, as those of all days; today is the last."""
    for place in range(1, DAYS + 1):
        [done] = found.get(place, [0])
        yield {"day": (today - timedelta(DAYS - place)).isoformat(), "done": done}
