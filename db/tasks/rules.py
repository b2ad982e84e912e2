"""The rules of writes: pure functions over a draft of a user's tasks.

A rule raises an error if it refuses the operation. It returns an event for each task that changes,
first for the one that the operation names. It never changes the draft: `Draft.apply` applies an
event. A batch runs the rules; the statements of single writes do the same in SQL, and a test
compares the two.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from db.errors import IdTaken
from db.quotas import MAX_TASKS
from db.schema.clauses import PLACE_COLUMNS
from db.schema.fields import DEFAULTS
from db.tasks import places, trees
from db.tasks.dates import settled
from db.tasks.positions import of_revision
from db.tasks.tasks import (
    NO_REVISION,
    Task,
    Versions,
    as_expected,
    id_taken,
    too_many,
    unknown,
    uuid7,
)

MICROSECOND = timedelta(microseconds=1)
_PLACE = frozenset(PLACE_COLUMNS)


class Event(NamedTuple):
    """A change of one task, with the task before and after it."""

    kind: str
    """The operation: create, update, toggle, delete, restore."""

    before: Task | None
    """The task before the change, with `deleted_at` if it was in the trash."""

    after: Task
    """The task after it, with `deleted_at` if it is in the trash now."""

    deletion: int | None = None
    """The revision of the deletion that takes the task along."""

    @property
    def revision(self) -> int:
        """The owner's revision that the change has taken."""
        revision: int = self.after["revision"]
        return revision

    @property
    def completes(self) -> bool:
        """Whether the change completes the task."""
        return bool(self.after["completed_at"] == self.after["updated_at"])

    @property
    def moment(self) -> str:
        """When it happened: later than every change of the owner's data before it."""
        moment: str = self.after["updated_at"]
        return moment


class Draft:
    """A user's tasks after the events so far, those in the trash included."""

    def __init__(
        self,
        user_id: UUID,
        tasks: Iterable[Task] = (),
        revision: int = NO_REVISION,
        moment: str | None = None,
        *,
        task_count: int = 0,
        max_tasks: int = MAX_TASKS,
        lists: Collection[str] = (),
        deletions: Mapping[str, int | None] | None = None,
        completions: Mapping[str, int] | None = None,
    ) -> None:
        """`revision` is the owner's latest; `moment` is later than all changes of the owner.

        `task_count` is the number of all tasks of the owner, not only of these. `lists` are the ids
        of the owner's lists that are not in the trash. `deletions` has, for each task that another
        one's deletion took along, the revision of that; `completions` the revision of each task's
        latest completion.
        """
        self.user_id = str(user_id)
        self.before: dict[str, Task] = {task["id"]: task for task in tasks}
        self.tasks = dict(self.before)
        self.events: list[Event] = []
        self.max_tasks = max_tasks
        self.lists = lists
        self.deletions = {**(deletions or {})}
        self.completions = {**(completions or {})}
        self._task_count = task_count
        self._revision = revision
        self._moment = datetime.fromisoformat(moment) if moment else datetime.min

    @property
    def written(self) -> dict[str, Task]:
        """The tasks that the events have changed, as they are now."""
        return {event.after["id"]: event.after for event in self.events}

    @property
    def created(self) -> int:
        """How many tasks the events have created."""
        return len(self.tasks) - len(self.before)

    @property
    def is_full(self) -> bool:
        """Whether the owner can have no more tasks."""
        return self._task_count + self.created >= self.max_tasks

    def active(self, task_id: str) -> Task:
        """The task, if it exists and is not in the trash."""
        task = self.tasks.get(task_id)
        if task is None or "deleted_at" in task:
            raise unknown(UUID(task_id))
        return task

    def apply(self, event: Event) -> None:
        """Replace the task by the one after the event."""
        self.tasks[event.after["id"]] = event.after
        self.deletions[event.after["id"]] = event.deletion
        if event.before is None or event.completes:
            self.completions[event.after["id"]] = event.revision
        self.events.append(event)

    def stamps(self, later: int = 0) -> dict[str, Any]:
        """The revision and the time of the next event, or of one so many later."""
        number = len(self.events) + later
        moment = self._moment + number * MICROSECOND
        written = moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
        return {"updated_at": written, "revision": self._revision + number + 1}

    def below(self, task: Task) -> list[Task]:
        """The tasks below this one, parents before their children."""
        levels = trees.levels_below(places.active(self.tasks), task["id"])
        return [self.tasks[each] for level in levels for each in level]

    def taken_along(self, task: Task) -> list[Task]:
        """The tasks that the deletion of this one took along."""
        deletions = self.deletions.items()
        return [self.tasks[each] for each, deletion in deletions if deletion == task["revision"]]


