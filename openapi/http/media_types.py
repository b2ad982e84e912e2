"""Media types: the headers Content-Type and Accept (RFC 9110)."""

from collections.abc import Mapping
from functools import lru_cache

JSON = "application/json"
JSON_LINES = "application/jsonl"
EVENT_STREAM = "text/event-stream"
CALENDAR = "text/calendar"
CSV = "text/csv"

MOST_RANGES = 1000

# Clients choose the headers, so the cache has a limit.
remembered = lru_cache(maxsize=256)


@remembered
def content_type(header: bytes) -> tuple[str, bool]:
    """The media type, in lower case, and whether its text is UTF-8."""
    name, *parameters = header.decode("latin-1").split(";")
    charset = _parameters(parameters).get("charset", "utf-8")
    return name.strip().lower(), charset in ("utf-8", "utf8")


@remembered
def preferred(accept: bytes, offered: tuple[str, ...]) -> str | None:
    """The media type that the client prefers, or None if it accepts none; of equals, the first.

    Of the ranges that cover a media type, the most specific one counts (RFC 9110, 12.5.1).
    """
    if not accept:
        return offered[0]  # an empty header excludes nothing
    qualities: dict[str, float] = {}
    for part in accept.decode("latin-1").split(",", MOST_RANGES)[:MOST_RANGES]:
        name, *parameters = part.split(";")
        qualities.setdefault(name.strip().lower(), _quality(_parameters(parameters)))
    best = max(offered, key=lambda each: _quality_of(each, qualities))
    return best if _quality_of(best, qualities) > 0 else None


def _quality_of(media_type: str, qualities: Mapping[str, float]) -> float:
    ranges = (media_type, media_type.partition("/")[0] + "/*", "*/*")
    return next((qualities[each] for each in ranges if each in qualities), 0.0)


def _quality(parameters: Mapping[str, str]) -> float:
    try:
        quality = float(parameters.get("q", "1"))
    except ValueError:
        return 1.0
    return quality if quality > 0 else 0.0  # which NaN is not


def _parameters(parts: list[str]) -> dict[str, str]:
    named = (part.partition("=") for part in parts)
    return {name.strip().lower(): value.strip().strip('"').lower() for name, _, value in named}
