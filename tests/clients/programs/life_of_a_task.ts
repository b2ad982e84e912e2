// The whole life of a task, through the client that openapi-typescript makes of the contract.
// A line under @ts-expect-error compiles only if the types refuse it.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import createClient from "openapi-fetch";
import type {
  BatchOperation,
  Change,
  ChangePage,
  DeletedTask,
  DueReminder,
  Fault,
  Problem,
  Task,
  TaskCreate,
  TaskList,
  TaskPatch,
  TaskUpdate,
  TaskChange,
  TaskTombstone,
  paths,
} from "./contract.js";

const [, , baseUrl] = process.argv;
assert(baseUrl, "which server?");
const errand = createClient<paths>({ baseUrl });

const user = { user_id: randomUUID() };

const wanted: TaskCreate = { title: "Buy milk" };
const created = await errand.POST("/api/{user_id}/tasks", { params: { path: user }, body: wanted });
assert.equal(created.response.status, 201);
assert(created.data);
const task: Task = created.data;
assert.equal(task.title, "Buy milk");
assert.equal(task.description, null);
assert.equal(task.completed, false);

const path = { ...user, task_id: task.id };

const listed = await errand.GET("/api/{user_id}/tasks", {
  params: { path: user, query: { limit: 10, completed: false } },
});
assert.deepEqual(listed.data, [task]);
const found = await errand.GET("/api/{user_id}/tasks", {
  params: { path: user, query: { q: '"buy milk" OR bread -oat', sort: "relevance" } },
});
assert.deepEqual(found.data, [task]);

const got = await errand.GET("/api/{user_id}/tasks/{task_id}", { params: { path } });
assert.deepEqual(got.data, task);

const followed = { params: { path: user } };
const begun: ChangePage | undefined = (await errand.GET("/api/{user_id}/changes", followed)).data;
const seen: TaskChange = { kind: "task", task };
assert.deepEqual(begun?.changes, [seen]);

const changes: TaskUpdate = { description: "Two litres", due_on: "2026-01-31" };
const updated = await errand.PUT("/api/{user_id}/tasks/{task_id}", {
  params: { path },
  body: changes,
});
assert.equal(updated.data?.title, "Buy milk");
assert.equal(updated.data.description, "Two litres");
assert.equal(updated.data.due_on, "2026-01-31");

const toggled = await errand.PATCH("/api/{user_id}/tasks/{task_id}/complete", { params: { path } });
assert.equal(toggled.data?.completed, true);

const version = toggled.response.headers.get("ETag");
assert.equal(version, `"${toggled.data.revision}"`);
const again = await errand.GET("/api/{user_id}/tasks/{task_id}", {
  params: { path, header: { "If-None-Match": version } },
});
assert.equal(again.response.status, 304);

const patch: TaskPatch = { description: null };
const patched = await errand.PATCH("/api/{user_id}/tasks/{task_id}", {
  params: { path, header: { "If-Match": version } },
  body: patch,
});
assert.equal(patched.data?.description, null);

const stale = await errand.PATCH("/api/{user_id}/tasks/{task_id}", {
  params: { path, header: { "If-Match": version } },
  body: patch,
});
assert.equal(stale.response.status, 412);
const current: Task | undefined = stale.error?.current;
assert.deepEqual(current, patched.data);

const refused = await errand.PUT("/api/{user_id}/tasks/{task_id}", {
  params: { path },
  // @ts-expect-error: a title is text
  body: { title: 1 },
});
const faults: Fault[] | undefined = refused.error?.errors;
assert.deepEqual(faults?.map((fault) => fault.pointer), ["/title"]);

const deleted = await errand.DELETE("/api/{user_id}/tasks/{task_id}", { params: { path } });
assert.equal(deleted.response.status, 204);
assert.equal(deleted.error, undefined);

const since = await errand.GET("/api/{user_id}/changes", {
  params: { path: user, query: { since: begun.next, wait: 1 } },
});
const change: Change | undefined = since.data?.changes[0];
assert(change?.kind === "task_tombstone");
const tombstone: TaskTombstone = change;
assert.equal(tombstone.id, task.id);
// @ts-expect-error: a tombstone has no task
assert.equal(tombstone.task, undefined);

const gone = await errand.GET("/api/{user_id}/tasks/{task_id}", { params: { path } });
assert.equal(gone.data, undefined);
assert(gone.error);
const problem: Problem = gone.error;
assert.equal(problem.type, "/problems#task-not-found");
assert.equal(problem.status, 404);

const trash = await errand.GET("/api/{user_id}/trash", {
  params: { path: user, query: { completed: true, sort: "title" } },
});
const inTrash: DeletedTask | undefined = trash.data?.[0];
assert(inTrash);
const deletedAt: string = inTrash.deleted_at;
assert(deletedAt > inTrash.created_at);

const taken = await errand.POST("/api/{user_id}/tasks", {
  params: { path: user },
  body: { id: task.id, title: "Buy milk" },
});
assert.deepEqual(taken.error?.deleted_task, inTrash);
assert.equal(taken.error.current, undefined);

const restored = await errand.POST("/api/{user_id}/tasks/{task_id}/restore", { params: { path } });
assert.equal(restored.data?.title, "Buy milk");
// @ts-expect-error: a task is not in the trash
assert.equal(restored.data.deleted_at, undefined);

