"""Recurrence rules: their days, what is refused, and local times when clocks are changed."""

import time
from datetime import date, datetime, timedelta
from itertools import islice, takewhile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from db.recurrence.days import days_after
from db.recurrence.occurrences import due_of, following
from db.recurrence.rule import InvalidRule, parse, with_count
from tests.support.cases import for_each
from tests.support.recurring import WEEKDAYS, days_by_definition
from tests.support.references import in_this_run

FREQUENCIES = ["DAILY", "WEEKLY", "MONTHLY", "YEARLY"]
SIGNS = some.sampled_from([1, -1])


def numbers(highest: int, *, most: int = 3, negative: bool = True) -> some.SearchStrategy[str]:
    each = some.integers(1, highest)
    if negative:
        each = some.builds(lambda number, sign: number * sign, each, SIGNS)
    return some.lists(each, min_size=1, max_size=most).map(lambda all_: ",".join(map(str, all_)))


@some.composite
def rules(draw: some.DrawFn) -> str:
    frequency = draw(some.sampled_from(FREQUENCIES))
    parts = {"FREQ": frequency}
    has = some.sampled_from([True, False, False])
    if draw(some.booleans()):
        parts["INTERVAL"] = str(draw(some.integers(1, 4)))
    if draw(has):
        parts["WKST"] = draw(some.sampled_from(WEEKDAYS))
    if draw(has):
        parts["BYMONTH"] = draw(numbers(12, most=5, negative=False))
    if frequency == "YEARLY" and draw(has):
        parts["BYWEEKNO"] = draw(numbers(53))
    if frequency == "YEARLY" and draw(has):
        parts["BYYEARDAY"] = draw(numbers(366))
    if frequency != "WEEKLY" and draw(has):
        parts["BYMONTHDAY"] = draw(numbers(31))
    if draw(has):
        nth = frequency in ("MONTHLY", "YEARLY") and "BYWEEKNO" not in parts
        counts = [*range(-5, 0), "", *range(1, 6)] if nth else [""]
        names = some.builds("{}{}".format, some.sampled_from(counts), some.sampled_from(WEEKDAYS))
        parts["BYDAY"] = ",".join(draw(some.lists(names, min_size=1, max_size=4)))
    by = [name for name in parts if name.startswith("BY")]
    if by and frequency != "DAILY" and draw(has):
        parts["BYSETPOS"] = draw(numbers(4))
    return ";".join(f"{name}={value}" for name, value in parts.items())


starts = some.dates(date(1999, 1, 1), date(2030, 12, 31))


@settings(max_examples=in_this_run(100), deadline=None)
@given(rules(), starts)
def test_days_are_those_of_the_definition(text: str, start: date) -> None:
    assert_days_are_those_of_the_definition(text, start, date(start.year + 4, 1, 1))


@pytest.mark.long
@settings(max_examples=10_000, deadline=None)
@given(rules(), starts)
def test_days_of_ten_thousand_rules_are_those_of_the_definition(text: str, start: date) -> None:
    assert_days_are_those_of_the_definition(text, start, date(start.year + 2, 1, 1))


def assert_days_are_those_of_the_definition(text: str, start: date, end: date) -> None:
    found = takewhile(lambda day: day < end, days_after(parse(text), start))

    assert [*found] == days_by_definition(text, start, end)


@settings(max_examples=in_this_run(100), deadline=None)
@given(rules(), starts)
def test_a_rule_goes_on_from_each_of_its_days_as_from_the_first(text: str, start: date) -> None:
    """So a task needs to know no more than its own due."""
    rule = parse(text)
    days = [*islice(days_after(rule, start), 6)]

    for number, day in enumerate(days):
        rest = days[number + 1 :]
        assert [*islice(days_after(rule, day), len(rest))] == rest


