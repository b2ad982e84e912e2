"""The days of a recurrence rule.

The library `python-dateutil` is not used: nothing bounds its search, so a rule that has no day at
all takes it eight seconds; and it does not find the days of `BYDAY=MO,1FR`, nor all days of the
first week of a rule with BYSETPOS.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from functools import lru_cache

from db.recurrence.rule import Frequency, Numbers, Rule, Weekday

MOST_DAYS = 5_000
"""How many days of the periods of a rule are looked at, and what a period counts besides."""
PERIOD, EMPTY_PERIOD = 10, 5

LAST_YEAR = 9998
"""The year after it is left to time zones."""

CHUNK = 100
_WEEK = 7
_MONTHS = 12


def days_after(rule: Rule, start: date) -> Iterator[date]:
    """The days of the rule after the day on which it starts, in ascending order."""
    rule = _completed(rule, start)
    conditions = _conditions(rule)
    looked_at = 0
    for period in _periods(rule, start):
        looked_at += PERIOD + len(period) if period else EMPTY_PERIOD
        days: Iterable[date] = map(date.fromordinal, period)
        for condition in conditions:
            days = filter(condition, days)
        if rule.positions:
            days = _at_positions([*days], rule.positions)
        yield from (day for day in days if day > start)
        if looked_at >= MOST_DAYS:
            return


def _completed(rule: Rule, start: date) -> Rule:
    """The rule with what it leaves to the day on which it starts."""
    weekday = frozenset({Weekday(0, start.weekday())})
    has_days = rule.weekdays or rule.month_days or rule.year_days
    if rule.frequency is Frequency.DAILY or has_days:
        return rule
    if rule.frequency is Frequency.WEEKLY or rule.week_numbers:
        return rule._replace(weekdays=weekday)
    days = frozenset({start.day})
    if rule.frequency is Frequency.MONTHLY or rule.months:
        return rule._replace(month_days=days)
    return rule._replace(month_days=days, months=frozenset({start.month}))


def _periods(rule: Rule, start: date) -> Iterator[Sequence[int]]:
    """The days of each period, as ordinals, or those that may be days of the rule."""
    if rule.frequency is Frequency.YEARLY:
        return _years(rule, start.year)
    if rule.frequency is Frequency.MONTHLY:
        return _of_months(rule, start)
    end = date(LAST_YEAR, _MONTHS, 31).toordinal()
    if rule.frequency is Frequency.DAILY:
        every = range(start.toordinal(), end, rule.interval)
        return (every[first : first + CHUNK] for first in range(0, len(every), CHUNK))
    first = start.toordinal() - (start.weekday() - rule.week_start) % _WEEK
    begins = range(max(1, first), end - _WEEK, rule.interval * _WEEK)
    return (range(begin, begin + _WEEK) for begin in begins)


def _years(rule: Rule, first: int) -> Iterator[list[int]]:
    months = sorted(rule.months) or range(1, _MONTHS + 1)
    for year in range(first, LAST_YEAR + 1, rule.interval):
        if rule.year_days:
            yield _numbered(_year(year), rule.year_days)
        else:
            yield [day for month in months for day in _of_month(rule, year, month)]


def _of_months(rule: Rule, start: date) -> Iterator[Sequence[int]]:
    first = start.year * _MONTHS + start.month - 1
    for number in range(first, (LAST_YEAR + 1) * _MONTHS, rule.interval):
        year, month = number // _MONTHS, number % _MONTHS + 1
        yield _of_month(rule, year, month) if not rule.months or month in rule.months else ()


def _of_month(rule: Rule, year: int, month: int) -> Sequence[int]:
    days = _month(year, month)
    return _numbered(days, rule.month_days) if rule.month_days else days


def _numbered(days: range, numbers: Numbers) -> list[int]:
    """The days with these numbers, counted from the first or back from the last."""
    places = {number - 1 if number > 0 else len(days) + number for number in numbers}
    return [days[place] for place in sorted(places) if 0 <= place < len(days)]


def _month(year: int, month: int) -> range:
    after = date(year + month // _MONTHS, month % _MONTHS + 1, 1)
    return range(date(year, month, 1).toordinal(), after.toordinal())


def _year(year: int) -> range:
    return range(date(year, 1, 1).toordinal(), date(year + 1, 1, 1).toordinal())


def _conditions(rule: Rule) -> list[Callable[[date], bool]]:
    """What is true of each day of the rule."""
    conditions: list[tuple[object, Callable[[date], bool]]] = [
        (rule.weekdays, lambda day: day.weekday() in of_week),
        (rule.months, lambda day: day.month in rule.months),
        (
            rule.month_days,
            lambda day: _is_in(rule.month_days, day.day, len(_month(day.year, day.month))),
        ),
        (rule.week_numbers, lambda day: _is_in(rule.week_numbers, *_week(day, rule.week_start))),
        (any(each.nth for each in rule.weekdays), lambda day: _is_weekday(rule, day)),
    ]
    of_week = {each.weekday for each in rule.weekdays}
    return [condition for part, condition in conditions if part]


def _is_in(numbers: Numbers, number: int, last: int) -> bool:
    """Whether a number, counted from the first or back from the last, is among these."""
    return number in numbers or number - last - 1 in numbers


def _is_weekday(rule: Rule, day: date) -> bool:
    weekday = day.weekday()
    if Weekday(0, weekday) in rule.weekdays:
        return True
    if rule.frequency is Frequency.MONTHLY or rule.months:
        number, last = day.day, len(_month(day.year, day.month))
    else:
        number, last = _year_day(day), len(_year(day.year))
    from_first, from_last = (number - 1) // _WEEK + 1, -((last - number) // _WEEK + 1)
    return (from_first, weekday) in rule.weekdays or (from_last, weekday) in rule.weekdays


def _week(day: date, week_start: int) -> tuple[int, int]:
    """The number of the day's week, and that of the last week of the year to which it belongs.

    A week belongs to the year in which it has most of its days.
    """
    middle = day.toordinal() - (day.weekday() - week_start) % _WEEK + 3
    year = date.fromordinal(middle).year
    first, after = _first_week(year, week_start), _first_week(year + 1, week_start)
    return (middle - first) // _WEEK + 1, (after - first) // _WEEK


@lru_cache(maxsize=1000)
def _first_week(year: int, week_start: int) -> int:
    """The first day of the first week of a year: that with the fourth of January."""
    day = date(year, 1, 4)
    return day.toordinal() - (day.weekday() - week_start) % _WEEK


def _year_day(day: date) -> int:
    return day.toordinal() - date(day.year, 1, 1).toordinal() + 1


def _at_positions(days: list[date], positions: Numbers) -> list[date]:
    """The days at these positions of a period, counted from the first or back from the last."""
    last = len(days)
    return [day for number, day in enumerate(days, 1) if _is_in(positions, number, last)]
