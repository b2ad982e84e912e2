"""Time zones, by their names in the IANA database; its data is a dependency (`tzdata`).

The operating system's data is not used: it may be older, or missing.
"""

from datetime import UTC, date, datetime, time
from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

from tzdata import IANA_VERSION

VERSION: str = IANA_VERSION
"""The release of the database."""


@cache
def _names() -> frozenset[str]:
    return frozenset(files("tzdata").joinpath("zones").read_text().split())


def is_zone(name: str) -> bool:
    """Whether there is a time zone of this name; upper and lower case are not the same."""
    return name in _names()


@cache
def zone_of(name: str) -> ZoneInfo:
    """The time zone of this name."""
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as data:
        return ZoneInfo.from_file(data, key=name)


def today_in(zone: str, now: datetime) -> date:
    """The day in the zone at this moment."""
    return now.astimezone(zone_of(zone)).date()


def begin_of(day: date, zone: str) -> datetime:
    """The moment at which the day begins in the zone."""
    return datetime.combine(day, time.min, zone_of(zone)).astimezone(UTC)
