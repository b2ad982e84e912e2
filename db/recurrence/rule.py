"""Recurrence rules as values: what the text of an RRULE (RFC 5545, section 3.3.10) says.

A rule recurs on days: the time of the day is that of the due. So the frequencies below a day, and
BYHOUR, BYMINUTE and BYSECOND, are refused.
"""

import re
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import NamedTuple

WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
MOST = 9999
"""The greatest INTERVAL and COUNT."""
MOST_WEEKS = 5

_COUNT = re.compile(r"(?<![A-Z])COUNT=\d+")
_DAY = re.compile(r"([+-]?\d{1,2})?(MO|TU|WE|TH|FR|SA|SU)")
_NUMBER = re.compile(r"[+-]?\d{1,3}")
_LARGE = {"BYMONTH": 12, "BYWEEKNO": 53, "BYYEARDAY": 366, "BYMONTHDAY": 31, "BYSETPOS": 366}


class InvalidRule(ValueError):
    """The text is no rule that the server supports; the message says why."""


class Frequency(StrEnum):
    """The period of a rule."""

    DAILY = "DAILY"
    WEEKLY = "WEEKLY"
    MONTHLY = "MONTHLY"
    YEARLY = "YEARLY"


class Weekday(NamedTuple):
    """A weekday, or the nth of the period: `-1FR` is the last Friday. Monday is 0."""

    nth: int
    weekday: int


Numbers = frozenset[int]
_FITTING = {
    "BYWEEKNO": {Frequency.YEARLY},
    "BYYEARDAY": {Frequency.YEARLY},
    "BYMONTHDAY": {Frequency.DAILY, Frequency.MONTHLY, Frequency.YEARLY},
    "BYSETPOS": {Frequency.WEEKLY, Frequency.MONTHLY, Frequency.YEARLY},
}
"""The frequencies that a part goes together with, if not all."""


class Rule(NamedTuple):
    """A rule. A part that it does not have is empty; `times` is COUNT."""

    frequency: Frequency
    interval: int = 1
    times: int | None = None
    until: date | datetime | None = None
    week_start: int = 0
    months: Numbers = frozenset()
    week_numbers: Numbers = frozenset()
    year_days: Numbers = frozenset()
    month_days: Numbers = frozenset()
    weekdays: frozenset[Weekday] = frozenset()
    positions: Numbers = frozenset()

    @property
    def ends_on_a_day(self) -> bool:
        """Whether UNTIL is a day, and not a time."""
        return self.until is not None and not isinstance(self.until, datetime)


def parse(text: str) -> Rule:
    """The rule that the text is; raises `InvalidRule` with the reason if it is none."""
    parts = _parts(text)
    if "FREQ" not in parts:
        raise InvalidRule("FREQ is missing")
    rule = Rule(
        _frequency(parts.pop("FREQ")),
        interval=_positive(parts, "INTERVAL") or 1,
        times=_positive(parts, "COUNT"),
        until=_until(parts.pop("UNTIL", None)),
        week_start=_week_start(parts.pop("WKST", "MO")),
        months=_numbers(parts, "BYMONTH"),
        week_numbers=_numbers(parts, "BYWEEKNO"),
        year_days=_numbers(parts, "BYYEARDAY"),
        month_days=_numbers(parts, "BYMONTHDAY"),
        weekdays=_weekdays(parts.pop("BYDAY", None)),
        positions=_numbers(parts, "BYSETPOS"),
    )
    if parts:
        raise InvalidRule(f"{min(parts)} is not supported")
    _check(rule)
    return rule


def with_count(text: str, count: int) -> str:
    """The text of a rule, with another COUNT in place of the one that it has."""
    return _COUNT.sub(f"COUNT={count}", text)