def create(draft: Draft, _: Versions, fields: Mapping[str, Any]) -> list[Event]:
    """Create a task with an id that the user has never used."""
    task_id = fields.get("id") or str(uuid7())
    if task_id in draft.tasks:
        raise IdTaken(id_taken(task_id), draft.tasks[task_id])
    if draft.is_full:
        raise too_many(draft.max_tasks)
    fields = places.of_new(draft.tasks, settled(fields))
    places.check(draft.tasks, draft.lists, fields)
    stamps = draft.stamps()
    key = {"id": task_id, "user_id": draft.user_id}
    times = {"created_at": stamps["updated_at"], **stamps}
    place = {"position": of_revision(stamps["revision"])}
    task = {**DEFAULTS, **place, **fields, **key, **times}
    return [Event("create", None, {**task, "completed_at": _completion(None, task, stamps)})]


def update(draft: Draft, expected: Versions, fields: Mapping[str, Any]) -> list[Event]:
    """Change the named fields; without any, nothing changes.

    All that is below the task moves to another list with it.
    """
    task = as_expected(draft.active(fields["id"]), expected)
    if fields.keys() == {"id"}:
        return []
    event = _changed("update", task, settled(fields), draft.stamps())
    if _PLACE.isdisjoint(fields):
        return [event]
    places.check(draft.tasks, draft.lists, event.after, task["id"])
    if event.after["list_id"] == task["list_id"]:
        return [event]
    moved = {"list_id": event.after["list_id"]}
    below = enumerate(draft.below(task), start=1)
    return [event, *(_changed("update", each, moved, draft.stamps(n)) for n, each in below)]


def toggle(draft: Draft, expected: Versions, fields: Mapping[str, Any]) -> list[Event]:
    """Complete the task, or reopen it."""
    task = as_expected(draft.active(fields["id"]), expected)
    return [_changed("toggle", task, {"completed": not task["completed"]}, draft.stamps())]


def delete(draft: Draft, expected: Versions, fields: Mapping[str, Any]) -> list[Event]:
    """Soft delete the task and all that is below it: they become tombstones in the trash."""
    task = as_expected(draft.active(fields["id"]), expected)
    event = _deleted(task, draft.stamps())
    below = enumerate(draft.below(task), start=1)
    return [event, *(_deleted(each, draft.stamps(n), event.revision) for n, each in below)]


def restore(draft: Draft, expected: Versions, fields: Mapping[str, Any]) -> list[Event]:
    """Restore the task from the trash, and with it what its deletion took along.

    A task that is not in the trash does not change.
    """
    if fields["id"] not in draft.tasks:
        raise unknown(UUID(fields["id"]))
    task = as_expected(draft.tasks[fields["id"]], expected)
    if "deleted_at" not in task:
        return []
    together = draft.taken_along(task)
    found = places.of_restored(draft.tasks, draft.lists, task, together)
    return [
        _restored(each, {**place, **draft.stamps(number)})
        for number, (each, place) in enumerate(zip([task, *together], found, strict=True))
    ]


def _deleted(task: Task, stamps: Mapping[str, Any], deletion: int | None = None) -> Event:
    after = {**task, **stamps, "deleted_at": stamps["updated_at"]}
    return Event("delete", task, after, deletion)


def _restored(task: Task, changes: Mapping[str, Any]) -> Event:
    kept = {name: value for name, value in task.items() if name != "deleted_at"}
    return Event("restore", task, {**kept, **changes})


def _changed(
    kind: str, before: Task, fields: Mapping[str, Any], stamps: Mapping[str, Any]
) -> Event:
    after = {**before, **fields, **stamps}
    return Event(kind, before, {**after, "completed_at": _completion(before, after, stamps)})


def _completion(before: Task | None, after: Task, stamps: Mapping[str, Any]) -> str | None:
    """When the task was completed, if the change with these stamps leaves it as `after`."""
    if before and before["completed"] == after["completed"]:
        unchanged: str | None = before["completed_at"]
        return unchanged
    return stamps["updated_at"] if after["completed"] else None


Rule = Callable[[Draft, Versions, Mapping[str, Any]], list[Event]]

RULES: dict[str, Rule] = {
    "create": create,
    "update": update,
    "toggle": toggle,
    "delete": delete,
    "restore": restore,
}
"""The rule of each operation."""