# The examples of RFC 5545, section 3.8.5.3, which start on 2 September 1997.
@for_each(
    ("text", "days"),
    [
        ("FREQ=DAILY;INTERVAL=10", "1997-09-12 1997-09-22"),
        ("FREQ=WEEKLY;INTERVAL=2;WKST=SU", "1997-09-16 1997-09-30"),
        ("FREQ=MONTHLY;BYDAY=1FR", "1997-09-05 1997-10-03"),
        ("FREQ=MONTHLY;INTERVAL=2;BYDAY=1SU,-1SU", "1997-09-07 1997-09-28 1997-11-02"),
        ("FREQ=MONTHLY;BYMONTHDAY=-3", "1997-09-28 1997-10-29 1997-11-28"),
        ("FREQ=YEARLY;INTERVAL=3;BYYEARDAY=1,100,200", "2000-01-01 2000-04-09 2000-07-18"),
        ("FREQ=YEARLY;BYDAY=20MO", "1998-05-18 1999-05-17"),
        ("FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO", "1998-05-11 1999-05-17"),
        ("FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13", "1998-02-13 1998-03-13 1998-11-13"),
        (
            "FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8",
            "1997-11-04 2001-11-06",
        ),
        ("FREQ=MONTHLY;BYDAY=TU,WE,TH;BYSETPOS=3", "1997-09-04 1997-10-07 1997-11-06"),
        ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2", "1997-09-29 1997-10-30 1997-11-27"),
        ("FREQ=MONTHLY;BYDAY=MO,1TU", "1997-09-08 1997-09-15"),
    ],
)
def test_days_are_those_of_the_standard(text: str, days: str) -> None:
    expected = [date.fromisoformat(day) for day in days.split()]

    assert [*islice(days_after(parse(text), date(1997, 9, 2)), len(expected))] == expected


@for_each(
    ("text", "start", "days"),
    [
        ("FREQ=MONTHLY", "2025-01-31", "2025-03-31 2025-05-31 2025-07-31"),
        ("FREQ=MONTHLY;BYMONTHDAY=-1", "2024-01-31", "2024-02-29 2024-03-31 2024-04-30"),
        ("FREQ=YEARLY", "2024-02-29", "2028-02-29 2032-02-29"),
        ("FREQ=YEARLY", "2096-02-29", "2104-02-29"),
        ("FREQ=YEARLY;BYWEEKNO=53;BYDAY=SU", "2024-01-01", "2027-01-03 2033-01-02"),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,SU;WKST=MO", "1997-08-05", "1997-08-10 1997-08-19"),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,SU;WKST=SU", "1997-08-05", "1997-08-17 1997-08-19"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO", "2017-01-01", "2044-02-29 2072-02-29"),
    ],
)
def test_ends_of_months_leap_days_and_weeks(text: str, start: str, days: str) -> None:
    expected = [date.fromisoformat(day) for day in days.split()]
    found = islice(days_after(parse(text), date.fromisoformat(start)), len(expected))

    assert [*found] == expected


@for_each(
    "text",
    [
        *(f"FREQ={each};BYMONTH=2;BYMONTHDAY=30" for each in ("DAILY", "MONTHLY", "YEARLY")),
        "FREQ=YEARLY;BYWEEKNO=53;BYMONTH=6;BYDAY=MO",
        "FREQ=YEARLY;BYWEEKNO=20;BYYEARDAY=1",
        "FREQ=WEEKLY;BYDAY=MO,TU;BYSETPOS=5",
        "FREQ=DAILY;INTERVAL=7;BYDAY=TU",
        "FREQ=MONTHLY;INTERVAL=12;BYMONTH=2",
        "FREQ=YEARLY;BYWEEKNO=53;BYMONTHDAY=1,2,3,4,5,6,7,8,9,10,11,12,13,14;BYMONTH=3,4,5",
        "FREQ=YEARLY;INTERVAL=9999",
    ],
)
def test_the_search_for_a_day_ends(text: str) -> None:
    begun = time.process_time()

    assert next(days_after(parse(text), date(2024, 1, 1)), None) is None
    assert time.process_time() - begun < 1, "this takes 2 ms"


