"""The lines of an import, checked and kept in a temporary file until they are written.

So a file with faults costs the database nothing, and a large one little memory.
"""

import asyncio
from array import array
from collections.abc import AsyncIterator, Iterator
from tempfile import SpooledTemporaryFile
from typing import Any, Self
from uuid import UUID

import orjson
from sqlalchemy import Uuid

from db.errors import FieldRefused, LineFault, LinesRefused
from db.schema.clauses import tasks
from db.tasks import reminders
from db.tasks.dates import MOMENTS, REPLACED, in_utc
from db.transfers.lines import Incoming, Line, Lines

AT_ONCE = 10
"""Lines after which other requests have their turn."""
BATCH = 200
"""Tasks that are written together."""
MOST_FAULTS = 100
MOST_LISTS = 2000
IN_MEMORY = 256 * 1024
IDS = {each.name for each in tasks.c if isinstance(each.type, Uuid)}

TWICE = "This id is on an earlier line, too."
SAME_REVISION = "Two lines have the same revision."
DUE_TWICE = "Both a day and a time."
NO_MOMENT = "This is no time from the year 1 to 9999."
TOO_MANY_LISTS = f"A file has at most {MOST_LISTS:,} lists."


class Stage:
    """The lists and tasks of a file, once all lines are known to be right by themselves."""

    def __init__(self) -> None:
        self.lists: list[Line] = []
        self.titles: dict[tuple[str | None, str], int | None] = {}
        """The titles of the lists of tasks, each with the id if the file has it, and a line."""

        self.has_revisions = True
        """Whether the file has the revision of everything."""

        self.latest = ""
        self.deletions: set[int] = set()
        """The revisions of deletions that took others along."""

        self._revisions = array("q")
        self._deleted: set[int] = set()
        self._ids: set[bytes] = set()
        self._faults: list[LineFault] = []
        self._file = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - `__exit__` closes it

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def highest(self) -> int:
        """The highest revision of the file."""
        return self._revisions[-1] if self._revisions else 0

    @property
    def unknown_deletions(self) -> set[int]:
        """Deletions of what is not in the file."""
        return self.deletions - self._deleted

    async def fill(self, lines: Lines) -> None:
        """Keep the lines; raise if some have faults."""
        for number, each in enumerate(lines, start=1):
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
            fault = each if isinstance(each, LineFault) else self._add(each)
            if fault is not None:
                self._faults.append(fault)
                if len(self._faults) >= MOST_FAULTS:
                    break
        self._revisions = array("q", sorted(self._revisions))
        if self._faults:
            raise LinesRefused(self._faults)
        pairs = zip(self._revisions, self._revisions[1:], strict=False)
        if any(one == other for one, other in pairs):
            raise LinesRefused([LineFault(SAME_REVISION)])

    async def batches(self) -> AsyncIterator[list[Line]]:
        """The tasks, some at a time."""
        batch: list[Line] = []
        for line in self._tasks():
            batch.append(line)
            if len(batch) == BATCH:
                yield batch
                batch = []
                await asyncio.sleep(0)
        if batch:
            yield batch

    def places_of(self, ids: set[str]) -> dict[str, Line]:
        """The lines with these tasks."""
        found = ((line.value.fields["id"], line) for line in self._tasks())
        return {task_id: line for task_id, line in found if task_id in ids}

    def _tasks(self) -> Iterator[Line]:
        self._file.seek(0)
        for text in self._file:
            number, pointer, fields, title = orjson.loads(text)
            yield Line(number, Incoming("task", fields, title), pointer)

    def _add(self, line: Line) -> LineFault | None:
        incoming: Incoming = line.value
        try:
            fields = _normalized(incoming.fields)
        except FieldRefused as fault:
            return fault_at(line, str(fault), fault.field)
        size = len(self._ids)
        self._ids.add(incoming.kind[:1].encode() + UUID(fields["id"]).bytes)
        if len(self._ids) == size:
            return fault_at(line, TWICE, "id")
        self._note_stamps(fields)
        if incoming.list_title is not None:
            self.titles.setdefault((fields.get("list_id"), incoming.list_title), line.number)
        if incoming.kind == "list":
            self.lists.append(line._replace(value=incoming._replace(fields=fields)))
        if len(self.lists) + len(self.titles) > MOST_LISTS:
            return fault_at(line, TOO_MANY_LISTS)
        if incoming.kind == "task":
            staged = (line.number, line.pointer, fields, incoming.list_title)
            self._file.write(orjson.dumps(staged, option=orjson.OPT_APPEND_NEWLINE))
        return None

    def _note_stamps(self, fields: dict[str, Any]) -> None:
        revision, moment = fields.get("revision"), fields.get("updated_at")
        if revision is None or moment is None or not self.has_revisions:
            self.has_revisions = False
            return
        self._revisions.append(revision)
        self.latest = max(self.latest, moment)
        if fields.get("deleted_at") is not None:
            self._deleted.add(revision)
        if fields.get("deletion") is not None:
            self.deletions.add(fields["deletion"])


def fault_at(line: Line, detail: str, field: str = "") -> LineFault:
    """The fault of a line, or of one of its fields."""
    return LineFault(detail, line.number, line.pointer + (f"/{field}" if field else ""))


def _normalized(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields as they are stored: moments in UTC, ids in lower case."""
    if any(fields.get(one) is not None and fields.get(two) is not None for one, two in _PAIRS):
        raise FieldRefused(DUE_TWICE, "due_at")
    stored = {name: _stored(name, value) for name, value in fields.items()}
    try:
        return {**reminders.settled(stored)}
    except (ValueError, OverflowError):
        raise FieldRefused(NO_MOMENT, "reminders") from None


_PAIRS = [(one, other) for one, other in REPLACED.items() if one < other]


def _stored(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name in IDS:
        return value.lower()
    if name in MOMENTS:
        try:
            return in_utc(value)
        except (ValueError, OverflowError):
            raise FieldRefused(NO_MOMENT, name) from None
    return value
