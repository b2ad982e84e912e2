// The task API in Fastify, its schemas compiled, with pg and named (prepared) queries.

import Fastify from "fastify";
import pg from "pg";

const COLUMNS = "id, user_id, title, description, completed, created_at, updated_at";
const LIST = `
  SELECT ${COLUMNS} FROM tasks
   WHERE user_id = $1 AND ($2::boolean IS NULL OR completed = $2)
   ORDER BY created_at DESC, id DESC LIMIT $3 OFFSET $4`;
const GET = `SELECT ${COLUMNS} FROM tasks WHERE user_id = $1 AND id = $2`;
const CREATE = `
  INSERT INTO tasks (user_id, title, description, completed)
  VALUES ($1, $2, $3, $4) RETURNING ${COLUMNS}`;
const TOGGLE = `
  UPDATE tasks SET completed = NOT completed, updated_at = now()
   WHERE user_id = $1 AND id = $2 RETURNING ${COLUMNS}`;

const id = { type: "string", format: "uuid" };
const moment = { type: "string", format: "date-time" };
const title = { type: "string", minLength: 1, maxLength: 255 };
const description = { type: "string", nullable: true, maxLength: 2000 };

const task = {
  type: "object",
  properties: {
    id,
    user_id: id,
    title,
    description,
    completed: { type: "boolean" },
    created_at: moment,
    updated_at: moment,
  },
};
const taskCreate = {
  type: "object",
  required: ["title"],
  additionalProperties: false,
  properties: { title, description, completed: { type: "boolean", default: false } },
};
const page = {
  type: "object",
  properties: {
    offset: { type: "integer", minimum: 0, default: 0 },
    limit: { type: "integer", minimum: 1, maximum: 100, default: 50 },
    completed: { type: "boolean" },
  },
};
const ofUser = { type: "object", properties: { user_id: id } };
const ofTask = { type: "object", properties: { user_id: id, task_id: id } };

// Where the database is, every driver reads in the environment: PGHOST, PGDATABASE and so on.
const pool = new pg.Pool({ max: 8 });
const app = Fastify({ logger: false });

async function rows(name, text, values) {
  return (await pool.query({ name, text, values })).rows;
}

async function only(reply, found) {
  return found.length ? found[0] : reply.code(404).send({ detail: "This user has no such task" });
}

app.get(
  "/api/:user_id/tasks",
  { schema: { params: ofUser, querystring: page, response: { 200: { type: "array", items: task } } } },
  async ({ params, query }) =>
    rows("list", LIST, [params.user_id, query.completed ?? null, query.limit, query.offset]),
);

app.post(
  "/api/:user_id/tasks",
  { schema: { params: ofUser, body: taskCreate, response: { 201: task } } },
  async ({ params, body }, reply) => {
    reply.code(201);
    const values = [params.user_id, body.title, body.description ?? null, body.completed];
    return (await rows("create", CREATE, values))[0];
  },
);

app.get(
  "/api/:user_id/tasks/:task_id",
  { schema: { params: ofTask, response: { 200: task } } },
  async ({ params }, reply) =>
    only(reply, await rows("get", GET, [params.user_id, params.task_id])),
);

app.patch(
  "/api/:user_id/tasks/:task_id/complete",
  { schema: { params: ofTask, response: { 200: task } } },
  async ({ params }, reply) =>
    only(reply, await rows("toggle", TOGGLE, [params.user_id, params.task_id])),
);

await app.listen({ host: "127.0.0.1", port: Number(process.argv[2]) });
