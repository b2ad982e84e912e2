// Hands requests to the page's `route.ts`, as Next.js would, with its `auth.ts` in a new database.
import { webcrypto } from "node:crypto";
import { createServer } from "node:http";
import { getMigrations } from "better-auth/db/migration";
import { toNodeHandler } from "better-auth/node";

// Node 18 hides it.
globalThis.crypto ??= webcrypto;

const server = createServer();
await new Promise((listens) => server.listen(0, "127.0.0.1", listens));
process.env.BETTER_AUTH_URL = `http://127.0.0.1:${server.address().port}`;

const { auth } = await import("./auth.js");
const { runMigrations } = await getMigrations(auth.options);
await runMigrations();

const methods = await import("./route.js");
const handle = toNodeHandler((request) => methods[request.method](request));
server.on("request", (request, response) => {
  if (request.url.startsWith("/api/auth/")) {
    handle(request, response);
  } else {
    response.setHeader("Content-Type", "text/html").end("<!doctype html><title>A page</title>");
  }
});
console.log(process.env.BETTER_AUTH_URL);
