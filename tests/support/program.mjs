// Runs the installed gatepass as a program, and the simulated provider as a server on 127.0.0.1.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { installPackage } from "./installed.mjs";
import { makeProvider } from "./provider.mjs";

/** Nothing of the machine's own settings reaches the program. */
const CLEAN = { PATH: process.env["PATH"], HOME: "/nonexistent", NO_COLOR: "1" };

/** @param {string} name of the test's own project */
export function installProgram(name) {
  const { project } = installPackage(name);
  const installed = join(project, "node_modules/gatepass/dist/cli/main.js");

  const launch = (args, { env = {}, cwd = project, program = installed } = {}) =>
    spawn(process.execPath, [program, ...args], { cwd, env: { ...CLEAN, ...env } });

  /** Runs it to its end. */
  async function run(args, options = {}) {
    const child = launch(args, options);
    let [stdout, stderr] = ["", ""];
    child.stdout.on("data", (data) => (stdout += data));
    child.stderr.on("data", (data) => (stderr += data));
    child.stdin.end(options.input ?? "");
    const [code] = await once(child, "close");
    return { code, stdout, stderr };
  }

  /** Starts `serve` on a free port; the test's end ends it. */
  async function serve(t, args, options = {}) {
    const child = launch(["serve", "--port", "0", ...args], options);
    const lines = [];
    let stderr = "";
    child.stderr.on("data", (data) => (stderr += data));
    const exited = once(child, "close").then(([code]) => code);
    t.after(() => child.kill("SIGKILL"));
    const origin = await new Promise((resolve, reject) => {
      createInterface({ input: child.stdout }).on("line", (line) => {
        lines.push(line);
        const [, address] = /Listening on (http:[^"]+)/.exec(line) ?? [];
        if (address) resolve(address);
      });
      exited.then((code) => reject(new Error(`serve ended with ${code}: ${stderr}`)));
    });
    /** Waits for a line of the log. */
    const logged = async (pattern) => {
      for (;;) {
        const line = lines.find((one) => pattern.test(one));
        if (line !== undefined) return JSON.parse(line);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    };
    return { child, origin, lines, logged, exited, output: () => lines.join("\n") + stderr };
  }

  /** Starts a command that waits for somebody; the test's end ends it. */
  function start(t, args, options = {}) {
    const child = launch(args, options);
    const out = { stdout: "", stderr: "" };
    let look = () => {};
    for (const name of ["stdout", "stderr"]) {
      child[name].on("data", (data) => {
        out[name] += data;
        look();
      });
    }
    let hasEnded = false;
    const exited = once(child, "close").then(([code]) => {
      hasEnded = true;
      look();
      return { code, ...out };
    });
    t.after(() => child.kill("SIGKILL"));
    /** Waits until what was printed fits. */
    const said = (pattern, name = "stderr") =>
      new Promise((resolve, reject) => {
        look = () => {
          const found = pattern.exec(out[name]);
          if (found) resolve(found);
          else if (hasEnded) reject(new Error(`it ended: ${out.stdout}${out.stderr}`));
        };
        look();
      });
    return { child, said, exited };
  }
  return { project, program: installed, run, serve, start };
}

/** The verdict of `serve` on a token, by the plugin's question. */
export async function authenticate(origin, token) {
  const answer = await fetch(`${origin}/plugin/authenticate`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      context: { method: "GET", uri: "/api/users", headers: {} },
      credentials: { type: "bearer", token },
    }),
  });
  return (await answer.json()).authenticated;
}

/** A server on a free port of 127.0.0.1 that ends with the test. */
export async function listen(t, handler) {
  const server = createServer(handler);
  const connections = new Set();
  server.on("connection", (socket) => connections.add(socket));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { server, connections, origin: `http://127.0.0.1:${server.address().port}` };
}

/** The simulated provider over HTTP; `options` are those of makeProvider, and `before(url)`. */
export async function startProvider(t, options = {}) {
  let provider;
  const { server, connections, origin } = await listen(t, async (request, response) => {
    const body = [];
    for await (const chunk of request) body.push(chunk);
    const url = origin + request.url;
    await options.before?.(url);
    const answered = await provider.fetch(url, {
      method: request.method,
      headers: request.headers,
      body: Buffer.concat(body).toString(),
    });
    const headers = Object.fromEntries(answered.headers);
    response.writeHead(answered.status, headers).end(Buffer.from(await answered.arrayBuffer()));
  });
  provider = await makeProvider({ issuer: origin, ...options });
  return { ...provider, server, connections };
}
