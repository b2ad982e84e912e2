// The life of a task, through the client that orval makes of the contract.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import {
  batchTasks,
  createList,
  createTask,
  deleteTask,
  getTask,
  listChanges,
  listTasks,
  listTrash,
  moveTask,
  patchTask,
  restoreTask,
  toggleTask,
  updateTask,
} from "./orval";
import type { DeletedTask, Task, TaskTombstone } from "./orval";

// Its paths are relative to the page.
const inPage = globalThis.fetch;
globalThis.fetch = (path, init) => inPage(new URL(String(path), process.argv[2]), init);

async function live() {
  const user = randomUUID();

  const created = await createTask(user, { title: "Buy milk" });
  assert(created.status === 201);
  const task: Task = created.data;
  assert.equal(task.completed, false);

  assert.deepEqual((await getTask(user, task.id)).data, task);
  assert.deepEqual((await listTasks(user, { limit: 10, completed: false })).data, [task]);
  assert.deepEqual((await listTasks(user, { q: '"buy milk" OR bread -oat' })).data, [task]);

  const begun = await listChanges(user);
  assert(begun.status === 200);
  assert.deepEqual(begun.data.changes, [{ kind: "task", task }]);

  const updated = await updateTask(user, task.id, { description: "Two litres" });
  assert(updated.status === 200);
  assert.equal(updated.data.description, "Two litres");
  const toggled = await toggleTask(user, task.id);
  assert(toggled.status === 200);
  assert.equal(toggled.data.completed, true);

  const ifMatch = { headers: { "If-Match": toggled.headers.get("ETag") ?? "" } };
  const patched = await patchTask(user, task.id, { description: null }, ifMatch);
  assert(patched.status === 200);
  assert.equal(patched.data.description, null);
  const stale = await patchTask(user, task.id, { completed: false }, ifMatch);
  assert(stale.status === 412);
  assert.deepEqual(stale.data.current, patched.data);

  assert.equal((await deleteTask(user, task.id)).status, 204);
  const following = await listChanges(user, { since: begun.data.next });
  assert(following.status === 200);
  const [change] = following.data.changes;
  assert(change?.kind === "task_tombstone");
  const tombstone: TaskTombstone = change;
  assert.equal(tombstone.id, task.id);
  const gone = await getTask(user, task.id);
  assert(gone.status === 404);
  assert.equal(gone.data.type, "/problems#task-not-found");

  const trash = await listTrash(user, { completed: true });
  assert(trash.status === 200);
  const inTrash: DeletedTask | undefined = trash.data[0];
  assert(inTrash);
  assert(inTrash.deleted_at > inTrash.created_at);
  const taken = await createTask(user, { id: task.id, title: "Buy milk" });
  assert(taken.status === 409);
  assert.deepEqual(taken.data.deleted_task, inTrash);

  const restored = await restoreTask(user, task.id);
  assert(restored.status === 200);
  assert.equal(restored.data.title, "Buy milk");
  const operations = [
    { op: "create", title: "Buy bread" } as const,
    { op: "toggle", id: task.id } as const,
  ];
  const batched = await batchTasks(user, { operations });
  assert(batched.status === 200);
  assert.deepEqual(
    batched.data.results.map(({ status, task }) => [status, task?.title]),
    [[201, "Buy bread"], [200, "Buy milk"]],
  );

  const list = await createList(user, { title: "Groceries" });
  assert(list.status === 201);
  const list_id = list.data.id;
  const parent = await createTask(user, { title: "Milk", list_id });
  assert(parent.status === 201);
  const subtask = await createTask(user, { title: "Which milk?", parent_id: parent.data.id });
  assert(subtask.status === 201);
  assert.deepEqual([subtask.data.list_id, subtask.data.parent_id], [list_id, parent.data.id]);
  const moved = await moveTask(user, subtask.data.id, { before: parent.data.id });
  assert(moved.status === 200);
  const inOrder = await listTasks(user, { list_id, sort: "position" });
  assert.deepEqual(inOrder.data, [moved.data, parent.data]);
}

live().then(() => console.log("the task has lived"));
