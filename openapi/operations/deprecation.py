"""Headers of a deprecated operation: since when, and until when it is served."""

from datetime import MAXYEAR, UTC, date, datetime, time, timedelta
from email.utils import format_datetime
from typing import Any

from openapi.contract.faults import Unsupported, Where
from openapi.http.response import Headers

DEPRECATED_AT = "x-deprecated-at"
SUNSET_AT = "x-sunset-at"
SUNSET_AFTER = timedelta(days=180)


def deprecation_headers(
    definition: dict[str, Any], where: Where, contract_changed_at: datetime
) -> Headers:
    """Deprecation (RFC 9745) and Sunset (RFC 8594), if the contract has deprecated the operation.

    Without a date in the contract, the operation is deprecated since the last change of its file.
    """
    if not definition.get("deprecated", False):
        return []
    deprecated_at = _moment(definition, DEPRECATED_AT, where)
    sunset_at = _moment(definition, SUNSET_AT, where)
    if deprecated_at is None:
        # A copy of the file is newer than the file: it may be newer than the sunset.
        deprecated_at = min(contract_changed_at, sunset_at or contract_changed_at)
    if sunset_at is None:
        sunset_at = _half_a_year_after(deprecated_at)
    if sunset_at < deprecated_at:
        raise Unsupported(f"{SUNSET_AT} is before {DEPRECATED_AT}", (*where, SUNSET_AT))
    return [
        (b"deprecation", b"@%d" % deprecated_at.timestamp()),
        (b"sunset", format_datetime(sunset_at, usegmt=True).encode()),
    ]


def _half_a_year_after(moment: datetime) -> datetime:
    return moment + SUNSET_AFTER if moment.year < MAXYEAR else moment


def _moment(definition: dict[str, Any], name: str, where: Where) -> datetime | None:
    """A date, which is the beginning of that day in UTC, or a date and time."""
    value = definition.get(name)
    if value is None:
        return None
    try:
        moment = value if isinstance(value, date) else datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise Unsupported(f"{name} is a date, such as 2027-01-31", (*where, name)) from None
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time())
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
