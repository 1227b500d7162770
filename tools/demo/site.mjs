// The demo page's server: a handful of static files with the headers a login page should have.

import { readdir, readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join } from "node:path";

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml",
  ".json": "application/json",
};

/**
 * @param {object} options
 * @param {number} options.port
 * @param {Record<string, string>} options.folders what to serve, by the path it is served below
 * @param {object} options.config the answer to `/config.json`
 * @param {string[]} options.connect the other origins that the pages may talk to
 */
export async function startSite({ port, folders, config, connect }) {
  const files = await readFolders(folders);
  files.set("/callback", files.get("/")); // the provider sends the browser back to here
  files.set("/config.json", { type: TYPES[".json"], body: JSON.stringify(config) });

  const headers = {
    "content-security-policy": contentSecurityPolicy(connect),
    "referrer-policy": "no-referrer", // the callback's URL carries a code; it goes to nobody
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
  };

  const server = createServer((request, response) => {
    const file = files.get(request.url.split("?")[0]);
    if (!file)
      return response.writeHead(404, { ...headers, "content-type": "text/plain" }).end("not found");
    if (!["GET", "HEAD"].includes(request.method))
      return response.writeHead(405, { ...headers, allow: "GET" }).end();
    return response.writeHead(200, { ...headers, "content-type": file.type }).end(file.body);
  });
  await new Promise((resolve, reject) =>
    server.once("error", reject).listen(port, "127.0.0.1", resolve),
  );

  return {
    origin: `http://127.0.0.1:${port}`,
    stop: () =>
      new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      }),
  };
}

/** Read once: a request can then name only what is there, whatever its path says. */
async function readFolders(folders) {
  const files = new Map();
  for (const [path, folder] of Object.entries(folders)) {
    for (const name of await readdir(folder)) {
      const file = { type: TYPES[extname(name)], body: await readFile(join(folder, name)) };
      files.set(path + name, file);
      if (name === "index.html") files.set(path, file);
    }
  }
  return files;
}

/** `'wasm-unsafe-eval'` lets WebAssembly compile and nothing else; no inline script or style is allowed. */
function contentSecurityPolicy(connect) {
  return [
    "default-src 'none'",
    "script-src 'self' 'wasm-unsafe-eval'",
    "style-src 'self'",
    "img-src 'self' data:",
    `connect-src 'self' ${connect.join(" ")}`,
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; ");
}
