"""Tasks as a calendar (iCalendar, RFC 5545).

The library `icalendar` takes 200 to 700 µs for a task, in which the process does nothing else;
this takes 15 µs. The tests read what it writes with that library.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing
from datetime import datetime
from typing import Any

from db.zones import zone_of
from handlers.icalendar_zones import zone_lines

Task = dict[str, Any]

AT_ONCE = 50
"""The number of tasks after which other requests have their turn."""

LINE_BYTES = 75
ESCAPES = {"\\": "\\\\", ";": "\\;", ",": "\\,", "\n": "\\n"}
SPECIAL = re.compile(r"[\\;,\n]")
LINE_BREAK = re.compile(r"\r\n?")
# No other control character is allowed (RFC 5545, 3.1).
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
PRIORITIES = {"urgent": 1, "high": 3, "medium": 5, "low": 9}
HEAD = (
    "BEGIN:VCALENDAR",
    "VERSION:2.0",
    "PRODID:-//Errand//Errand//EN",
    "CALSCALE:GREGORIAN",
    "X-WR-CALNAME:Tasks",
    # How often programs may ask (RFC 7986, 5.7), and the same for those that do not know it.
    "REFRESH-INTERVAL;VALUE=DURATION:PT15M",
    "X-PUBLISHED-TTL:PT15M",
)
DONE = "\N{CHECK MARK} "


async def calendar_of(tasks: list[Task], *, as_events: bool) -> str:
    """The calendar of these tasks, as to-dos or as events."""
    written = _event if as_events else _todo
    lines = [*HEAD]
    if as_events:
        for name, year in sorted(_zones(tasks).items()):
            lines += zone_lines(name, year)
            await asyncio.sleep(0)
    for index, task in enumerate(tasks, 1):
        lines += map(_folded, written(task))
        if index % AT_ONCE == 0:
            await asyncio.sleep(0)
    return "\r\n".join([*lines, "END:VCALENDAR", ""])


async def todo_parts(tasks: AsyncGenerator[Task, None]) -> AsyncGenerator[str, None]:
    """The same in parts, of all tasks, for a program that takes them over: with their rules."""
    yield _part(HEAD)
    zones: dict[str, int] = {}
    async with aclosing(tasks):
        async for task in tasks:
            for name, year in _zones([task]).items():
                zones[name] = min(year, zones.get(name, year))
            yield _part(_todo(task, with_rule=True))
    for name, year in sorted(zones.items()):
        await asyncio.sleep(0)
        yield _part(zone_lines(name, year))
    yield _part(("END:VCALENDAR",))


def _part(lines: Iterable[str]) -> str:
    return "".join(f"{_folded(line)}\r\n" for line in lines)


def _zones(tasks: list[Task]) -> dict[str, int]:
    """The time zones of events that recur, and the first year of each."""
    zones: dict[str, int] = {}
    for task in tasks:
        if _recurs(task) and task["due_at"]:
            name, year = task["time_zone"], int(task["due_at"][:4])
            zones[name] = min(year, zones.get(name, year))
    return zones


def _recurs(task: Task) -> bool:
    """Whether it is known now when the task will be due again."""
    return task["recurrence"] and task["recurs_from"] == "due" and not task["completed"]


def _todo(task: Task, *, with_rule: bool = False) -> Iterator[str]:
    """A to-do. If it recurs here, its completion makes the next one: so it has no rule."""
    yield "BEGIN:VTODO"
    yield from _common(task, task["title"])
    if with_rule and _recurs(task):
        # The rule starts at DTSTART, and DUE would have to be later.
        yield "DTSTART" + (_day(task["due_on"]) if task["due_on"] else _local(task))
        yield "RRULE:" + task["recurrence"]
    else:
        yield from _dates(task)
    if task["completed"]:
        yield "STATUS:COMPLETED"
        yield "PERCENT-COMPLETE:100"
        yield "COMPLETED" + _moment(task["completed_at"])
    else:
        yield "STATUS:NEEDS-ACTION"
    yield "END:VTODO"


def _dates(task: Task) -> Iterator[str]:
    """The start and the due; they must be of one kind, and in this order (RFC 5545, 3.8.2.3)."""
    start, day = task["start_on"], task["due_on"]
    if start and not task["due_at"] and (day is None or start < day):
        yield "DTSTART" + _day(start)
    if day or task["due_at"]:
        yield "DUE" + _due(task)


def _event(task: Task) -> Iterator[str]:
    """An event of a day, or of a moment; an event cannot be completed, so its title says it."""
    yield "BEGIN:VEVENT"
    yield from _common(task, DONE + task["title"] if task["completed"] else task["title"])
    if _recurs(task):
        yield "DTSTART" + (_day(task["due_on"]) if task["due_on"] else _local(task))
        yield "RRULE:" + task["recurrence"]
    else:
        yield "DTSTART" + _due(task)
    yield "TRANSP:TRANSPARENT"
    yield "END:VEVENT"


def _common(task: Task, title: str) -> Iterator[str]:
    yield f"UID:{task['id']}"
    yield "DTSTAMP" + _moment(task["updated_at"])
    yield "CREATED" + _moment(task["created_at"])
    yield "LAST-MODIFIED" + _moment(task["updated_at"])
    yield "SUMMARY:" + _text(title)
    if task["description"]:
        yield "DESCRIPTION:" + _text(task["description"])
    if task["priority"] in PRIORITIES:
        yield f"PRIORITY:{PRIORITIES[task['priority']]}"
    if task["tags"]:
        yield "CATEGORIES:" + ",".join(map(_text, task["tags"]))
    if task["parent_id"]:
        yield f"RELATED-TO:{task['parent_id']}"


def _due(task: Task) -> str:
    return _day(task["due_on"]) if task["due_on"] else _moment(task["due_at"])


def _day(day: str) -> str:
    return ";VALUE=DATE:" + day.replace("-", "")


def _moment(moment: str) -> str:
    """A time in UTC, without parts of a second."""
    return ":" + moment[:19].replace("-", "").replace(":", "") + "Z"


def _local(task: Task) -> str:
    """The time at which the task is due, in its time zone: it stays when clocks are changed."""
    local = datetime.fromisoformat(task["due_at"]).astimezone(zone_of(task["time_zone"]))
    written = local.replace(tzinfo=None).isoformat(timespec="seconds")
    return f";TZID={task['time_zone']}:" + written.replace("-", "").replace(":", "")


def _text(text: str) -> str:
    """A value of the type TEXT (RFC 5545, 3.3.11)."""
    if "\r" in text:
        text = LINE_BREAK.sub("\n", text)
    text = CONTROL.sub("", text)
    return SPECIAL.sub(lambda found: ESCAPES[found[0]], text)


def _folded(line: str) -> str:
    """The line, or several of at most 75 bytes that mean the same (RFC 5545, 3.1)."""
    if len(line) * 4 <= LINE_BYTES:
        return line
    encoded = line.encode()
    parts = []
    begin, room = 0, LINE_BYTES
    while len(encoded) - begin > room:
        end = begin + room
        while encoded[end] & 0xC0 == 0x80:  # noqa: PLR2004 - within a character
            end -= 1
        parts.append(encoded[begin:end])
        begin, room = end, LINE_BYTES - 1  # without the space
    return b"\r\n ".join([*parts, encoded[begin:]]).decode()
