// A bounded load on `gatepass serve`, all of it on this machine: the service, a provider that takes a
// millisecond for each introspection or none, and the load, each in a process of its own. Prints one line
// of JSON.
//
//   node benches/serve.mjs

import { fork, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const SECRET = "bench-secret";
const WARM_UP = 5000;

/** How many milliseconds of a processor a process has taken; nothing where that is not told. */
function cpuOf(pid) {
  try {
    const [, rest] = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ");
    const fields = rest.split(" ");
    return 10 * (Number(fields[11]) + Number(fields[12]));
  } catch {
    return NaN;
  }
}

/** All time of all processors so far, and what of it the host of a virtual machine took for others. */
function clock() {
  try {
    const [line] = readFileSync("/proc/stat", "utf8").split("\n");
    // user, nice, system, idle, iowait, irq, softirq, steal: the rest counts twice (proc_stat(5)).
    const ticks = line.trim().split(/ +/).slice(1, 9).map(Number);
    return { all: ticks.reduce((sum, one) => sum + one, 0), stolen: ticks[7] };
  } catch {
    return { all: NaN, stolen: NaN };
  }
}

/** A provider that knows every token that begins with "t", and takes so many milliseconds to say so. */
async function provide(ms) {
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (data) => (body += data));
    request.on("end", () => {
      if (!request.url.endsWith("/oauth/introspect")) return response.writeHead(404).end();
      const active = new URLSearchParams(body).get("token")?.startsWith("t") ?? false;
      const answer = active ? { active, sub: "user123", scope: "read write" } : { active };
      response.setHeader("content-type", "application/json");
      const end = () => response.end(JSON.stringify(answer));
      if (ms > 0) setTimeout(end, ms);
      else end();
    });
  });
  server.listen(0, "127.0.0.1", () => process.send(server.address().port));
  process.on("disconnect", () => process.exit());
}

async function serve(issuer, ...args) {
  const program = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
  const env = {
    PATH: process.env["PATH"],
    AUTH_SERVER_URL: issuer,
    OAUTH_CLIENT_SECRET: SECRET,
    GATEPASS_PORT: "0",
  };
  const child = spawn(process.execPath, [program, "serve", "--metrics", ...args], { env });
  const begun = performance.now();
  const origin = await new Promise((resolve) => {
    createInterface({ input: child.stdout }).on("line", (line) => {
      const [, found] = /Listening on (http:[^"]+)/.exec(line) ?? [];
      if (found) resolve(found);
    });
  });
  const startMs = performance.now() - begun;
  const metric = async (name) => {
    const text = await (await fetch(`${origin}/metrics`)).text();
    const line = text.split("\n").find((one) => one.startsWith(`${name} `));
    return Number(line?.slice(name.length));
  };
  const stop = async () => {
    child.kill("SIGTERM");
    await once(child, "close");
  };
  return { origin, pid: child.pid, startMs, metric, stop };
}

async function main() {
  const { default: autocannon } = await import("autocannon");
  const providers = [];
  const startProvider = async (ms) => {
    const provider = fork(fileURLToPath(import.meta.url), ["provider", String(ms)]);
    providers.push(provider);
    const [port] = await once(provider, "message");
    return `http://127.0.0.1:${port}`;
  };
  const issuer = await startProvider(1);

  /** `tokens` is how many different ones are shown, in turn. */
  const load = async ({ origin, pid }, { connections, amount, tokens }) => {
    let turn = 0;
    const body = () =>
      JSON.stringify({
        context: { method: "GET", uri: "/api/users", headers: {} },
        credentials: { type: "bearer", token: `t${turn++ % tokens}` },
      });
    const headers = { "content-type": "application/json" };
    let wrong = 0;
    const instance = autocannon({
      url: `${origin}/plugin/authenticate`,
      connections,
      amount,
      requests: [
        {
          method: "POST",
          headers,
          // What is always the same is written once: the load shares this machine with the service.
          ...(tokens === 1
            ? { body: body() }
            : { setupRequest: (request) => ({ ...request, body: body() }) }),
          onResponse: (status, text) => {
            if (status !== 200 || !text.includes('"authenticated":true')) wrong++;
          },
        },
      ],
    });
    // Its own histogram counts whole milliseconds.
    const times = [];
    const read = () => ({ at: performance.now(), cpuMs: cpuOf(pid), ...clock() });
    const before = read();
    // It goes on to the end of its current second: the last response is where the load ended.
    let after;
    instance.on("response", (_client, _status, _bytes, ms) => {
      if (times.push(ms) === amount) after = read();
    });
    const { errors, non2xx, requests } = await instance;
    after ??= read();
    times.sort((a, b) => a - b);
    const at = (part) => times[Math.min(times.length - 1, Math.floor(part * times.length))];
    return {
      requests: requests.total,
      errors: errors + non2xx + wrong,
      perSecond: Math.round((1000 * requests.total) / (after.at - before.at)),
      // What one core could do that the service has for itself: others take turns on this machine.
      perCore: Math.round((1000 * requests.total) / (after.cpuMs - before.cpuMs)),
      // How much of this machine was not there.
      stolen: (after.stolen - before.stolen) / (after.all - before.all),
      ms: { p50: at(0.5), p95: at(0.95), p99: at(0.99) },
    };
  };

  const results = {};
  try {
    const cached = await serve(issuer, "--log-level", "error");
    results.startMs = Math.round(cached.startMs);
    // What a new process compiles on its way is no part of what it does for the rest of its life: so many
    // requests come before, and are counted nowhere.
    results.warmUp = WARM_UP;
    await load(cached, { connections: 10, amount: WARM_UP, tokens: 1 });
    results.seed = await load(cached, { connections: 100, amount: 1000, tokens: 1 });
    results.cached = await load(cached, { connections: 10, amount: 20_000, tokens: 1 });
    await load(cached, { connections: 10, amount: 10_000, tokens: 10_000 });
    results.memoryMb = (await cached.metric("process_resident_memory_bytes")) / 1e6;
    await cached.stop();

    const logging = await serve(issuer);
    await load(logging, { connections: 10, amount: WARM_UP, tokens: 1 });
    results.cachedLogged = await load(logging, {
      ...{ connections: 10, amount: 20_000, tokens: 1 },
    });
    await logging.stop();

    const ask = async (where) => {
      const asking = await serve(where, "--log-level", "error", "--cache-ttl", "0");
      await load(asking, { connections: 10, amount: 1000, tokens: 1e9 });
      const before = await spent(asking);
      const loaded = await load(asking, { connections: 10, amount: 3000, tokens: 1e9 });
      const after = await spent(asking);
      await asking.stop();
      const ownShareMs = (1000 * (after.own - before.own)) / (after.count - before.count);
      return [loaded, ownShareMs];
    };
    [results.uncached, results.ownShareMs] = await ask(issuer);
    const atOnce = await startProvider(0);
    [results.uncachedAtOnce, results.ownShareAtOnceMs] = await ask(atOnce);
  } finally {
    for (const provider of providers) provider.kill();
  }
  console.log(JSON.stringify(results));
}

/** How much of all decisions was not the provider's time. */
async function spent({ metric }) {
  const provider = 'gatepass_provider_request_duration_seconds_sum{purpose="introspection"}';
  const all = await metric("gatepass_decision_duration_seconds_sum");
  return {
    own: all - (await metric(provider)),
    count: await metric("gatepass_decision_duration_seconds_count"),
  };
}

await (process.argv[2] === "provider" ? provide(Number(process.argv[3])) : main());
