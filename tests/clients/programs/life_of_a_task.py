"""The whole life of a task, through the client that openapi-python-client makes of the contract.

A line with `type: ignore` passes only if the types refuse it.
"""

import sys
from datetime import UTC, date, datetime
from http import HTTPStatus
from uuid import uuid4

from errand_client import Client
from errand_client.api.changes import list_changes
from errand_client.api.lists import create_list, delete_list, restore_list
from errand_client.api.overviews import list_reminders
from errand_client.api.tasks import (
    batch_tasks,
    create_task,
    delete_task,
    get_task,
    list_occurrences,
    list_tasks,
    list_trash,
    move_task,
    patch_task,
    restore_task,
    skip_task,
    toggle_task,
    update_task,
)
from errand_client.models import (
    Batch,
    BatchCreate,
    BatchCreateOp,
    BatchRestore,
    BatchRestoreOp,
    BatchResults,
    ChangePage,
    DeletedTask,
    Fault,
    ListCreate,
    Problem,
    Reminder,
    Sort,
    Task,
    TaskChange,
    TaskChangeKind,
    TaskCreate,
    TaskList,
    TaskMove,
    TaskPatch,
    TaskTombstone,
    TaskUpdate,
)
from errand_client.types import UNSET

errand = Client(base_url=sys.argv[1], raise_on_unexpected_status=True)

user = uuid4()

task = create_task.sync(user, client=errand, body=TaskCreate(title="Buy milk"))
assert isinstance(task, Task)
assert (task.title, task.description, task.completed) == ("Buy milk", None, False)

assert list_tasks.sync(user, client=errand, limit=10, completed=False) == [task]
assert list_tasks.sync(user, client=errand, q='"buy milk" OR bread -oat') == [task]

assert get_task.sync(user, task.id, client=errand) == task

begun = list_changes.sync(user, client=errand, limit=10)
assert isinstance(begun, ChangePage)
assert begun.changes == [TaskChange(kind=TaskChangeKind.TASK, task=task)]
assert begun.more is False

changes = TaskUpdate(description="Two litres", due_on=date(2026, 1, 31))
updated = update_task.sync(user, task.id, client=errand, body=changes)
assert isinstance(updated, Task)
assert (updated.title, updated.description) == ("Buy milk", "Two litres")
assert (updated.due_on, updated.due_at) == (date(2026, 1, 31), None)

toggled = toggle_task.sync(user, task.id, client=errand)
assert isinstance(toggled, Task)
assert toggled.completed
assert toggled.completed_at == toggled.updated_at

version = f'"{toggled.revision}"'
again = get_task.sync_detailed(user, task.id, client=errand, if_none_match=version)
assert again.status_code is HTTPStatus.NOT_MODIFIED

patched = patch_task.sync(
    user,
    task.id,
    client=errand,
    body=TaskPatch(description=None, due_at=datetime(2026, 1, 31, 17, tzinfo=UTC)),
    if_match=version,
)
assert isinstance(patched, Task)
assert patched.description is None
assert (patched.due_on, patched.due_at) == (None, datetime(2026, 1, 31, 17, tzinfo=UTC))

stale = patch_task.sync(user, task.id, client=errand, body=TaskPatch(), if_match=version)
assert isinstance(stale, Problem)
assert stale.current == patched

wrong = TaskUpdate(title=1)  # type: ignore[arg-type]
refused = update_task.sync(user, task.id, client=errand, body=wrong)
assert isinstance(refused, Problem)
assert refused.errors
faults: list[Fault] = refused.errors
assert [fault.pointer for fault in faults] == ["/title"]

deleted = delete_task.sync_detailed(user, task.id, client=errand)
assert deleted.status_code is HTTPStatus.NO_CONTENT
assert deleted.parsed is None

since = list_changes.sync(user, client=errand, since=begun.next_, wait=1)
assert isinstance(since, ChangePage)
[change] = since.changes
assert isinstance(change, TaskTombstone)
assert (change.id, change.revision > task.revision) == (task.id, True)

gone = get_task.sync_detailed(user, task.id, client=errand)
assert gone.status_code is HTTPStatus.NOT_FOUND
problem = gone.parsed
assert isinstance(problem, Problem)
assert (problem.type_, problem.status) == ("/problems#task-not-found", 404)

