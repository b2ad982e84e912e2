"""The life of a task, through the client that openapi-generator makes of the contract."""

import sys
from datetime import UTC, date, datetime
from uuid import uuid4

from openapi_client import (
    ApiClient,
    ApiException,
    Batch,
    BatchCreate,
    BatchOperation,
    BatchToggle,
    ChangesApi,
    Configuration,
    DeletedTask,
    ListCreate,
    ListsApi,
    OverviewsApi,
    Problem,
    Reminder,
    Task,
    TaskChange,
    TaskCreate,
    TaskMove,
    TaskPatch,
    TasksApi,
    TaskTombstone,
    TaskUpdate,
)

client = ApiClient(Configuration(host=sys.argv[1]))
# By itself it writes an offset without a colon, which RFC 3339 does not have.
client.configuration.datetime_format = "%Y-%m-%dT%H:%M:%SZ"
tasks, feed = TasksApi(client), ChangesApi(client)
user = uuid4()

task = tasks.create_task(user, TaskCreate(title="Buy milk"))
assert isinstance(task, Task)
assert (task.title, task.description, task.completed) == ("Buy milk", None, False)
assert task.created_at.tzinfo == UTC

assert tasks.get_task(user, task.id) == task
assert tasks.list_tasks(user, limit=10, completed=False) == [task]
assert tasks.list_tasks(user, q='"buy milk" OR bread -oat', sort="relevance") == [task]

begun = feed.list_changes(user)
[change] = [each.actual_instance for each in begun.changes]
assert isinstance(change, TaskChange)
assert change.task == task

updated = tasks.update_task(
    user,
    task.id,
    TaskUpdate(description="Two litres", due_on=date(2026, 1, 31), tags=["home", "Dairy"]),
)
assert (updated.description, updated.due_on) == ("Two litres", date(2026, 1, 31))
assert list(updated.tags) == ["home", "Dairy"]
toggled = tasks.toggle_task(user, task.id)
assert toggled.completed

version = f'"{toggled.revision}"'
patched = tasks.patch_task(
    user,
    task.id,
    TaskPatch(description=None, due_at=datetime(2026, 1, 31, 17, tzinfo=UTC)),
    if_match=version,
)
assert patched.description is None
assert (patched.due_on, patched.due_at) == (None, datetime(2026, 1, 31, 17, tzinfo=UTC))

try:
    tasks.patch_task(user, task.id, TaskPatch(completed=False), if_match=version)
    raise AssertionError("a stale version was changed")
except ApiException as error:
    problem = Problem.from_json(error.body)
    assert problem is not None
    assert (error.status, problem.type) == (412, "/problems#task-changed")
    assert problem.current == patched

tasks.delete_task(user, task.id)
[change] = [each.actual_instance for each in feed.list_changes(user, since=begun.next).changes]
assert isinstance(change, TaskTombstone)
assert (change.id, change.revision > task.revision) == (task.id, True)

[in_trash] = tasks.list_trash(user, completed=True)
assert isinstance(in_trash, DeletedTask)
assert (in_trash.id, in_trash.deleted_at > in_trash.created_at) == (task.id, True)
try:
    tasks.create_task(user, TaskCreate(id=task.id, title="Buy milk"))
    raise AssertionError("an id was used twice")
except ApiException as error:
    problem = Problem.from_json(error.body)
    assert problem is not None
    assert (problem.current, problem.deleted_task) == (None, in_trash)

assert tasks.restore_task(user, task.id).title == "Buy milk"

operations = [
    BatchOperation(BatchCreate(op="create", title="Buy bread")),
    BatchOperation(BatchToggle(op="toggle", id=task.id)),
]
batched = tasks.batch_tasks(user, Batch(operations=operations))
assert [each.status for each in batched.results] == [201, 200]

groceries = ListsApi(client).create_list(user, ListCreate(title="Groceries"))
parent = tasks.create_task(user, TaskCreate(title="Milk", list_id=groceries.id))
subtask = tasks.create_task(user, TaskCreate(title="Which milk?", parent_id=parent.id))
assert (subtask.list_id, subtask.parent_id) == (groceries.id, parent.id)
moved = tasks.move_task(user, subtask.id, TaskMove(before=parent.id))
in_order = tasks.list_tasks(user, list_id=groceries.id, sort="position")
assert in_order == [moved, parent]

daily = {"due_on": date(2026, 1, 31), "recurrence": "FREQ=DAILY"}
reminders = [Reminder(before="PT1H")]
recurring = tasks.create_task(user, TaskCreate(title="Water", **daily, reminders=reminders))
assert recurring.reminders == reminders
tasks.toggle_task(user, recurring.id)
[due] = OverviewsApi(client).list_reminders(user, var_from=datetime(2026, 2, 1, tzinfo=UTC))
assert (due.at, due.due_on) == (datetime(2026, 2, 1, 8, tzinfo=UTC), date(2026, 2, 1))

print("the task has lived")
