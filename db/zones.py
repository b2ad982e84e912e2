"""Time zones, by their names in the IANA database; its data is a dependency (`tzdata`)."""

from datetime import UTC, date, datetime, time
from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo


@cache
def _names() -> frozenset[str]:
    return frozenset(files("tzdata").joinpath("zones").read_text().split())


def is_zone(name: str) -> bool:
    """Whether there is a time zone of this name; upper and lower case are not the same."""
    return name in _names()


def today_in(zone: str, now: datetime) -> date:
    """The day in the zone at this moment."""
    return now.astimezone(ZoneInfo(zone)).date()


def begin_of(day: date, zone: str) -> datetime:
    """The moment at which the day begins in the zone."""
    return datetime.combine(day, time.min, ZoneInfo(zone)).astimezone(UTC)