def _parts(text: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    for part in text.split(";"):
        name, equals, value = part.partition("=")
        if not (name and equals and value):
            raise InvalidRule("it is not made of parts like FREQ=DAILY, with semicolons between")
        if name in parts:
            raise InvalidRule(f"{name} is there twice")
        parts[name] = value
    return parts


def _frequency(value: str) -> Frequency:
    try:
        return Frequency(value)
    except ValueError:
        raise InvalidRule("FREQ is not DAILY, WEEKLY, MONTHLY or YEARLY") from None


def _positive(parts: dict[str, str], name: str) -> int | None:
    value = parts.pop(name, None)
    if value is None:
        return None
    if not re.fullmatch("[0-9]{1,4}", value) or int(value) == 0:
        raise InvalidRule(f"{name} is not a number from 1 to {MOST}")
    return int(value)


def _until(value: str | None) -> date | datetime | None:
    if value is None:
        return None
    try:
        if re.fullmatch("[0-9]{8}", value):
            return datetime.strptime(value, "%Y%m%d").replace(tzinfo=UTC).date()
        if re.fullmatch("[0-9]{8}T[0-9]{6}Z", value):
            return datetime.strptime(value, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        pass
    raise InvalidRule("UNTIL is neither a day (20260131) nor a time in UTC (20260131T170000Z)")


def _week_start(value: str) -> int:
    if value not in WEEKDAYS:
        raise InvalidRule("WKST is not one of MO, TU, WE, TH, FR, SA, SU")
    return WEEKDAYS.index(value)


def _numbers(parts: dict[str, str], name: str) -> Numbers:
    value = parts.pop(name, None)
    if value is None:
        return frozenset()
    lowest, highest = (1 if name == "BYMONTH" else -_LARGE[name]), _LARGE[name]
    numbers = frozenset(int(each) if _NUMBER.fullmatch(each) else MOST for each in value.split(","))
    if 0 in numbers or min(numbers) < lowest or max(numbers) > highest:
        negative = "" if name == "BYMONTH" else f", or from -{highest} to -1"
        raise InvalidRule(f"{name} is not made of numbers from 1 to {highest}{negative}")
    return numbers


def _weekdays(value: str | None) -> frozenset[Weekday]:
    if value is None:
        return frozenset()
    found = [_DAY.fullmatch(each) for each in value.split(",")]
    weekdays = frozenset(
        Weekday(int(each[1] or 0), WEEKDAYS.index(each[2])) for each in found if each
    )
    named = [int(each[1]) for each in found if each and each[1]]
    if None in found or 0 in named or any(abs(nth) > _LARGE["BYWEEKNO"] for nth in named):
        raise InvalidRule("BYDAY is not made of weekdays like MO, 2MO or -1FR")
    return weekdays


def _check(rule: Rule) -> None:
    """Raise if parts of the rule do not go together."""
    named = {
        "BYWEEKNO": rule.week_numbers,
        "BYYEARDAY": rule.year_days,
        "BYMONTHDAY": rule.month_days,
    }
    for name, value in {**named, "BYSETPOS": rule.positions}.items():
        if value and rule.frequency not in _FITTING[name]:
            raise InvalidRule(f"{name} does not go together with FREQ={rule.frequency}")
    if any(each.nth for each in rule.weekdays):
        if rule.frequency not in (Frequency.MONTHLY, Frequency.YEARLY):
            raise InvalidRule(f"numbers in BYDAY do not go together with FREQ={rule.frequency}")
        of_months = rule.frequency is Frequency.MONTHLY or rule.months
        if of_months and any(abs(each.nth) > MOST_WEEKS for each in rule.weekdays):
            raise InvalidRule(f"numbers in BYDAY are at most {MOST_WEEKS} within a month")
        if rule.week_numbers:
            raise InvalidRule("numbers in BYDAY do not go together with BYWEEKNO")
    if rule.positions and not (rule.months or rule.weekdays or any(named.values())):
        raise InvalidRule("BYSETPOS needs another part that begins with BY")
    if rule.times is not None and rule.until is not None:
        raise InvalidRule("COUNT does not go together with UNTIL")
