// The life of a task, through the client that openapi-generator (typescript-fetch) makes.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import {
  ChangesApi,
  Configuration,
  ListsApi,
  ProblemFromJSON,
  ResponseError,
  Sort,
  TasksApi,
} from "./typescript_fetch";
import type { DeletedTask, Problem, Task, TaskTombstone } from "./typescript_fetch";

async function problemOf(request: Promise<unknown>): Promise<Problem> {
  const error = await request.then(() => assert.fail("it succeeded"), (error) => error);
  assert(error instanceof ResponseError, String(error));
  return ProblemFromJSON(await error.response.json());
}

async function live(basePath: string) {
  const configuration = new Configuration({ basePath });
  const [tasks, feed] = [new TasksApi(configuration), new ChangesApi(configuration)];
  const userId = randomUUID();

  const task: Task = await tasks.createTask({ userId, taskCreate: { title: "Buy milk" } });
  assert.equal(task.completed, false);
  assert(task.createdAt instanceof Date);
  const ofTask = { userId, taskId: task.id };

  assert.deepEqual(await tasks.getTask(ofTask), task);
  assert.deepEqual(await tasks.listTasks({ userId, limit: 10, completed: false }), [task]);
  assert.deepEqual(await tasks.listTasks({ userId, q: '"buy milk" OR bread -oat' }), [task]);

  const begun = await feed.listChanges({ userId });
  assert.deepEqual(begun.changes, [{ kind: "task", task }]);

  const updated = await tasks.updateTask({ ...ofTask, taskUpdate: { description: "Two litres", tags: new Set(["home", "Dairy"]) } });
  assert.deepEqual([...updated.tags], ["home", "Dairy"]);
  assert.equal(updated.description, "Two litres");
  const toggled = await tasks.toggleTask(ofTask);
  assert.equal(toggled.completed, true);

  const ifMatch = `"${toggled.revision}"`;
  const patched = await tasks.patchTask({ ...ofTask, ifMatch, taskPatch: { description: null } });
  assert.equal(patched.description, null);
  const stale = await problemOf(tasks.patchTask({ ...ofTask, ifMatch, taskPatch: {} }));
  assert.equal(stale.type, "/problems#task-changed");
  assert.deepEqual(stale.current, patched);

  await tasks.deleteTask(ofTask);
  const [change] = (await feed.listChanges({ userId, since: begun.next })).changes;
  assert(change?.kind === "task_tombstone");
  const tombstone: TaskTombstone = change;
  assert.equal(tombstone.id, task.id);
  assert.equal((await problemOf(tasks.getTask(ofTask))).status, 404);

  const [inTrash] = await tasks.listTrash({ userId, completed: true });
  assert(inTrash);
  const deletedTask: DeletedTask = inTrash;
  assert(deletedTask.deletedAt > deletedTask.createdAt);
  const taskCreate = { id: task.id, title: "Buy milk" };
  const taken = await problemOf(tasks.createTask({ userId, taskCreate }));
  assert.deepEqual(taken.deletedTask, deletedTask);

  assert.equal((await tasks.restoreTask(ofTask)).title, "Buy milk");
  const { results } = await tasks.batchTasks({
    userId,
    batch: { operations: [{ op: "create", title: "Buy bread" }, { op: "toggle", id: task.id }] },
  });
  assert.deepEqual(
    results.map(({ status, task }) => [status, task?.title]),
    [[201, "Buy bread"], [200, "Buy milk"]],
  );

  const lists = new ListsApi(configuration);
  const { id: listId } = await lists.createList({ userId, listCreate: { title: "Groceries" } });
  const parent = await tasks.createTask({ userId, taskCreate: { title: "Milk", listId } });
  const below = { title: "Which milk?", parentId: parent.id };
  const subtask = await tasks.createTask({ userId, taskCreate: below });
  assert.deepEqual([subtask.listId, subtask.parentId], [listId, parent.id]);
  const move = { userId, taskId: subtask.id, taskMove: { before: parent.id } };
  const moved = await tasks.moveTask(move);
  const inOrder = await tasks.listTasks({ userId, listId, sort: Sort.Position });
  assert.deepEqual(inOrder, [moved, parent]);
}

live(process.argv[2]!).then(() => console.log("the task has lived"));