trash = list_trash.sync(user, client=errand, completed=True)
assert isinstance(trash, list)
[in_trash] = trash
assert isinstance(in_trash, DeletedTask)
deleted_at: datetime = in_trash.deleted_at
assert deleted_at > in_trash.created_at

taken = create_task.sync(user, client=errand, body=TaskCreate(title="Buy milk", id=task.id))
assert isinstance(taken, Problem)
assert (taken.current, taken.deleted_task) == (UNSET, in_trash)

restored = restore_task.sync(user, task.id, client=errand)
assert isinstance(restored, Task)
assert restored.title == "Buy milk"
assert not hasattr(restored, "deleted_at")

own = TaskCreate(title="Buy bread", id=uuid4())
first = create_task.sync(user, client=errand, body=own)
second = create_task.sync(user, client=errand, body=own)
assert isinstance(second, Problem)
assert (second.status, second.current) == (409, first)

new = BatchCreate(op=BatchCreateOp.CREATE, title="Buy bread")
back = BatchRestore(op=BatchRestoreOp.RESTORE, id=task.id)
batched = batch_tasks.sync(user, client=errand, body=Batch(operations=[new, back]))
assert isinstance(batched, BatchResults)
assert [each.status for each in batched.results] == [201, 200]
assert isinstance(batched.results[1].task, Task)

groceries = create_list.sync(user, client=errand, body=ListCreate(title="Groceries"))
assert isinstance(groceries, TaskList)
inside = TaskCreate(title="Milk", list_id=groceries.id)
parent = create_task.sync(user, client=errand, body=inside)
assert isinstance(parent, Task)
below = TaskCreate(title="Which milk?", parent_id=parent.id)
subtask = create_task.sync(user, client=errand, body=below)
assert isinstance(subtask, Task)
assert (subtask.list_id, subtask.parent_id) == (groceries.id, parent.id)
assert delete_list.sync_detailed(user, groceries.id, client=errand).status_code == 204
assert list_tasks.sync(user, client=errand, list_id=groceries.id) == []
restored_list = restore_list.sync(user, groceries.id, client=errand)
assert isinstance(restored_list, TaskList)
listed = list_tasks.sync(user, client=errand, list_id=groceries.id)
assert isinstance(listed, list)
assert {each.title for each in listed} == {"Milk", "Which milk?"}

moved = move_task.sync(user, subtask.id, client=errand, body=TaskMove(before=parent.id))
assert isinstance(moved, Task)
assert moved.position < parent.position
by_position = list_tasks.sync(user, client=errand, list_id=groceries.id, sort=Sort.POSITION)
assert isinstance(by_position, list)
assert [each.id for each in by_position] == [subtask.id, parent.id]

weekly = TaskCreate(
    title="Water the plants",
    due_at=datetime(2026, 3, 24, 8, tzinfo=UTC),
    recurrence="FREQ=WEEKLY",
    time_zone="Europe/Berlin",
    reminders=[Reminder(before="PT30M"), Reminder(at=datetime(2026, 3, 23, 19, tzinfo=UTC))],
)
recurring = create_task.sync(user, client=errand, body=weekly)
assert isinstance(recurring, Task)
assert [each.before for each in recurring.reminders] == ["PT30M", UNSET]
done = toggle_task.sync(user, recurring.id, client=errand)
assert isinstance(done, Task)
series = list_tasks.sync(user, client=errand, series_id=recurring.id, completed=False)
assert isinstance(series, list)
[successor] = series
assert successor.due_at == datetime(2026, 3, 31, 7, tzinfo=UTC)
due = list_reminders.sync(user, client=errand, from_=done.due_at or UNSET, limit=10)
assert isinstance(due, list)
assert [(each.task_id, each.at) for each in due] == [
    (successor.id, datetime(2026, 3, 30, 18, tzinfo=UTC)),
    (successor.id, datetime(2026, 3, 31, 6, 30, tzinfo=UTC)),
]
skipped = skip_task.sync(user, successor.id, client=errand)
assert isinstance(skipped, Task)
assert skipped.due_at == datetime(2026, 4, 7, 7, tzinfo=UTC)
later = list_occurrences.sync(user, successor.id, client=errand, limit=1)
assert isinstance(later, list)
assert [each.due_at for each in later] == [datetime(2026, 4, 14, 7, tzinfo=UTC)]

print("the task has lived")