const own = { id: randomUUID(), title: "Buy bread" };
const twice = [
  await errand.POST("/api/{user_id}/tasks", { params: { path: user }, body: own }),
  await errand.POST("/api/{user_id}/tasks", { params: { path: user }, body: own }),
];
assert.deepEqual(twice.map(({ response }) => response.status), [201, 409]);
assert.deepEqual(twice[1]?.error?.current, twice[0]?.data);

const operations: BatchOperation[] = [
  { op: "create", title: "Buy bread" },
  { op: "restore", id: task.id },
];
const batch = { params: { path: user }, body: { operations } };
const batched = await errand.POST("/api/{user_id}/tasks/batch", batch);
assert.deepEqual(
  batched.data?.results.map(({ status, task }) => [status, task?.title]),
  [[201, "Buy bread"], [200, "Buy milk"]],
);

const groceries = { params: { path: user }, body: { title: "Groceries" } };
const { data: list } = await errand.POST("/api/{user_id}/lists", groceries);
assert(list);
const inside = { title: "Milk", list_id: list.id };
const { data: parent } = await errand.POST("/api/{user_id}/tasks", { params: { path: user }, body: inside });
assert(parent);
const below = { title: "Which milk?", parent_id: parent.id };
const { data: subtask } = await errand.POST("/api/{user_id}/tasks", { params: { path: user }, body: below });
assert.equal(subtask?.list_id, list.id);
const listPath = { params: { path: { ...user, list_id: list.id } } };
const ofList = { params: { path: user, query: { list_id: list.id } } };
const removed = await errand.DELETE("/api/{user_id}/lists/{list_id}", listPath);
assert.equal(removed.response.status, 204);
assert.deepEqual((await errand.GET("/api/{user_id}/tasks", ofList)).data, []);
const back = await errand.POST("/api/{user_id}/lists/{list_id}/restore", listPath);
const restoredList: TaskList | undefined = back.data;
assert.equal(restoredList?.title, "Groceries");
assert.equal((await errand.GET("/api/{user_id}/tasks", ofList)).data?.length, 2);
const elsewhere = await errand.PATCH("/api/{user_id}/tasks/{task_id}", {
  params: { path: { ...user, task_id: subtask.id } },
  body: { list_id: null },
});
assert.deepEqual(elsewhere.error?.errors?.map(({ pointer }) => pointer), ["/parent_id"]);

const moved = await errand.POST("/api/{user_id}/tasks/{task_id}/move", {
  params: { path: { ...user, task_id: subtask.id } },
  body: { before: parent.id },
});
assert(moved.data && moved.data.position < parent.position);
const ordered = { params: { path: user, query: { list_id: list.id, sort: "position" } } } as const;
const inOrder = await errand.GET("/api/{user_id}/tasks", ordered);
assert.deepEqual(inOrder.data?.map(({ id }) => id), [subtask.id, parent.id]);

const weekly: TaskCreate = {
  title: "Water the plants",
  due_at: "2026-03-24T08:00:00Z",
  recurrence: "FREQ=WEEKLY",
  time_zone: "Europe/Berlin",
  reminders: [{ before: "PT30M" }, { at: "2026-03-23T19:00:00Z" }],
};
const { data: recurring } = await errand.POST("/api/{user_id}/tasks", { params: { path: user }, body: weekly });
assert(recurring);
const ofRecurring = { params: { path: { ...user, task_id: recurring.id } } };
await errand.PATCH("/api/{user_id}/tasks/{task_id}/complete", ofRecurring);
const ofSeries = { params: { path: user, query: { series_id: recurring.id, completed: false } } };
const successor = (await errand.GET("/api/{user_id}/tasks", ofSeries)).data?.[0];
assert.equal(successor?.due_at, "2026-03-31T07:00:00.000000Z");
const period = { from: "2026-03-24T08:00:00Z", until: "2026-04-01T00:00:00Z" };
const due = await errand.GET("/api/{user_id}/reminders", { params: { path: user, query: period } });
const reminders: DueReminder[] | undefined = due.data;
assert.deepEqual(
  reminders?.map(({ task_id, at }) => [task_id, at]),
  [[successor.id, "2026-03-30T18:00:00.000000Z"], [successor.id, "2026-03-31T06:30:00.000000Z"]],
);
const ofSuccessor = { params: { path: { ...user, task_id: successor.id } } };
const skipped = await errand.POST("/api/{user_id}/tasks/{task_id}/skip", ofSuccessor);
assert.equal(skipped.data?.due_at, "2026-04-07T07:00:00.000000Z");
const later = await errand.GET("/api/{user_id}/tasks/{task_id}/occurrences", ofSuccessor);
assert.equal(later.data?.[0]?.due_at, "2026-04-14T07:00:00.000000Z");

// @ts-expect-error: to toggle takes no title
const retitled: BatchOperation = { op: "toggle", id: task.id, title: "Buy bread" };
// @ts-expect-error: a problem has no such member
assert.equal(problem.message, undefined);
// @ts-expect-error: a task needs a title
const untitled: TaskCreate = { completed: true };
// @ts-expect-error: a client does not choose the revision
const numbered: TaskCreate = { title: "Buy milk", revision: 1 };
// @ts-expect-error: absent is not undefined
const undescribed: TaskUpdate = { description: undefined };

console.log("the task has lived");
