"""The writes of an import, within its transaction."""

import asyncio
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

import orjson

from db.errors import FieldRefused, LineFault, LinesRefused, TooManyLists
from db.postgres.transaction import Transaction
from db.schema.clauses import STORED_COLUMNS
from db.schema.fields import DEFAULTS
from db.tasks.batches import row_of
from db.tasks.dates import REPLACED
from db.tasks.positions import of_revision
from db.tasks.rules import check_dates
from db.tasks.statements import FIND_TASKS, WRITE_TASKS
from db.tasks.tasks import too_many
from db.transfers.export_statements import EXPORT_LISTS
from db.transfers.import_statements import LIST_FIELDS, RENAME_DELETIONS, WRITE_LISTS
from db.transfers.lines import Incoming, Line
from db.transfers.staging import AT_ONCE, MOST_FAULTS, Stage, fault_at
from db.transfers.stamps import Counts, Limits, Stamps

NOT_COMPLETED = "Only a task that is completed has a time of completion."
IN_THE_FUTURE = "The time of completion is in the future."
STAMPS = {"user_id", "revision", "updated_at", "created_at"}
"""What a stored list or task keeps, or gets from its write."""
PRIVATE = {"deletion", "skipped_due", "completion"}

Row = dict[str, Any]


class Writing:
    """Writes lists and tasks that differ from the stored ones, and counts them."""

    def __init__(
        self,
        transaction: Transaction,
        user_id: UUID,
        stamps: Stamps,
        limits: Limits,
        stage: Stage,
        *,
        restores: bool,
    ) -> None:
        """`restores`: the user has nothing, and all revisions are those of the file."""
        self.lists = Counts()
        self.tasks = Counts()
        self._transaction = transaction
        self._user_id = user_id
        self._stamps = stamps
        self._limits = limits
        self._stage = stage
        self._restores = restores
        self._unknown_deletions = stage.unknown_deletions
        self._list_ids: dict[str, str] = {}
        self._renamed: dict[int, int] = {}
        self._faults: list[LineFault] = []

    async def write_lists(self) -> None:
        """Write the lists of the file, and those that its tasks name by their titles."""
        rows = await self._transaction.fetch(EXPORT_LISTS, user_id=self._user_id, with_trash=True)
        stored: dict[str, Row] = dict(rows)
        incoming = [line.value.fields for line in self._stage.lists]
        named = self._named_lists(stored, {each["id"] for each in incoming})
        changed = [self._list_row(stored.get(each["id"]), each) for each in (*incoming, *named)]
        written = [each for each in changed if each is not None]
        if len(stored) + self.lists.created > self._limits.lists:
            raise TooManyLists(
                f"This server stores {self._limits.lists:,} lists of a user, "
                "those in the trash included."
            )
        if written:
            await self._store(WRITE_LISTS, lists=orjson.dumps(written).decode())

    async def write_tasks(self, task_count: int) -> None:
        """Write the tasks of the file."""
        async for batch in self._stage.batches():
            stored = await self._stored([line.value.fields["id"] for line in batch])
            created, rows = self.tasks.created, []
            for number, line in enumerate(batch):
                if number % AT_ONCE == 0 or line.value.fields.get("recurrence"):
                    await asyncio.sleep(0)
                row = self._checked_row(stored.get(line.value.fields["id"]), line)
                rows += [] if row is None else [row]
            if task_count + self.tasks.created > self._limits.tasks:
                raise too_many(self._limits.tasks)
            if rows:
                tasks = orjson.dumps(rows).decode()
                await self._store(WRITE_TASKS, created=self.tasks.created - created, tasks=tasks)
        if self._faults:
            raise LinesRefused(self._faults)

    async def rename_deletions(self) -> None:
        """Give what was taken along by a deletion the revision that this has now."""
        renamed = [{"old": old, "new": new} for old, new in self._renamed.items()]
        if renamed:
            deletions = orjson.dumps(renamed).decode()
            await self._transaction.fetch(
                RENAME_DELETIONS, user_id=self._user_id, deletions=deletions
            )

    async def _store(self, statement: Any, **values: Any) -> None:
        await self._transaction.fetch(
            statement,
            user_id=self._user_id,
            revision=self._stamps.revision,
            moment=self._stamps.moment,
            **values,
        )

    async def _stored(self, ids: list[str]) -> dict[str, Row]:
        if self._restores:
            return {}
        found = await self._transaction.fetch_dicts(
            FIND_TASKS, user_id=self._user_id, task_ids=[UUID(each) for each in ids]
        )
        return {each["id"]: each for each in found if each["id"]}

    def _named_lists(self, stored: dict[str, Row], known: set[str]) -> list[Row]:
        """The lists that tasks name by title, and that are not there."""
        live = {each["title"]: each["id"] for each in stored.values() if not each["deleted_at"]}
        made: dict[str, Row] = {}
        for list_id, title in self._stage.titles:
            if list_id is not None:
                if list_id not in stored and list_id not in known:
                    made[list_id] = {"id": list_id, "title": title, "deleted_at": None}
                continue
            found = live.get(title) or str(uuid5(self._user_id, f"list {title}"))
            self._list_ids[title] = found
            if title not in live:
                made[found] = {"id": found, "title": title, "deleted_at": None}
        return [*made.values()]

    def _list_row(self, stored: Row | None, fields: Row) -> Row | None:
        """The list as it is to be stored; None if it is stored so."""
        if stored is not None and _is_same(stored, {"deleted_at": None, **fields}):
            self.lists.unchanged += 1
            return None
        stamps = self._stamped(fields)
        defaults = {"position": of_revision(stamps["revision"]), "created_at": stamps["updated_at"]}
        before = stored or {**defaults, **_created(fields)}
        self._count(self.lists, stored)
        after = {**before, "deleted_at": None, **_given(fields), **stamps}
        return {name: after[name] for name in LIST_FIELDS}

    def _checked_row(self, stored: Row | None, line: Line) -> Row | None:
        try:
            return self._task_row(stored, line.value)
        except FieldRefused as fault:
            if len(self._faults) < MOST_FAULTS:
                self._faults.append(fault_at(line, str(fault), fault.field))
            return None

    def _task_row(self, stored: Row | None, incoming: Incoming) -> Row | None:
        """The task as it is to be stored; None if it is stored so."""
        fields = incoming.fields
        given = {"deleted_at": None, **_given(fields)}
        if incoming.list_title is not None and given.get("list_id") is None:
            given["list_id"] = self._list_ids[incoming.list_title]
        for one, other in REPLACED.items():
            if given.get(one) is not None:
                given.setdefault(other, None)
        self._settle_completion(given, stored)
        if stored is not None and _is_same(stored, given):
            self.tasks.unchanged += 1
            return None
        stamps = self._stamped(fields)
        after = {**(stored or _new(fields, stamps)), **given, **stamps}
        if after["recurrence"] is not None and after["series_id"] is None:
            after["series_id"] = after["id"]
        before: Row = stored or {}
        changes = {name: each for name, each in given.items() if before.get(name) != each}
        check_dates(after, changes)
        self._count(self.tasks, stored)
        row = row_of(
            after,
            self._completion(stored, after, fields),
            self._deletion(after, fields),
            _skipped_due(stored, fields),
        )
        return {name: row[name] for name in STORED_COLUMNS}

    def _settle_completion(self, given: Row, stored: Row | None) -> None:
        """A task has a time of completion if it is completed, and at no other time."""
        completed = given.get("completed", stored["completed"] if stored else False)
        at = given.get("completed_at")
        if at is not None and not completed:
            raise FieldRefused(NOT_COMPLETED, "completed_at")
        if at is not None and at > self._stamps.now:
            raise FieldRefused(IN_THE_FUTURE, "completed_at")
        if at is None:
            known = stored["completed_at"] if stored else None
            given["completed_at"] = (known or self._stamps.now) if completed else None

    def _completion(self, stored: Row | None, after: Row, fields: Row) -> int:
        """The number of the latest completion."""
        if self._restores:
            latest: int = fields["completion"]
            return min(latest, self._stamps.revision)
        if stored is not None and stored["completed_at"] == after["completed_at"]:
            kept: int = stored["completion_revision"]
            return kept
        revision: int = after["revision"]
        return revision

    def _deletion(self, after: Row, fields: Row) -> int | None:
        deletion: int | None = fields.get("deletion")
        known = after["deleted_at"] is not None and deletion not in self._unknown_deletions
        return deletion if known else None

    def _stamped(self, fields: Row) -> Row:
        """The revision and the time of a change."""
        if self._restores:
            return {name: fields[name] for name in ("revision", "updated_at")}
        stamps = self._stamps.next()
        if fields.get("revision") in self._stage.deletions:
            self._renamed[fields["revision"]] = stamps["revision"]
        return stamps

    @staticmethod
    def _count(counts: Counts, stored: Row | None) -> None:
        if stored is None:
            counts.created += 1
        else:
            counts.changed += 1


def _given(fields: Row) -> Row:
    """What a stored list or task takes from the file."""
    return {name: each for name, each in fields.items() if name not in STAMPS | PRIVATE}


def _is_same(stored: Row, given: Row) -> bool:
    return all(stored[name] == given[name] for name in _given(given))


def _created(fields: Row) -> Row:
    moment = fields.get("created_at")
    return {} if moment is None else {"created_at": moment}


def _new(fields: Row, stamps: Row) -> Row:
    """A new task, where the file says nothing of it."""
    return {
        **DEFAULTS,
        "position": of_revision(stamps["revision"]),
        "series_id": None,
        "created_at": stamps["updated_at"],
        **_created(fields),
    }


def _skipped_due(stored: Row | None, fields: Row) -> str | None:
    """The local time of the due; one that is no time is not kept."""
    skipped: str | None = fields.get("skipped_due", stored["skipped_due"] if stored else None)
    if skipped is not None:
        try:
            datetime.fromisoformat(skipped)
        except ValueError:
            return None
    return skipped
