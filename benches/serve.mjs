// A bounded load on `gatepass serve`, all of it on this machine: the service, a provider that takes a
// millisecond for each introspection, and the load, each in a process of its own. Prints one line of
// JSON.
//
//   node benches/serve.mjs

import { fork, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const SECRET = "bench-secret";
const PROVIDER_MS = 1;

/** A provider that knows every token that begins with "t". */
async function provide() {
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (data) => (body += data));
    request.on("end", () => {
      if (!request.url.endsWith("/oauth/introspect")) return response.writeHead(404).end();
      const active = new URLSearchParams(body).get("token")?.startsWith("t") ?? false;
      const answer = active ? { active, sub: "user123", scope: "read write" } : { active };
      response.setHeader("content-type", "application/json");
      setTimeout(() => response.end(JSON.stringify(answer)), PROVIDER_MS);
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
  return { origin, startMs, metric, stop };
}

async function main() {
  const { default: autocannon } = await import("autocannon");
  const provider = fork(fileURLToPath(import.meta.url), ["provider"]);
  const [port] = await once(provider, "message");
  const issuer = `http://127.0.0.1:${port}`;

  /** `tokens` is how many different ones are shown, in turn. */
  const load = async (origin, { connections, amount, tokens }) => {
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
          setupRequest: (request) => ({ ...request, body: body() }),
          onResponse: (status, text) => {
            if (status !== 200 || !text.includes('"authenticated":true')) wrong++;
          },
        },
      ],
    });
    const { latency, errors, non2xx, duration, requests } = await instance;
    return {
      requests: requests.total,
      errors: errors + non2xx + wrong,
      perSecond: Math.round(requests.total / duration),
      ms: { p50: latency.p50, p97_5: latency.p97_5, p99: latency.p99 },
    };
  };

  const results = {};
  try {
    const cached = await serve(issuer, "--log-level", "error");
    results.startMs = Math.round(cached.startMs);
    results.seed = await load(cached.origin, {
      connections: 100,
      amount: 1000,
      tokens: 1,
    });
    // The first run after the start is compiled on the way; the second is what a service does.
    await load(cached.origin, { connections: 10, amount: 5000, tokens: 1 });
    results.cached = await load(cached.origin, {
      connections: 10,
      amount: 20_000,
      tokens: 1,
    });
    await load(cached.origin, {
      connections: 10,
      amount: 10_000,
      tokens: 10_000,
    });
    results.memoryMb = (await cached.metric("process_resident_memory_bytes")) / 1e6;
    await cached.stop();

    const logging = await serve(issuer);
    await load(logging.origin, { connections: 10, amount: 5000, tokens: 1 });
    results.cachedLogged = await load(logging.origin, {
      ...{ connections: 10, amount: 20_000, tokens: 1 },
    });
    await logging.stop();

    const asking = await serve(issuer, "--log-level", "error", "--cache-ttl", "0");
    await load(asking.origin, { connections: 10, amount: 1000, tokens: 1e9 });
    const before = await spent(asking);
    results.uncached = await load(asking.origin, {
      connections: 10,
      amount: 3000,
      tokens: 1e9,
    });
    const after = await spent(asking);
    results.ownShareMs = (1000 * (after.own - before.own)) / (after.count - before.count);
    await asking.stop();
  } finally {
    provider.kill();
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

await (process.argv[2] === "provider" ? provide() : main());