@for_each(
    ("text", "reason"),
    [
        ("", "it is not made of parts"),
        ("FREQ", "it is not made of parts"),
        ("FREQ=DAILY;", "it is not made of parts"),
        ("RRULE:FREQ=DAILY", "FREQ is missing"),
        ("INTERVAL=2", "FREQ is missing"),
        *((f"FREQ={each}", "FREQ is not") for each in ("HOURLY", "MINUTELY", "SECONDLY", "daily")),
        ("FREQ=DAILY;FREQ=DAILY", "FREQ is there twice"),
        *((f"FREQ=DAILY;{each}=1", f"{each} is not supported") for each in ("BYHOUR", "X", "SKIP")),
        *(
            (f"FREQ=DAILY;INTERVAL={each}", "INTERVAL is not a number")
            for each in ["0", "-1", "10000"]
        ),
        ("FREQ=DAILY;INTERVAL=" + 400 * "9", "INTERVAL is not a number"),
        ("FREQ=DAILY;COUNT=0", "COUNT is not a number"),
        ("FREQ=DAILY;COUNT=1;UNTIL=20260131", "COUNT does not go together"),
        *(
            (f"FREQ=DAILY;UNTIL={each}", "UNTIL is neither")
            for each in (
                "20260231",
                "2026-01-31",
                "20260131T090000",
                "20260131T246060Z",
                "00000101",
            )
        ),
        *(
            (f"FREQ=YEARLY;BYMONTH={each}", "BYMONTH is not")
            for each in ("0", "13", "-1", "1,", "A")
        ),
        ("FREQ=YEARLY;BYMONTHDAY=32", "BYMONTHDAY is not"),
        ("FREQ=YEARLY;BYWEEKNO=-54", "BYWEEKNO is not"),
        ("FREQ=YEARLY;BYYEARDAY=0", "BYYEARDAY is not"),
        *(
            (f"FREQ=MONTHLY;BYDAY={each}", "BYDAY is not")
            for each in ("0MO", "54MO", "M", "MO,,TU")
        ),
        ("FREQ=WEEKLY;BYMONTHDAY=1", "BYMONTHDAY does not go together with FREQ=WEEKLY"),
        ("FREQ=MONTHLY;BYWEEKNO=1", "BYWEEKNO does not go together with FREQ=MONTHLY"),
        ("FREQ=MONTHLY;BYYEARDAY=1", "BYYEARDAY does not go together with FREQ=MONTHLY"),
        ("FREQ=DAILY;BYDAY=MO;BYSETPOS=1", "BYSETPOS does not go together with FREQ=DAILY"),
        ("FREQ=WEEKLY;BYDAY=1MO", "numbers in BYDAY"),
        ("FREQ=YEARLY;BYDAY=1MO;BYWEEKNO=1", "numbers in BYDAY"),
        ("FREQ=MONTHLY;BYDAY=6MO", "numbers in BYDAY are at most 5"),
        ("FREQ=YEARLY;BYMONTH=3;BYDAY=-6MO", "numbers in BYDAY are at most 5"),
        ("FREQ=MONTHLY;BYSETPOS=1", "BYSETPOS needs another part"),
        ("FREQ=DAILY;WKST=XX", "WKST is not one of"),
    ],
)
def test_what_is_no_rule_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(InvalidRule) as refused:
        parse(text)

    assert str(refused.value).startswith(reason)


def test_a_count_is_replaced_and_nothing_else() -> None:
    assert with_count("FREQ=DAILY;COUNT=12;BYDAY=MO", 11) == "FREQ=DAILY;COUNT=11;BYDAY=MO"


# Local times


def dues(text: str, due_at: str, zone: str, number: int, skipped: str | None = None) -> list[Any]:
    due = due_of({"due_on": None, "due_at": due_at, "time_zone": zone}, skipped)
    assert due is not None
    return [each.at and each.at.isoformat() for each in islice(following(parse(text), due), number)]


def test_nine_o_clock_stays_nine_o_clock() -> None:
    # 9:00 in Berlin; clocks are set forward on 29 March 2026, and back on 25 October.
    assert dues("FREQ=WEEKLY", "2026-03-22T08:00:00Z", "Europe/Berlin", 2) == [
        "2026-03-29T07:00:00+00:00",
        "2026-04-05T07:00:00+00:00",
    ]
    assert dues("FREQ=DAILY", "2026-10-24T07:00:00Z", "Europe/Berlin", 1) == [
        "2026-10-25T08:00:00+00:00"
    ]


