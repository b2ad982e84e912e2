"""When reminders fall due, compared with a search for the local time."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as some

from db.tasks.reminders import Duration, times_of
from db.zones import zone_of
from tests.support.references import in_this_run

ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"]
QUARTERS = [timedelta(minutes=15 * number) for number in range(-4 * 14, 4 * 14)]

moments = some.datetimes(datetime(2000, 1, 1), datetime(2035, 1, 1), timezones=some.just(UTC))
exact = some.timedeltas(timedelta(0), timedelta(days=4)).map(
    lambda each: timedelta(seconds=int(each.total_seconds()))
)


def moment_by_search(local: datetime, zone: ZoneInfo) -> datetime:
    """The first moment that has the local time; of one that is skipped, as if nothing were."""
    candidates = [(local - offset).replace(tzinfo=UTC) for offset in QUARTERS]
    found = [each for each in candidates if each.astimezone(zone).replace(tzinfo=None) == local]
    if found:
        return min(found)
    hour = timedelta(hours=2)
    return moment_by_search(local - hour, zone) + hour


@settings(max_examples=in_this_run(200), deadline=None)
@given(moments, some.sampled_from(ZONES), some.integers(0, 999), exact)
def test_a_reminder_is_as_many_days_and_as_long_before_the_due(
    due: datetime, name: str, days: int, rest: timedelta
) -> None:
    zone = zone_of(name)
    due = due.replace(microsecond=0)
    reminder = {"before": f"P{days}DT{int(rest.total_seconds())}S"}
    task = {"due_on": None, "due_at": due.isoformat(), "time_zone": name, "reminders": [reminder]}

    [found] = times_of(task, None) or []

    local = due.astimezone(zone).replace(tzinfo=None)
    begin = moment_by_search(local - timedelta(days=days), zone) if days else due
    assert datetime.fromisoformat(found) == begin - rest


def test_a_duration_is_the_sum_of_its_parts() -> None:
    assert Duration.of("P2W") == (timedelta(days=14), timedelta(0))
    assert Duration.of("P1DT2H3M4S") == (
        timedelta(days=1),
        timedelta(hours=2, minutes=3, seconds=4),
    )
    assert Duration.of("PT99999M") == (timedelta(0), timedelta(minutes=99_999))
