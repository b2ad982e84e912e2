"""Recurrence rules by definition: whether a day is one of a rule, slowly, day by day."""

from collections.abc import Callable
from datetime import date, timedelta
from itertools import pairwise

Parts = dict[str, str]
WEEKDAYS = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]
DAY = timedelta(days=1)


def days_by_definition(text: str, start: date, end: date) -> list[date]:
    """The days of the rule after the one on which it starts, and before the end."""
    parts = _completed(dict(part.split("=") for part in text.split(";")), start)
    found = []
    day = _begin_of_period(parts, start)
    while day < end:
        begin = day
        period = []
        while _begin_of_period(parts, day) == begin:
            if _is_in_every_part(parts, day):
                period.append(day)
            day += DAY
        if _periods_between(parts, start, begin) % int(parts.get("INTERVAL", "1")) == 0:
            found += _at_positions(parts, period)
    return [day for day in found if start < day < end]


def _completed(parts: Parts, start: date) -> Parts:
    """RFC 5545: "information missing from the rule is taken from DTSTART"."""
    has_days = {"BYDAY", "BYMONTHDAY", "BYYEARDAY"} & parts.keys()
    if parts["FREQ"] == "DAILY" or has_days:
        return parts
    if parts["FREQ"] == "WEEKLY" or "BYWEEKNO" in parts:
        return {**parts, "BYDAY": WEEKDAYS[start.weekday()]}
    if parts["FREQ"] == "MONTHLY":
        return {**parts, "BYMONTHDAY": str(start.day)}
    return {"BYMONTH": str(start.month), **parts, "BYMONTHDAY": str(start.day)}


def _begin_of_period(parts: Parts, day: date) -> date:
    match parts["FREQ"]:
        case "DAILY":
            return day
        case "WEEKLY":
            return _begin_of_week(parts, day)
        case "MONTHLY":
            return day.replace(day=1)
        case _:
            return day.replace(month=1, day=1)


def _begin_of_week(parts: Parts, day: date) -> date:
    while WEEKDAYS[day.weekday()] != parts.get("WKST", "MO"):
        day -= DAY
    return day


def _periods_between(parts: Parts, start: date, begin: date) -> int:
    first = _begin_of_period(parts, start)
    match parts["FREQ"]:
        case "DAILY":
            return (begin - first).days
        case "WEEKLY":
            return (begin - first).days // 7
        case "MONTHLY":
            return (begin.year - first.year) * 12 + begin.month - first.month
        case _:
            return begin.year - first.year


def _is_in_every_part(parts: Parts, day: date) -> bool:
    first, last = day.replace(month=1, day=1), day.replace(month=12, day=31)
    checks: dict[str, Callable[[], list[int]]] = {
        "BYMONTH": lambda: [day.month],
        "BYMONTHDAY": lambda: [day.day, -1 - _days_left_of_month(day)],
        "BYYEARDAY": lambda: [(day - first).days + 1, -1 - (last - day).days],
        "BYWEEKNO": lambda: _numbers_of_week(parts, day),
    }
    for name, numbers in checks.items():
        if name in parts and not {*map(str, numbers())} & {*parts[name].split(",")}:
            return False
    return "BYDAY" not in parts or bool({*_names(parts, day)} & {*parts["BYDAY"].split(",")})


def _days_left_of_month(day: date) -> int:
    return next(n for n in range(31) if (day + (n + 1) * DAY).month != day.month)


def _numbers_of_week(parts: Parts, day: date) -> list[int]:
    """Counted from the week with the fourth of January, and back from the last one."""
    begins = [_begin_of_week(parts, date(year, 1, 4)) for year in range(day.year - 1, day.year + 3)]
    begin, after = next((a, b) for a, b in pairwise(begins) if a <= day < b)
    return [(day - begin).days // 7 + 1, -1 - (after - day - DAY).days // 7]


def _names(parts: Parts, day: date) -> list[str]:
    """`FR`, and `2FR` and `-3FR` within the month or the year."""
    name = WEEKDAYS[day.weekday()]
    of_month = parts["FREQ"] == "MONTHLY" or "BYMONTH" in parts

    def count(step: int) -> int:
        other, number = day, 0
        while (other.year, other.month if of_month else 0) == (day.year, day.month * of_month):
            other, number = other + 7 * step * DAY, number + 1
        return number

    return [name, f"{count(-1)}{name}", f"-{count(1)}{name}"]


def _at_positions(parts: Parts, days: list[date]) -> list[date]:
    if "BYSETPOS" not in parts:
        return days
    positions = {int(each) for each in parts["BYSETPOS"].split(",")}
    return [day for n, day in enumerate(days) if n + 1 in positions or n - len(days) in positions]
