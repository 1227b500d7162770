// What stands behind the service in tests, and clients that send it bytes as they are.

import { connect, createServer } from "node:net";

import { listen } from "./program.mjs";

/** A server that tells what came to it, read as strictly as HTTP/1.1 is written. */
export async function startTeller(t) {
  const seen = [];
  const { origin } = await listen(t, async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const { method, url, headers } = request;
    seen.push({ method, url, headers, body: Buffer.concat(chunks).toString() });
    response.setHeader("content-length", 4).end("told");
  });
  return { origin, seen };
}

/** A server of bytes on a free port of 127.0.0.1 that ends with the test, and what is connected to it. */
export async function listenRaw(t, onConnection) {
  const held = new Set();
  const server = createServer((socket) => {
    held.add(socket);
    socket.on("error", () => {});
    socket.once("close", () => held.delete(socket));
    onConnection(socket);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.close();
    for (const socket of held) socket.destroy();
  });
  return { origin: `http://127.0.0.1:${server.address().port}`, held };
}

/** Sends bytes as they are, one piece after each answer; what comes back until nothing does. */
export const sendRaw = (origin, ...pieces) =>
  new Promise((resolve) => {
    const { port } = new URL(origin);
    const next = () => {
      const piece = pieces.shift();
      if (piece !== undefined) socket.write(piece, "latin1");
    };
    let received = "";
    const socket = connect(Number(port), "127.0.0.1", next);
    socket.setTimeout(10_000, () => socket.destroy());
    socket.on("data", (data) => {
      // Whatever else there is comes at once.
      socket.setTimeout(200);
      received += data.toString("latin1");
      // Each answer here has a body of four bytes, and is there at once.
      if (received.endsWith("told")) next();
    });
    // Who refuses may hang up on what is still to come.
    socket.on("error", () => {});
    socket.once("close", () => resolve(received));
  });

/** The statuses of the answers in what came back. */
export const statuses = (received) =>
  [...received.matchAll(/HTTP\/1\.1 (\d{3}) /gu)].map(([, it]) => it);
