// The README's commands and settings for the service, as they stand there.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { makeFolder } from "../support/folder.mjs";
import { freePort } from "../support/port.mjs";
import { authenticate, installProgram, listen, startProvider } from "../support/program.mjs";

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

/** Variables and arguments of a shell block, with the addresses and the secret of the test's machine. */
function read(name, origins) {
  let text = block(name).replaceAll("\\\n", " ").replaceAll("/run/secrets", gatepass.project);
  for (const [there, here] of Object.entries(origins)) text = text.replaceAll(there, here);
  const env = {};
  for (const [, key, value] of text.matchAll(/^export (\w+)="([^"]*)"/gm)) env[key] = value;
  const [, command] = /^npx gatepass (.*)$/m.exec(text);
  return { env, args: command.split(/\s+/) };
}

/** Starts the service of a block on a free port. */
function start(t, name, origins) {
  const { env, args } = read(name, origins);
  assert.equal(args.shift(), "serve");
  return gatepass.serve(t, args, { env });
}

test("the block serve answers as it stands there", async (t) => {
  const provider = await startProvider(t, { api: "my-api:s3cret" });
  const { origin } = await start(t, "serve", { "https://login.example.com": provider.issuer });
  const ask = (token) => authenticate(origin, token);
  assert.equal(await ask(provider.opaqueToken({ aud: "https://api.example.com" })), true);
  assert.equal(await ask(provider.opaqueToken({ aud: "https://other.example.com" })), false);
  assert.equal((await fetch(`${origin}/metrics`)).status, 200);
});

test("the block proxy protects an MCP server as it stands there", async (t) => {
  const resource = "https://mcp.example.com/mcp";
  const provider = await startProvider(t, { audience: resource });
  const seen = [];
  const mcp = await listen(t, async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    seen.push([request.method, request.url, body]);
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ jsonrpc: "2.0", id: 1, result: { tools: [] } }));
  });
  const { origin } = await start(t, "proxy", {
    "https://login.example.com": provider.issuer,
    "http://127.0.0.1:9000": mcp.origin,
  });
  const call = '{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}';
  const post = (headers) =>
    fetch(`${origin}/mcp`, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: call,
    });
  const refused = await post({});
  assert.equal(refused.status, 401);
  assert.match(refused.headers.get("www-authenticate"), /^Bearer resource_metadata="https:/);
  assert.deepEqual(seen, []);
  const allowed = await post({ authorization: `Bearer ${await provider.accessToken()}` });
  assert.equal(allowed.status, 200);
  assert.deepEqual((await allowed.json()).result, { tools: [] });
  assert.deepEqual(seen, [["POST", "/mcp", call]]);
});

/**
 * A shell in which npx runs the installed command, and a browser says yes.
 *
 * @param origins what stands where the block has another address
 * @param more variables of the test's machine
 */
function makeShell(origins, more = {}) {
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
    const stored = { ...env, MLTF_STORE: "file", FMCP_OAUTH_STORE: "file", ...more };
    const child = spawn("sh", ["-e"], { cwd: home, env: stored });
    let output = "";
    // What follows a program in the background is typed when that has started, and ends it.
    let [now, later] = text.split(/(?<= &\n)/);
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (data) => {
        listener((output += data));
        if (later === undefined || !/Listening on|^Error/m.test(output)) return;
        child.stdin.end(`${later}\nkill $!\n`);
        later = undefined;
      });
    }
    if (later === undefined) child.stdin.end(now);
    else child.stdin.write(now);
    return once(child, "close").then(([code]) => ({ code, output, home }));
  };
}

test("the blocks of four of the five jobs do them as they stand there", async (t) => {
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
  const port = await freePort();
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

test("S4-21 S4-14 the block of the fifth job, the plugin, does it as it stands there", async (t) => {
  if (spawnSync("curl", ["--version"]).error) return t.skip("curl is not installed");
  const provider = await startProvider(t, { api: "your-client-id:your-client-secret" });
  const good = provider.opaqueToken({ aud: undefined });
  for (const [token, expected] of [
    [good, { authenticated: true, user_id: "alice" }],
    ["your-access-token", { authenticated: false, user_id: null, error: "token_inactive" }],
  ]) {
    const port = await freePort();
    const origins = {
      "https://your-auth-server.com": provider.issuer,
      ":8080": `:${port}`,
      "your-access-token": token,
    };
    const { code, output } = await makeShell(origins, { PORT: String(port) })("job-plugin");
    assert.equal(code, 0, output);
    const [answer] = /^\{"authenticated".*$/m.exec(output) ?? [];
    assert.ok(answer, output);
    const { authenticated, user_id, error } = JSON.parse(answer);
    assert.deepEqual(JSON.parse(JSON.stringify({ authenticated, user_id, error })), expected);
    // Neither the log nor anything else tells the token.
    assert.ok(!output.includes(token));
  }
  assert.equal(provider.count("/introspect"), 2);
});

test("the block routes is a good configuration", async () => {
  const config = join(gatepass.project, "routes.json");
  writeFileSync(config, block("routes").replaceAll("/run/secrets", gatepass.project));
  const { code, stderr } = await gatepass.run(["serve", "--config-test", "--config", config]);
  assert.equal(code, 0, stderr);
});
