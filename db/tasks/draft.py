"""A draft of a user's tasks: as they were, and as they are after the events so far."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from db.quotas import MAX_TASKS
from db.tasks import places, trees
from db.tasks.dates import rfc_3339
from db.tasks.tasks import NO_REVISION, Task, unknown

MICROSECOND = timedelta(microseconds=1)


class Event(NamedTuple):
    """A change of one task, with the task before and after it."""

    kind: str
    """The operation: create, update, toggle, skip, delete, restore."""

    before: Task | None
    """The task before the change, with `deleted_at` if it was in the trash."""

    after: Task
    """The task after it, with `deleted_at` if it is in the trash now."""

    deletion: int | None = None
    """The revision of the deletion that takes the task along."""

    skipped_due: str | None = None
    """The local time at which the task is due, if the clocks skip it."""

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
        skipped_dues: Mapping[str, str | None] | None = None,
    ) -> None:
        """`revision` is the owner's latest; `moment` is later than all changes of the owner.

        `task_count` is the number of all tasks of the owner, not only of these. `lists` are the ids
        of the owner's lists that are not in the trash. `deletions` has, for each task that another
        one's deletion took along, the revision of that; `completions` the revision of each task's
        latest completion; `skipped_dues` the local times of dues that the clocks skip.
        """
        self.user_id = str(user_id)
        self.before: dict[str, Task] = {task["id"]: task for task in tasks}
        self.tasks = dict(self.before)
        self.events: list[Event] = []
        self.max_tasks = max_tasks
        self.lists = lists
        self.deletions = {**(deletions or {})}
        self.completions = {**(completions or {})}
        self.skipped_dues = {**(skipped_dues or {})}
        self.unread: Mapping[str, int] = {}
        """How many tasks below each task at the top were not read."""

        self.asked: Collection[str] = ()
        """Ids that the read was about: if none of the tasks has one, no task of the owner has."""

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
    def room(self) -> int:
        """How many more tasks the owner can have."""
        return self.max_tasks - self._task_count - self.created

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
        if event.skipped_due is not None:
            self.skipped_dues[event.after["id"]] = event.skipped_due
        self.events.append(event)

    def stamps(self, later: int = 0) -> dict[str, Any]:
        """The revision and the time of the next event, or of one so many later."""
        number = len(self.events) + later
        moment = self._moment + number * MICROSECOND
        return {"updated_at": rfc_3339(moment), "revision": self._revision + number + 1}

    def below(self, task: Task) -> list[Task]:
        """The tasks below this one, parents before their children."""
        levels = trees.levels_below(places.active(self.tasks), task["id"])
        return [self.tasks[each] for level in levels for each in level]

    def taken_along(self, task: Task) -> list[Task]:
        """The tasks that the deletion of this one took along."""
        deletions = self.deletions.items()
        return [self.tasks[each] for each, deletion in deletions if deletion == task["revision"]]

    def deletion(self, task: Task, later: int = 0) -> list[Event]:
        """The soft deletion of the task, and of all that is below it."""
        event = _deleted(task, self.stamps(later))
        below = enumerate(self.below(task), start=later + 1)
        return [event, *(_deleted(each, self.stamps(n), event.revision) for n, each in below)]


def _deleted(task: Task, stamps: Mapping[str, Any], deletion: int | None = None) -> Event:
    after = {**task, **stamps, "deleted_at": stamps["updated_at"]}
    return Event("delete", task, after, deletion)
