/** Two devices of one user, in a bad network: in the end each has what the server has. */

import assert from "node:assert/strict";
import { webcrypto } from "node:crypto";
import type { Task } from "./contract.js";
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
    device.create({ title: `task ${round} of the ${device === phone ? "phone" : "laptop"}` });
    const [first, second, third] = Object.values(device.store.tasks);
    if (first) device.change(first, { title: `${first.title}!` });
    if (second) device.toggle(second);
    if (third && round % 3 === 2) device.remove(third);
  }
  [phone, laptop] = [await lands(phone), await lands(laptop)];
}
[phone, laptop] = [await lands(phone), await lands(laptop)];

async function listed(place: string): Promise<Task[]> {
  return (await fetch(`${server}${api}/${place}?limit=100`)).json();
}

const tasks = await listed("tasks");
const expected = Object.fromEntries(tasks.map((task) => [task.id, task]));
assert.deepEqual(phone.store.tasks, expected);
assert.deepEqual(laptop.store.tasks, expected);

delete phone.store.tasks[tasks[0].id];
laptop.store.tasks[tasks[1].id].revision -= 1;
for (const device of [await lands(phone), await lands(laptop)]) {
  assert.deepEqual(device.store.tasks, expected, "a damaged copy was not noticed");
}

const created = [...tasks, ...(await listed("trash"))].map(({ title }) => title.replace(/!+$/, ""));
assert.equal(created.length, 2 * ROUNDS);
assert.equal(new Set(created).size, 2 * ROUNDS);
for (const { problem } of [...phone.refused, ...laptop.refused]) {
  assert([404, 412].includes(problem.status), JSON.stringify(problem));
}

console.log("the copies are exact");
