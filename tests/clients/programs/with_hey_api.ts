// The life of a task, through the client that @hey-api/openapi-ts makes of the contract.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { createClient } from "./hey_api/client";
import {
  batchTasks,
  createList,
  createTask,
  deleteTask,
  getTask,
  listChanges,
  listReminders,
  listTasks,
  listTrash,
  moveTask,
  patchTask,
  restoreTask,
  toggleTask,
  updateTask,
} from "./hey_api";
import type { DeletedTask, Task, TaskTombstone } from "./hey_api";

async function live(baseUrl: string) {
  const client = createClient({ baseUrl });
  const path = { user_id: randomUUID() };

  const created = await createTask({ client, path, body: { title: "Buy milk" } });
  assert(created.data);
  const task: Task = created.data;
  assert.equal(task.completed, false);
  const ofTask = { client, path: { ...path, task_id: task.id } };

  assert.deepEqual((await getTask(ofTask)).data, task);
  const listed = await listTasks({ client, path, query: { limit: 10, completed: false } });
  assert.deepEqual(listed.data, [task]);
  const found = await listTasks({ client, path, query: { q: '"buy milk" OR bread -oat' } });
  assert.deepEqual(found.data, [task]);

  const begun = await listChanges({ client, path });
  assert.deepEqual(begun.data?.changes, [{ kind: "task", task }]);

  const updated = await updateTask({ ...ofTask, body: { description: "Two litres" } });
  assert.equal(updated.data?.description, "Two litres");
  const toggled = await toggleTask(ofTask);
  assert.equal(toggled.data?.completed, true);

  const headers = { "If-Match": toggled.response?.headers.get("ETag") ?? "" };
  const patched = await patchTask({ ...ofTask, headers, body: { description: null } });
  assert.equal(patched.data?.description, null);
  const stale = await patchTask({ ...ofTask, headers, body: { completed: false } });
  assert.equal(stale.error?.type, "/problems#task-changed");
  assert.deepEqual(stale.error.current, patched.data);

  assert.equal((await deleteTask(ofTask)).response?.status, 204);
  const query = { since: begun.data?.next ?? "" };
  const [change] = (await listChanges({ client, path, query })).data?.changes ?? [];
  assert(change?.kind === "task_tombstone");
  const tombstone: TaskTombstone = change;
  assert.equal(tombstone.id, task.id);
  assert.equal((await getTask(ofTask)).error?.status, 404);

  const trash = await listTrash({ client, path, query: { completed: true } });
  const inTrash: DeletedTask | undefined = trash.data?.[0];
  assert(inTrash);
  assert(inTrash.deleted_at > inTrash.created_at);
  const taken = await createTask({ client, path, body: { id: task.id, title: "Buy milk" } });
  assert.deepEqual(taken.error?.deleted_task, inTrash);

  assert.equal((await restoreTask(ofTask)).data?.title, "Buy milk");
  const batched = await batchTasks({
    client,
    path,
    body: { operations: [{ op: "create", title: "Buy bread" }, { op: "toggle", id: task.id }] },
  });
  assert.deepEqual(
    batched.data?.results.map(({ status, task }) => [status, task?.title]),
    [[201, "Buy bread"], [200, "Buy milk"]],
  );

  const { data: list } = await createList({ client, path, body: { title: "Groceries" } });
  assert(list);
  const inside = { title: "Milk", list_id: list.id };
  const { data: parent } = await createTask({ client, path, body: inside });
  assert(parent);
  const below = { title: "Which milk?", parent_id: parent.id };
  const { data: subtask } = await createTask({ client, path, body: below });
  assert(subtask);
  assert.deepEqual([subtask.list_id, subtask.parent_id], [list.id, parent.id]);
  const ofSubtask = { client, path: { ...path, task_id: subtask.id } };
  const moved = await moveTask({ ...ofSubtask, body: { before: parent.id } });
  const ordered = { list_id: list.id, sort: "position" } as const;
  const inOrder = await listTasks({ client, path, query: ordered });
  assert.deepEqual(inOrder.data, [moved.data, parent]);

  const daily = { title: "Water", due_on: "2026-01-31", recurrence: "FREQ=DAILY" };
  const reminders = [{ before: "PT1H" }];
  const { data: recurring } = await createTask({ client, path, body: { ...daily, reminders } });
  assert(recurring);
  await toggleTask({ client, path: { ...path, task_id: recurring.id } });
  const due = await listReminders({ client, path, query: { from: "2026-02-01T00:00:00Z" } });
  assert.deepEqual(due.data?.map(({ at, due_on }) => [at, due_on]), [["2026-02-01T08:00:00.000000Z", "2026-02-01"]]);
}

live(process.argv[2]!).then(() => console.log("the task has lived"));
