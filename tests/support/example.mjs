// The examples as users run them: copied beside the packed package, and what they need beside it.

import { spawn } from "node:child_process";
import { cpSync, mkdirSync, symlinkSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { installPackage } from "./installed.mjs";
import { makeProvider } from "./provider.mjs";

const root = fileURLToPath(new URL("../../", import.meta.url));

/**
 * @param {string} name of the folder under examples/
 * @param {readonly string[]} packages that it needs
 * @returns {string} its project
 */
export function installExample(name, packages) {
  const { project } = installPackage(`example-${name}`);
  cpSync(join(root, "examples", name), project, { recursive: true });
  for (const each of packages) {
    const link = join(project, "node_modules", each);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(join(root, "node_modules", each), link);
  }
  return project;
}

/** A provider that listens on this machine. */
export async function listeningProvider(t, options = {}) {
  let provider;
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    const url = `${provider.issuer}${request.url}`;
    const answer = await provider.fetch(url, {
      method: request.method,
      headers: request.headers,
      body,
    });
    response.writeHead(answer.status, { "content-type": "application/json" });
    response.end(await answer.text());
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  provider = await makeProvider({
    issuer: `http://127.0.0.1:${server.address().port}`,
    ...options,
  });
  return provider;
}

/** Starts a program that prints where it listens. */
export async function startExample(t, program, args, { cwd, provider }) {
  const child = spawn(program, args, {
    cwd,
    env: {
      ...process.env,
      ISSUER: provider.issuer,
      AUDIENCE: provider.audience,
      DANGEROUSLY_ALLOW_HTTP_LOOPBACK: "true",
      PORT: "0",
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  t.after(() => child.kill());
  let output = "";
  child.stderr.on("data", (chunk) => (output += chunk));
  return new Promise((resolve, reject) => {
    child.stdout.on("data", (chunk) => {
      output += chunk;
      const [url] = /http:\/\/127\.0\.0\.1:\d+/.exec(output) ?? [];
      if (url) resolve(url);
    });
    child.on("close", () => reject(new Error(`${args.join(" ")} ended: ${output}`)));
  });
}
