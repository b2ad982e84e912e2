"""What a body is, and what a client wants back: Content-Type and Accept (RFC 9110)."""

from collections.abc import Mapping
from functools import lru_cache

JSON = "application/json"

MOST_RANGES = 1000

# Headers come from clients: what is remembered of them has a bound.
remembered = lru_cache(maxsize=256)


@remembered
def content_type(header: bytes) -> tuple[str, bool]:
    """The media type, in small letters, and whether its text is UTF-8."""
    name, *parameters = header.decode("latin-1").split(";")
    charset = _parameters(parameters).get("charset", "utf-8")
    return name.strip().lower(), charset in ("utf-8", "utf8")


@remembered
def accepts_json(header: bytes) -> bool:
    """Whether the client takes JSON; the most specific range that covers it decides."""
    if not header:
        return True  # it names nothing, and so excludes nothing
    best, quality = 0, 0.0
    for part in header.decode("latin-1").split(",", MOST_RANGES)[:MOST_RANGES]:
        name, *parameters = part.split(";")
        specific = {"*/*": 1, "application/*": 2, JSON: 3}.get(name.strip().lower(), 0)
        if specific > best:
            best, quality = specific, _quality(_parameters(parameters))
    return quality > 0


def _quality(parameters: Mapping[str, str]) -> float:
    try:
        return float(parameters.get("q", "1"))
    except ValueError:
        return 1.0


def _parameters(parts: list[str]) -> dict[str, str]:
    named = (part.partition("=") for part in parts)
    return {name.strip().lower(): value.strip().strip('"').lower() for name, _, value in named}
