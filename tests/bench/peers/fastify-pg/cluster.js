// So many processes of app.js on one port, to which the primary hands out connections in turn.

import cluster from "node:cluster";
import { fileURLToPath } from "node:url";

const [processes, port] = process.argv.slice(2);

cluster.setupPrimary({ exec: fileURLToPath(new URL("app.js", import.meta.url)), args: [port] });
for (let started = 0; started < Number(processes); started += 1) {
  cluster.fork();
}
