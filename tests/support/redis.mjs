// A real Redis server on a port of its own, where one is installed.

import { spawn } from "node:child_process";
import { once } from "node:events";

import { lacks } from "./needed.mjs";
import { freePort } from "./port.mjs";

/** Why there is none; `false` where there is one. */
export const lacksRedis = () => lacks("redis-server", "redis-cli");

/** Starts it with nothing on disk. */
export async function startRedis() {
  const port = await freePort();
  const server = spawn(
    "redis-server",
    ["--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"].map(String),
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  let log = "";
  for await (const chunk of server.stdout) {
    log += chunk;
    if (/ready to accept connections/i.test(log)) break;
  }
  return {
    port,
    signal: (name) => void server.kill(name),
    async stop() {
      server.kill();
      if (server.exitCode === null) await once(server, "exit");
    },
  };
}
