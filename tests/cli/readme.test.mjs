// The README's commands and settings for the service, as they stand there.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { makeFolder } from "../support/folder.mjs";
import { installProgram, listen } from "../support/program.mjs";

const README = readFileSync(fileURLToPath(new URL("../../README.md", import.meta.url)), "utf8");

/** The block under `<!-- test: cli-name -->`. */
function block(name) {
  const [, text] =
    new RegExp(`<!-- test: cli-${name} -->\n\n\`\`\`\\w+\n([^]*?)\`\`\``).exec(README) ?? [];
  assert.ok(text, `README has no block ${name}`);
  return text;
}

let gatepass;
before(() => {
  gatepass = installProgram("cli-readme");
  writeFileSync(join(gatepass.project, "oauth"), "s3cret\n");
});

/** Variables and arguments of a shell block, with the secret of the test's machine. */
function read(name) {
  const text = block(name).replaceAll("\\\n", " ").replaceAll("/run/secrets", gatepass.project);
  const env = {};
  for (const [, key, value] of text.matchAll(/^export (\w+)="([^"]*)"/gm)) env[key] = value;
  const [, command] = /^npx gatepass (.*)$/m.exec(text);
  return { env, args: command.split(/\s+/) };
}

for (const name of ["serve", "proxy"]) {
  test(`the block ${name} starts as it stands there`, async (t) => {
    const { env, args } = read(name);
    assert.equal(args.shift(), "serve");
    const { origin } = await gatepass.serve(t, args, { env });
    assert.equal((await fetch(`${origin}/health`)).status, 200);
  });
}

/** A shell in which npx runs the installed command, and a browser says yes. */
function makeShell(origins) {
  const home = makeFolder("readme");
  const script = (name, text) =>
    writeFileSync(join(home, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  script("npx", `shift; exec "${process.execPath}" "${gatepass.program}" "$@"`);
  const visit = "fetch(process.argv[1]).catch(() => {})";
  script("xdg-open", `exec "${process.execPath}" -e '${visit}' "$1"`);
  writeFileSync(join(home, "oauth"), "s3cret-of-the-readme\n");
  const PATH = `${home}:${process.env["PATH"]}`;
  return (name, listener = () => {}) => {
    let text = block(name).replaceAll("/run/secrets", home);
    for (const [there, here] of Object.entries(origins)) text = text.replaceAll(there, here);
    const env = { PATH, HOME: home, BROWSER: "test", NO_COLOR: "1", GATEPASS_STORE: "file" };
    const stored = { ...env, MLTF_STORE: "file", FMCP_OAUTH_STORE: "file" };
    const child = spawn("sh", ["-e"], { cwd: home, env: stored });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (data) => listener((output += data)));
    }
    child.stdin.end(text);
    return once(child, "close").then(([code]) => ({ code, output, home }));
  };
}

test("the blocks of the five jobs do them as they stand there", async (t) => {
  const { simulate } = await import(
    join(gatepass.project, "node_modules/gatepass/dist/cli/simulator.js")
  );
  const simulator = await simulate({ id: "my-job", secret: "s3cret-of-the-readme" });
  t.after(() => simulator.close());
  const asked = [];
  const api = await listen(t, async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    asked.push([request.method, request.url, request.headers.authorization?.split(".").length]);
    response.end(body === "" ? "reports" : JSON.stringify({ jsonrpc: "2.0", id: 1, result: {} }));
  });
  const loopback = await listen(t, () => {});
  const { port } = new URL(loopback.origin);
  loopback.server.close();
  const run = makeShell({
    "https://login.example.com": simulator.issuer,
    "dns:///login.example.com:443": simulator.issuer,
    "https://api.example.com/": `${api.origin}/`,
    ":8088": `:${port}`,
  });

  const device = await run("job-device", (output) => {
    const [, code] = /^and type (\S+)\n/m.exec(output) ?? [];
    if (code) simulator.approve(code);
  });
  assert.equal(device.code, 0, device.output);
  assert.match(device.output, /^eyJ[\w.-]+$/m);
  assert.match(device.output, /Logged out/);

  const program = await run("job-program");
  assert.equal(program.code, 0, program.output);
  assert.match(program.output, /^reports/);
  assert.match(program.output, /"store":"file"/);
  assert.ok(!program.output.includes("s3cret-of-the-readme"));

  const gateway = await run("job-browser");
  assert.equal(gateway.code, 0, gateway.output);
  assert.match(gateway.output, /"result":\{\}/);
  assert.ok(!existsSync(join(gateway.home, ".fluidmcp/oauth/tokens.json")));

  const endpoint = await run("job-endpoint");
  assert.equal(endpoint.code, 0, endpoint.output);
  assert.match(endpoint.output, /^eyJ[\w.-]+\n$/);
  assert.deepEqual(asked, [
    ["GET", "/reports", 3],
    ["POST", "/mypackage/mcp", 3],
  ]);
});

test("the block routes is a good configuration", async () => {
  const config = join(gatepass.project, "routes.json");
  writeFileSync(config, block("routes").replaceAll("/run/secrets", gatepass.project));
  const { code, stderr } = await gatepass.run(["serve", "--config-test", "--config", config]);
  assert.equal(code, 0, stderr);
});
