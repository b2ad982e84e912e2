/** Two devices of one user, in a bad network: in the end each has what the server has. */

import assert from "node:assert/strict";
import { webcrypto } from "node:crypto";
import type { Task, TaskList } from "./contract.js";
import { OfflineTasks, empty } from "./offline.js";

globalThis.crypto ??= webcrypto as Crypto;

const ROUNDS = 8;
const TRIES = 1000;
const [, , network, server, user] = process.argv;
const api = `/api/${user}`;

async function lands(device: OfflineTasks): Promise<OfflineTasks> {
  for (let tries = 0; tries < TRIES; tries += 1) {
    try {
      await device.sync();
      return device;
    } catch {
      // The app ends, and begins again with what it has stored.
      const stored = JSON.parse(JSON.stringify(device.store));
      const refused = device.refused;
      device = new OfflineTasks(network + api, {}, stored);
      device.refused = refused;
    }
  }
  throw new Error("it never lands");
}

let phone = new OfflineTasks(network + api, {}, empty());
let laptop = new OfflineTasks(network + api, {}, empty());
for (let round = 0; round < ROUNDS; round += 1) {
  for (const device of [phone, laptop]) {
    const list = device === phone ? Object.values(device.store.lists)[0] : undefined;
    const parent = Object.values(device.store.tasks).find((task) => task.list_id === (list?.id ?? null));
    const place = { ...(list && { list_id: list.id }), ...(parent && { parent_id: parent.id }) };
    const daily = { due_on: "2026-01-31", recurrence: "FREQ=DAILY", reminders: [{ before: "PT1H" }] };
    const recurring = device === laptop ? daily : {};
    device.create({ title: `task ${round} of the ${device === phone ? "phone" : "laptop"}`, ...recurring, ...place });
    if (round % 3 === 0) device.createList({ title: `list ${round}` });
    if (list && round % 4 === 3) device.removeList(list);
    else if (list) device.changeList(list, { title: `${list.title}!` });
    const [first, second, third] = Object.values(device.store.tasks);
    if (first) device.change(first, { title: `${first.title}!` });
    if (second) device.toggle(second);
    if (third && round % 3 === 2) device.remove(third);
  }
  [phone, laptop] = [await lands(phone), await lands(laptop)];
}
[phone, laptop] = [await lands(phone), await lands(laptop)];

async function listed(place: string): Promise<Task[]> {
  const tasks: Task[] = [];
  for (let offset = 0, page = [null]; page.length; offset += page.length) {
    page = await (await fetch(`${server}${api}/${place}?limit=100&offset=${offset}`)).json();
    tasks.push(...page.flatMap((task) => task ?? []));
  }
  return tasks;
}

const lists: TaskList[] = await (await fetch(`${server}${api}/lists`)).json();
const expectedLists = Object.fromEntries(lists.map((list) => [list.id, list]));
assert.deepEqual(phone.store.lists, expectedLists);
assert.deepEqual(laptop.store.lists, expectedLists);

const tasks = await listed("tasks");
const expected = Object.fromEntries(tasks.map((task) => [task.id, task]));
assert.deepEqual(phone.store.tasks, expected);
assert.deepEqual(laptop.store.tasks, expected);

const [lost, damaged] = tasks.map(({ id }) => id);
assert(lost && damaged && laptop.store.tasks[damaged]);
delete phone.store.tasks[lost];
laptop.store.tasks[damaged].revision -= 1;
for (const device of [await lands(phone), await lands(laptop)]) {
  assert.deepEqual(device.store.tasks, expected, "a damaged copy was not noticed");
}

// The ids of successors, and of copies below them, are of version 5.
const made = [...tasks, ...(await listed("trash"))].filter(({ id }) => id[14] !== "5");
const created = made.map(({ title }) => title.replace(/!+$/, ""));
assert(tasks.some(({ series_id, id }) => series_id && series_id !== id), "nothing has recurred");
const refused = [...phone.refused, ...laptop.refused];
// The list or the parent of a new task may be gone.
const notCreated = refused.filter(({ write }) => write.method === "POST" && write.path === "/tasks");
assert.equal(created.length + notCreated.length, 2 * ROUNDS);
assert.equal(new Set(created).size, created.length);
for (const { problem } of refused) {
  assert([404, 412, 422].includes(problem.status), JSON.stringify(problem));
}

console.log("the copies are exact");