def test_a_time_that_clocks_skip_is_later_on_that_day_only() -> None:
    # 2:30 in Berlin does not exist on 29 March 2026: it is 3:30.
    expected = ["2026-03-29T01:30:00+00:00", "2026-03-30T00:30:00+00:00"]

    assert dues("FREQ=DAILY", "2026-03-28T01:30:00Z", "Europe/Berlin", 2) == expected
    assert (
        dues("FREQ=DAILY", expected[0], "Europe/Berlin", 1, "2026-03-29T02:30:00") == expected[1:]
    )


def test_a_skipped_time_is_forgotten_with_another_due() -> None:
    found = dues("FREQ=DAILY", "2026-03-29T05:00:00Z", "Europe/Berlin", 1, "2026-03-29T02:30:00")

    assert found == ["2026-03-30T05:00:00+00:00"]


def test_of_a_time_that_comes_twice_it_is_the_first() -> None:
    # 2:30 in Berlin comes twice on 25 October 2026: at 0:30 and at 1:30 in UTC.
    first = "2026-10-25T00:30:00+00:00"

    assert dues("FREQ=DAILY", "2026-10-24T00:30:00Z", "Europe/Berlin", 1) == [first]
    for begin in (first, "2026-10-25T01:30:00Z"):
        assert dues("FREQ=DAILY", begin, "Europe/Berlin", 1) == ["2026-10-26T01:30:00+00:00"]


def test_a_day_that_a_zone_has_skipped_is_no_second_occurrence() -> None:
    # In Apia there was no 30 December 2011.
    assert dues("FREQ=DAILY", "2011-12-29T19:00:00Z", "Pacific/Apia", 3) == [
        "2011-12-30T19:00:00+00:00",
        "2011-12-31T19:00:00+00:00",
        "2012-01-01T19:00:00+00:00",
    ]


def test_until_is_compared_with_the_moment_and_count_counts_the_due() -> None:
    begin = "2026-01-01T08:00:00Z"

    assert len(dues("FREQ=DAILY;COUNT=3", begin, "Europe/Berlin", 9)) == 2
    assert len(dues("FREQ=DAILY;UNTIL=20260103T080000Z", begin, "Europe/Berlin", 9)) == 2
    assert len(dues("FREQ=DAILY;UNTIL=20260103T075959Z", begin, "Europe/Berlin", 9)) == 1


def test_at_the_ends_of_the_calendar_nothing_follows() -> None:
    for moment in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"):
        for zone in ("Etc/GMT+12", "Pacific/Kiritimati"):
            assert dues("FREQ=DAILY", moment, zone, 1) == []
    assert dues("FREQ=DAILY", "9998-12-29T00:00:00Z", "UTC", 9)[-1] <= "9998-12-31"


@settings(max_examples=in_this_run(100), deadline=None)
@given(
    some.datetimes(datetime(2000, 1, 1), datetime(2035, 1, 1)),
    some.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]),
    some.sampled_from(["FREQ=DAILY", "FREQ=WEEKLY;BYDAY=MO,SU", "FREQ=MONTHLY;BYDAY=-1SU"]),
)
def test_occurrences_are_ascending_and_keep_the_local_time(
    moment: datetime, zone: str, text: str
) -> None:
    due = due_of({"due_on": None, "due_at": f"{moment.isoformat()}Z", "time_zone": zone})
    assert due is not None and due.at is not None

    previous = due.at
    for each in islice(following(parse(text), due), 20):
        assert each.at is not None
        assert each.at > previous
        assert each.clock == due.clock
        previous = each.at


def test_a_day_needs_no_zone() -> None:
    due = due_of({"due_on": "2026-01-31", "due_at": None, "time_zone": None})
    assert due is not None

    later = [each.day for each in islice(following(parse("FREQ=DAILY;UNTIL=20260202"), due), 9)]

    assert later == [date(2026, 1, 31) + timedelta(days=number) for number in (1, 2)]
