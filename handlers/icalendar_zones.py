"""Time zones as calendars have them: VTIMEZONE (RFC 5545, 3.6.5)."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from db.zones import zone_of

YEARS = 12
"""How many years are written out; most programs know the zone by its name, and need none."""

LAST_YEAR = 9999 - YEARS
# No zone has two changes of its clocks within a week that cancel each other.
STEP = timedelta(days=7)
SECOND = timedelta(seconds=1)


# Clients choose the zones and the years, so the cache has a limit.
@lru_cache(maxsize=512)
def zone_lines(name: str, year: int) -> tuple[str, ...]:
    """The lines of a zone, with every change of its clocks in the years from this one."""
    zone = zone_of(name)
    # Its local time is in the year before, where the zone is west: the first year has none.
    begin = datetime(max(2, min(year, LAST_YEAR)), 1, 1, tzinfo=UTC)
    before = begin.astimezone(zone)
    lines = ["BEGIN:VTIMEZONE", f"TZID:{name}", *_observance(before, before)]
    for after in _changes(zone, begin):
        lines += _observance((after - SECOND).astimezone(zone), after.astimezone(zone))
    return (*lines, "END:VTIMEZONE")


def _changes(zone: ZoneInfo, begin: datetime) -> Iterator[datetime]:
    """The moments, in UTC, from which on the zone has another offset."""
    end = begin.replace(year=begin.year + YEARS)
    earlier = begin
    while earlier < end:
        later = earlier + STEP
        if _offset(zone, earlier) != _offset(zone, later):
            yield _change_between(zone, earlier, later)
        earlier = later


def _change_between(zone: ZoneInfo, earlier: datetime, later: datetime) -> datetime:
    while later - earlier > SECOND:
        middle = (earlier + (later - earlier) / 2).replace(microsecond=0)
        if _offset(zone, middle) == _offset(zone, earlier):
            earlier = middle
        else:
            later = middle
    return later


def _offset(zone: ZoneInfo, moment: datetime) -> timedelta | None:
    return moment.astimezone(zone).utcoffset()


def _observance(before: datetime, after: datetime) -> Iterator[str]:
    """What holds after a change; it begins at a time of the clocks as they were before."""
    kind = "DAYLIGHT" if after.dst() else "STANDARD"
    onset = after.astimezone(UTC).replace(tzinfo=None) + (before.utcoffset() or timedelta())
    yield f"BEGIN:{kind}"
    yield "DTSTART:" + onset.isoformat().replace("-", "").replace(":", "")
    yield "TZOFFSETFROM:" + _written(before)
    yield "TZOFFSETTO:" + _written(after)
    yield f"END:{kind}"


def _written(moment: datetime) -> str:
    """The offset of the moment, with seconds only if it has some."""
    seconds = int((moment.utcoffset() or timedelta()).total_seconds())
    minutes, rest = divmod(abs(seconds), 60)
    sign = "-" if seconds < 0 else "+"
    written = f"{sign}{minutes // 60:02}{minutes % 60:02}"
    return f"{written}{rest:02}" if rest else written
