// A server on 127.0.0.1 for browsers, by the name that counts as a secure context.

import { createServer } from "node:http";

/**
 * @param {(request: import("node:http").IncomingMessage, body: string, response: import("node:http").ServerResponse) => unknown} answer
 *   what stands in the body: a text, or else JSON
 */
export async function listen(answer) {
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    const answered = await answer(request, body, response);
    if (response.writableEnded) return;
    const isText = typeof answered === "string";
    if (!isText && !response.headersSent) response.setHeader("content-type", "application/json");
    response.end(isText ? answered : JSON.stringify(answered ?? {}));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  return { origin: `http://localhost:${server.address().port}`, close };
}
