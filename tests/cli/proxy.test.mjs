// The service in front of a server: what gets through, and that it gets through unchanged.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer as createHttpServer, request as httpRequest } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { before, test } from "node:test";
import { pathToFileURL } from "node:url";

import { makeCertificate } from "../support/certificate.mjs";
import { installProgram, listen, startProvider } from "../support/program.mjs";
import { until } from "../support/until.mjs";
import { listenRaw, sendRaw, startTeller, statuses } from "../support/upstream.mjs";

let gatepass;
before(() => {
  gatepass = installProgram("cli-proxy");
});

const RESOURCE = "https://mcp.example/mypackage/mcp";

/** An MCP server over JSON-RPC that tells what it was sent. */
async function startMcp(t) {
  const seen = [];
  const server = await listen(t, async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    seen.push({
      method: request.method,
      url: request.url,
      headers: request.headers,
      body,
    });
    if (request.url === "/echo") return response.end(body);
    if (request.url === "/missing") return response.writeHead(404, "Nothing Here").end("no");
    const { id } = JSON.parse(body);
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ jsonrpc: "2.0", id, result: { tools: [] } }));
  });
  return { ...server, seen };
}

async function guarded(t, upstream, args = []) {
  const provider = await startProvider(t, { audience: RESOURCE });
  const service = await gatepass.serve(t, [
    ...["--issuer", provider.issuer, "--resource", RESOURCE, "--upstream", upstream],
    ...args,
  ]);
  return {
    provider,
    ...service,
    authorization: `Bearer ${await provider.accessToken()}`,
  };
}

const CALL = '{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}';

test("S2-16 S2-19 an MCP server is protected by one flag, its requests untouched", async (t) => {
  const mcp = await startMcp(t);
  const { origin, authorization, provider } = await guarded(t, mcp.origin);
  const call = (headers) =>
    fetch(`${origin}/mypackage/mcp`, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: CALL,
    });
  const refused = await call({});
  assert.equal(refused.status, 401);
  const challenge = refused.headers.get("www-authenticate");
  const [, metadata] = /^Bearer resource_metadata="([^"]+)"$/.exec(challenge) ?? [];
  assert.equal(metadata, "https://mcp.example/.well-known/oauth-protected-resource/mypackage/mcp");
  assert.equal(mcp.seen.length, 0);

  const document = await fetch(origin + new URL(metadata).pathname);
  assert.equal(document.status, 200);
  assert.equal(document.headers.get("content-type"), "application/json");
  const { resource, authorization_servers: servers } = await document.json();
  assert.deepEqual([resource, servers], [RESOURCE, [provider.issuer]]);

  const answered = await call({ authorization });
  assert.equal(answered.status, 200);
  assert.deepEqual(await answered.json(), {
    jsonrpc: "2.0",
    id: 1,
    result: { tools: [] },
  });
  const [{ method, url, headers, body }] = mcp.seen;
  assert.deepEqual([method, url, body.toString()], ["POST", "/mypackage/mcp", CALL]);
  assert.equal(headers["content-type"], "application/json");
});

test("the token ends at the service, and who it is from is said in headers that nobody else can send", async (t) => {
  const mcp = await startMcp(t);
  const spoofed = {
    "x-auth-subject": "root",
    x_auth_subject: "root",
    "x-auth-roles": "admin",
  };
  const hidden = await guarded(t, mcp.origin);
  await fetch(`${hidden.origin}/echo`, {
    headers: { authorization: hidden.authorization, ...spoofed },
  });
  const { headers } = mcp.seen[0];
  assert.equal(headers.authorization, undefined);
  assert.deepEqual(
    [headers["x-auth-subject"], headers["x-auth-client"], headers["x-auth-scopes"]],
    ["alice", "spa", "openid read"],
  );
  assert.deepEqual([headers["x-auth-roles"], headers["x_auth_subject"]], [undefined, undefined]);
  assert.equal(headers.host, new URL(mcp.origin).host);

  const shown = await guarded(t, mcp.origin, ["--forward-token"]);
  await fetch(`${shown.origin}/echo`, {
    headers: { authorization: shown.authorization },
  });
  assert.equal(mcp.seen[1].headers.authorization, shown.authorization);
});

test("bodies of any kind and length come through as they were, and so do refusals of the upstream", async (t) => {
  const mcp = await startMcp(t);
  const { origin, authorization } = await guarded(t, mcp.origin);
  const bytes = randomBytes(3_000_000);
  const response = await fetch(`${origin}/echo`, {
    method: "PUT",
    headers: { authorization },
    body: bytes,
  });
  assert.ok(Buffer.from(await response.arrayBuffer()).equals(bytes));
  assert.equal(mcp.seen[0].headers["content-length"], "3000000");
  async function* parts() {
    yield bytes.subarray(0, 1000);
    yield bytes.subarray(1000, 2000);
  }
  const streamed = await fetch(`${origin}/echo`, {
    method: "POST",
    headers: { authorization },
    body: parts(),
    duplex: "half",
  });
  assert.ok(Buffer.from(await streamed.arrayBuffer()).equals(bytes.subarray(0, 2000)));
  assert.equal(mcp.seen[1].headers["transfer-encoding"], "chunked");
  const missing = await fetch(`${origin}/missing`, {
    headers: { authorization },
  });
  assert.deepEqual(
    [missing.status, missing.statusText, await missing.text()],
    [404, "Nothing Here", "no"],
  );
});

test("a stream of events is not held back, and ends with whoever listens", async (t) => {
  const closed = [];
  const upstream = await listen(t, (request, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.flushHeaders();
    request.once("close", () => {});
    response.once("close", () => closed.push("closed"));
    if (request.url === "/events") response.write("data: first\n\n");
  });
  const { origin, authorization } = await guarded(t, upstream.origin);
  const controller = new AbortController();
  const open = (path) =>
    fetch(origin + path, {
      headers: { authorization },
      signal: controller.signal,
    });
  const silent = await open("/silent");
  assert.equal(silent.headers.get("content-type"), "text/event-stream");
  const events = await open("/events");
  const { value } = await events.body.getReader().read();
  assert.equal(Buffer.from(value).toString(), "data: first\n\n");
  controller.abort();
  while (closed.length < 2) await new Promise((resolve) => setTimeout(resolve, 10));
});

test("an upstream that is away is 502, and one that breaks off breaks the answer off", async (t) => {
  const gone = await listen(t, () => {});
  const { origin: nowhere } = gone;
  await new Promise((resolve) => gone.server.close(resolve));
  const away = await guarded(t, nowhere);
  const { status } = await fetch(away.origin, {
    headers: { authorization: away.authorization },
  });
  assert.equal(status, 502);

  const breaking = await listen(t, (_request, response) => {
    response.writeHead(200, { "content-length": "1000" });
    response.write("half");
    setTimeout(() => response.destroy(), 20);
  });
  const { origin, authorization } = await guarded(t, breaking.origin);
  const half = await fetch(origin, { headers: { authorization } });
  await assert.rejects(half.text());
});

test("headers that belong to one connection stay there", async (t) => {
  const mcp = await startMcp(t);
  const { origin, authorization } = await guarded(t, mcp.origin);
  const { hostname, port } = new URL(origin);
  const request = httpRequest({
    ...{ hostname, port, path: "/echo", agent: false },
    headers: {
      authorization,
      connection: "close, x-hop",
      "x-hop": "1",
      te: "trailers",
      "proxy-authorization": "Basic eDp5",
      "x-forwarded-for": "6.6.6.6",
      "x-kept": "1",
    },
  });
  request.end();
  const [response] = await once(request, "response");
  response.resume();
  await once(response, "end");
  const { headers } = mcp.seen[0];
  for (const name of ["x-hop", "te", "proxy-authorization"]) assert.equal(headers[name], undefined);
  assert.equal(headers["x-kept"], "1");
  assert.equal(headers["x-forwarded-for"], "127.0.0.1");
});

test("the service's own endpoints can be moved out of the upstream's way", async (t) => {
  const mcp = await startMcp(t);
  const { origin, authorization } = await guarded(t, mcp.origin, ["--base-path", "/-/gatepass"]);
  assert.equal((await fetch(`${origin}/-/gatepass/health`)).status, 200);
  assert.equal((await fetch(`${origin}/health`)).status, 401);
  const own = await fetch(`${origin}/plugin/authenticate`, {
    method: "POST",
    headers: { authorization },
    body: CALL,
  });
  assert.equal(own.status, 200, "it is the upstream's");
  // Clients reach a proxy, and could try tokens at endpoints that are for servers: there are none.
  for (const path of ["/plugin/authenticate", "/auth/nginx"]) {
    const before = mcp.seen.length;
    const post = (headers) =>
      fetch(`${origin}/-/gatepass${path}`, { method: "POST", headers, body: CALL });
    assert.equal((await post({})).status, 401);
    assert.equal(mcp.seen.length, before);
    await post({ authorization });
    assert.equal(mcp.seen.at(-1).url, `/-/gatepass${path}`);
  }
  const { stdout } = await gatepass.run(["help", "serve"]);
  assert.match(stdout, /With --upstream there are only the last three/);
});

test("routes say what the upstream is asked for, and default deny says the rest", async (t) => {
  const mcp = await startMcp(t);
  const provider = await startProvider(t, { audience: RESOURCE });
  const config = join(gatepass.project, "proxy-routes.json");
  writeFileSync(
    config,
    JSON.stringify({
      ...{ issuer: provider.issuer, resource: RESOURCE, upstream: mcp.origin },
      routes: [
        { path: "/echo", methods: ["GET"], required: false },
        { path: "/mypackage/mcp", methods: ["POST"], scopes: ["mcp"] },
      ],
    }),
  );
  const { origin } = await gatepass.serve(t, ["--config", config]);
  const post = async (scope) => {
    const token = await provider.accessToken({ scope });
    const headers = { authorization: `Bearer ${token}` };
    return fetch(`${origin}/mypackage/mcp`, {
      method: "POST",
      headers,
      body: CALL,
    });
  };
  assert.equal((await fetch(`${origin}/echo`)).status, 200);
  assert.equal((await fetch(`${origin}/other`)).status, 403);
  assert.equal((await post("mcp")).status, 200);
  const poor = await post("read");
  assert.equal(poor.status, 403);
  assert.match(poor.headers.get("www-authenticate"), /insufficient_scope.*scope="mcp"/);
});

test("S4-16 S2-16 routes ask for roles, one of several scopes, or permissions before the upstream is asked", async (t) => {
  const mcp = await startMcp(t);
  const provider = await startProvider(t, { audience: RESOURCE });
  const config = join(gatepass.project, "proxy-needs.json");
  writeFileSync(
    config,
    JSON.stringify({
      ...{ issuer: provider.issuer, resource: RESOURCE, upstream: mcp.origin },
      guard: { profile: { permissions: ["permissions"] } },
      routes: [
        { path: "/echo", methods: ["POST"], roles: "admin" },
        { path: "/echo", methods: ["PUT"], anyScopes: ["docs", "all"] },
        { path: "/echo", methods: ["PATCH"], permissions: ["write:docs"] },
      ],
    }),
  );
  const { origin } = await gatepass.serve(t, ["--config", config]);
  for (const [method, good, poor] of [
    ["POST", { roles: ["admin"] }, { roles: ["user"] }],
    ["PUT", { scope: "all" }, { scope: "read" }],
    ["PATCH", { permissions: ["write:docs"] }, { permissions: [] }],
  ]) {
    const send = async (claims) => {
      const headers = { authorization: `Bearer ${await provider.accessToken(claims)}` };
      return fetch(`${origin}/echo`, { method, headers, body: method });
    };
    const allowed = await send(good);
    assert.deepEqual([allowed.status, await allowed.text()], [200, method]);
    const asked = mcp.seen.length;
    assert.equal((await send(poor)).status, 403, method);
    assert.equal((await send({})).status, 403, method);
    assert.equal(mcp.seen.length, asked, "the upstream is not asked");
  }
});

test("a request that tears its length off is refused, and none comes through inside another", async (t) => {
  const teller = await startTeller(t);
  const { origin, authorization } = await guarded(t, teller.origin);
  const inner = "GET /admin/secret HTTP/1.1\r\nHost: x\r\nX-Auth-Subject: root\r\n\r\n";
  const ask = (method, connection) =>
    sendRaw(
      origin,
      `${method} /x HTTP/1.1\r\nHost: h\r\nAuthorization: ${authorization}\r\n${connection}` +
        `Content-Length: ${inner.length}\r\n\r\n${inner}`,
    );
  const methods = ["GET", "HEAD", "DELETE", "OPTIONS", "POST", "PUT"];
  for (const method of methods) {
    for (const named of ["content-length", "close, Content-Length", "host", "transfer-encoding"]) {
      const received = await ask(method, `Connection: ${named}\r\n`);
      assert.deepEqual(statuses(received), ["400"], `${method} ${named}`);
    }
  }
  assert.deepEqual(teller.seen, []);
  // Nor where it has two hosts (RFC 9112 section 3.2).
  for (const second of ["h", "x"]) {
    const hosts = `Host: h\r\nHost: ${second}\r\nAuthorization: ${authorization}\r\n\r\n`;
    assert.deepEqual(statuses(await sendRaw(origin, `GET /x HTTP/1.1\r\n${hosts}`)), ["400"]);
  }
  assert.deepEqual(teller.seen, []);
  // Nor where the length stands behind more headers than some read, or the body is in another coding.
  const many = "a:\r\n".repeat(2000);
  for (const method of methods) {
    for (const framing of [
      `${many}Content-Length: ${inner.length}\r\n\r\n${inner}`,
      `${many}Transfer-Encoding: chunked\r\n\r\n${inner.length.toString(16)}\r\n${inner}\r\n0\r\n\r\n`,
      `Transfer-Encoding: gzip, chunked\r\n\r\n${inner.length.toString(16)}\r\n${inner}\r\n0\r\n\r\n`,
    ]) {
      for (const wish of ["", "Connection: Upgrade\r\nUpgrade: h2c\r\n"]) {
        const received = await sendRaw(
          origin,
          `${method} /x HTTP/1.1\r\nHost: h\r\nAuthorization: ${authorization}\r\n${wish}${framing}`,
        );
        assert.deepEqual(statuses(received), ["400"], `${method} ${wish}${framing.slice(-80)}`);
      }
    }
  }
  assert.deepEqual(teller.seen, []);
  // With its length a body is a body, whatever the method.
  for (const method of methods) {
    assert.deepEqual(statuses(await ask(method, "")), ["200"], method);
    const { method: seen, url, body } = teller.seen.pop();
    assert.deepEqual([seen, url, body], [method, "/x", inner]);
    assert.deepEqual(teller.seen, [], method);
  }
});

test("a wish for another protocol than WebSocket is left alone, and its request is one as any other", async (t) => {
  const teller = await startTeller(t);
  const { origin, authorization } = await guarded(t, teller.origin);
  const wish =
    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n";
  const head = (method, more, token = authorization) =>
    `${method} /mcp HTTP/1.1\r\nHost: h\r\nAuthorization: ${token}\r\n${more}`;
  // Twice over one connection, as clients do that offer it with each request.
  const post = `${head("POST", wish)}Content-Length: ${CALL.length}\r\n\r\n${CALL}`;
  const chunked = `${head("POST", wish)}Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n`;
  const received = await sendRaw(origin, post, chunked, `${head("GET", wish)}\r\n`);
  assert.deepEqual(statuses(received), ["200", "200", "200"]);
  const told = teller.seen.map(({ method, body }) => [method, body]);
  assert.deepEqual(told, [
    ["POST", CALL],
    ["POST", "body"],
    ["GET", ""],
  ]);
  for (const { headers } of teller.seen) {
    assert.deepEqual([headers.upgrade, headers["http2-settings"]], [undefined, undefined]);
    assert.equal(headers["x-auth-subject"], "alice");
  }
  // A WebSocket begins with a GET without a body, and with a token as all else.
  const socket = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
  teller.seen.length = 0;
  const withBody = await sendRaw(origin, `${head("GET", socket)}Content-Length: 4\r\n\r\nbody`);
  assert.deepEqual(statuses(withBody), ["200"]);
  assert.equal(teller.seen[0].headers.upgrade, undefined);
  assert.equal(teller.seen[0].body, "body");
  for (const protocol of ["h2c", "websocket"]) {
    const more = `Connection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`;
    assert.deepEqual(statuses(await sendRaw(origin, head("GET", more, "Bearer x"))), ["401"]);
  }
  assert.equal(teller.seen.length, 1);
});

test("an upstream that answers with nonsense is a 502, and the service goes on", async (t) => {
  let answer = "";
  const upstream = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => socket.end(answer, "latin1"));
  });
  await new Promise((resolve) => upstream.listen(0, "127.0.0.1", resolve));
  t.after(() => upstream.close());
  const { origin, authorization } = await guarded(t, `http://127.0.0.1:${upstream.address().port}`);
  const length = "Content-Length: 2\r\n\r\nno";
  for (const [line, status] of [
    [`HTTP/1.1 200 O\x01K\r\n${length}`, 200],
    [`HTTP/1.1 200 \x1b]0;title\x07\r\n${length}`, 200],
    [`HTTP/1.1 000 X\r\n${length}`, 502],
    [`HTTP/1.1 099 X\r\n${length}`, 502],
    [`HTTP/1.1 600 X\r\n${length}`, 502],
    ["HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 502],
    ["HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n", 502],
    ["HTTP/1.1 101 Switching Protocols\r\n\r\n", 502],
    ["HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n", 502],
    ["nonsense\r\n\r\n", 502],
  ]) {
    answer = line;
    const received = await sendRaw(
      origin,
      `GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\nAuthorization: ${authorization}\r\n\r\n`,
    );
    assert.deepEqual(statuses(received), [String(status)], line);
    assert.doesNotMatch(received, /[\x00-\x08\x0b\x0c\x0e-\x1f]/u, line);
    const { response } = await change(origin, "/ws", { authorization });
    assert.equal(response.statusCode, status, `${line} as WebSocket`);
  }
  assert.equal((await fetch(`${origin}/health`)).status, 200);
});

test("a kept connection that the upstream closes as it is used again costs no request that can be repeated", async (t) => {
  let served = 0;
  const asked = [];
  const upstream = createServer((socket) => {
    let isFirst = true;
    socket.on("error", () => {});
    socket.on("data", (data) => {
      asked.push(`${data}`.split(" ", 1)[0]);
      // It says that it keeps the connection, and resets it when it is used.
      if (!isFirst) return socket.resetAndDestroy();
      isFirst = false;
      served++;
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
  });
  await new Promise((resolve) => upstream.listen(0, "127.0.0.1", resolve));
  t.after(() => upstream.close());
  const { origin, authorization } = await guarded(t, `http://127.0.0.1:${upstream.address().port}`);
  const call = async (method, more) =>
    (await fetch(`${origin}/x`, { method, headers: { authorization }, ...more })).status;
  assert.equal(await call("GET"), 200);
  assert.equal(await call("GET"), 200);
  assert.equal(await call("GET"), 200);
  assert.deepEqual([asked.length, served], [4, 3]);
  assert.equal(await call("DELETE"), 200);
  // What may have been done is not done once more.
  assert.equal(await call("GET"), 200);
  asked.length = 0;
  assert.equal(await call("POST", { body: "x" }), 502);
  assert.deepEqual(asked, ["POST"]);
  assert.equal(await call("POST"), 200);
});

test("an upload that stands still ends, and no other", async (t) => {
  const { makeProxy } = await import(
    pathToFileURL(join(gatepass.project, "node_modules/gatepass/dist/server/proxy.js"))
  );
  const received = [];
  const upstream = await listen(t, (request, response) => {
    const name = request.url.slice(1);
    request.on("data", (chunk) => received.push(`${name} ${chunk}`));
    request.on("error", () => received.push(`${name} broke off`));
    if (name === "answers") response.write("begun");
    request.on("end", () => response.end("done"));
  });
  const proxy = makeProxy(upstream.origin, { forwardToken: false });
  t.after(() => proxy.close());
  const forwarding = { identity: {}, headers: {}, publicOrigin: undefined };
  const front = await listen(t, (request, response) =>
    proxy.forward(request, response, forwarding),
  );
  t.mock.timers.enable({ apis: ["setInterval"] });
  const upload = async (name) => {
    const request = httpRequest(`${front.origin}/${name}`, { method: "PUT" });
    const answer = once(request, "response");
    request.write("a");
    await until(`${name} began`, () => received.includes(`${name} a`));
    return { request, answer };
  };
  const [still, moving, answers] = [
    await upload("still"),
    await upload("moving"),
    await upload("answers"),
  ];
  for (const more of ["b", "c"]) {
    moving.request.write(more);
    await until("it moves", () => received.includes(`moving ${more}`));
    t.mock.timers.tick(60_000);
  }
  const [refused] = await still.answer;
  assert.deepEqual([refused.statusCode, refused.headers["cache-control"]], [408, "no-store"]);
  await until("it ends", () => received.includes("still broke off"));
  for (const { request, answer } of [moving, answers]) {
    request.end("d");
    const [response] = await answer;
    assert.equal(response.statusCode, 200);
    response.resume();
    await once(response, "end");
  }
});

test("an upstream that answers an upload before it has read it, and hangs up, is heard", async (t) => {
  const { key, cert, file } = makeCertificate();
  const answer = (_request, response) =>
    response.writeHead(413, { connection: "close" }).end("long");
  const bytes = randomBytes(4_000_000);
  for (const [protocol, server] of [
    ["http", createHttpServer(answer)],
    ["https", createTlsServer({ key, cert }, answer)],
  ]) {
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    t.after(() => server.close());
    const upstream = `${protocol}://localhost:${server.address().port}`;
    const env = { NODE_EXTRA_CA_CERTS: file };
    const args = ["--mode", "none", "--upstream", upstream];
    const { origin } = await gatepass.serve(t, args, { env });
    // One way or the other by chance, so often that chance has no say in it.
    for (let time = 0; time < 20; time++) {
      const connection = time % 2 === 0 ? "close" : "keep-alive";
      const headers = { connection };
      const request = httpRequest(origin, { method: "POST", agent: false, headers });
      request.end(bytes);
      const [response] = await once(request, "response");
      assert.equal(response.statusCode, 413, `${protocol}, ${connection}`);
      assert.equal(String(await response.toArray()), "long");
      request.destroy();
    }
  }
});

test("an upload that is refused before it was read learns why, also where its connection ends with that", async (t) => {
  const upstream = await listen(t, (request, response) => void request.pipe(response));
  const proxy = await guarded(t, upstream.origin);
  const service = await gatepass.serve(t, ["--mode", "none"]);
  const refusals = [
    [proxy.origin, "/x", "401"],
    [proxy.origin, "/%2f", "400"],
    [service.origin, "/plugin/authenticate", "415"],
    [service.origin, "/auth/nginx", "400"],
    [service.origin, "/x", "404"],
  ];
  /** Sends for a while before it looks whether there is an answer. */
  const upload = async (origin, path) => {
    const socket = connect(Number(new URL(origin).port), "127.0.0.1");
    t.after(() => socket.destroy());
    let [hasEnded, failure] = [false];
    socket.on("error", (error) => (failure = error));
    socket.once("end", () => (hasEnded = true));
    const head = `POST ${path} HTTP/1.1\r\nHost: h\r\nConnection: close`;
    socket.write(`${head}\r\nContent-Length: 4000000\r\n\r\n`);
    for (let time = 0; time < 20; time++) {
      socket.write("x".repeat(1000));
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    let received = "";
    socket.on("data", (data) => (received += data));
    await until("it ends", () => hasEnded || failure);
    assert.equal(failure, undefined, path);
    return received;
  };
  const uploads = refusals.map(([origin, path]) => upload(origin, path));
  for (const [at, received] of (await Promise.all(uploads)).entries()) {
    assert.deepEqual(statuses(received), [refusals[at][2]], refusals[at][1]);
  }
});

test("what an upstream sends besides its answer is nobody's answer", async (t) => {
  const FAKE = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfake";
  const seen = [];
  const { origin: upstream, held } = await listenRaw(t, (socket) => {
    let hasAnswered = false;
    socket.on("data", (data) => {
      seen.push(String(data).split(" ", 2).join(" "));
      // The body of an answer to HEAD, which is read when somebody else has asked.
      if (hasAnswered) socket.write(FAKE);
      hasAnswered = true;
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
      if (!String(data).startsWith("HEAD")) socket.write("true");
    });
  });
  const { origin } = await gatepass.serve(t, ["--mode", "none", "--upstream", upstream]);
  const ask = async (method) => (await fetch(origin, { method })).text();
  assert.equal(await ask("HEAD"), "");
  assert.equal(await ask("GET"), "true");
  // A connection that is kept, and over which something comes that nobody asked for.
  await until("one is kept", () => held.size === 1);
  for (const socket of held) socket.write(FAKE);
  await until("it ends", () => held.size === 0);
  assert.equal(await ask("GET"), "true");
  assert.deepEqual(seen, ["HEAD /", "GET /", "GET /"]);
});

test("who leaves before there is an answer counts for none of the upstream's", async (t) => {
  const { origin: upstream, held } = await listenRaw(t, (socket) => {
    socket.on("data", (data) => {
      if (!String(data).includes("/silent")) socket.end("HTTP/1.1 204 No Content\r\n\r\n");
    });
  });
  const args = ["--mode", "none", "--metrics", "--upstream", upstream];
  const { origin } = await gatepass.serve(t, args);
  for (const [method, more] of [
    ["GET", ""],
    ["HEAD", ""],
    ["POST", "Content-Length: 9\r\n"],
  ]) {
    const socket = connect(Number(new URL(origin).port), "127.0.0.1");
    socket.write(`${method} /silent HTTP/1.1\r\nHost: h\r\n${more}\r\n`);
    await until("it is asked", () => held.size === 1);
    socket.destroy();
    await until("nobody is", () => held.size === 0);
  }
  assert.equal((await fetch(`${origin}/x`)).status, 204);
  const metrics = await (await fetch(`${origin}/metrics`)).text();
  const counted = metrics.match(/^gatepass_upstream_responses_total.*$/gmu);
  assert.deepEqual(counted, ['gatepass_upstream_responses_total{class="2xx"} 1']);
});

test("an answer that breaks off in the middle is not followed by another head", async (t) => {
  const upstream = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => {
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\nbody");
      setTimeout(() => socket.resetAndDestroy(), 50);
    });
  });
  await new Promise((resolve) => upstream.listen(0, "127.0.0.1", resolve));
  t.after(() => upstream.close());
  const { origin, authorization } = await guarded(t, `http://127.0.0.1:${upstream.address().port}`);
  for (const wish of ["", "Connection: Upgrade\r\nUpgrade: websocket\r\n"]) {
    const received = await sendRaw(
      origin,
      `GET /x HTTP/1.1\r\nHost: h\r\nAuthorization: ${authorization}\r\n${wish}\r\n`,
    );
    assert.deepEqual(statuses(received), ["200"], wish);
  }
});

test("connections that were refused another protocol end, and draining waits for none", async (t) => {
  // It never answers.
  const upstream = createServer((socket) => void socket.on("error", () => {}));
  await new Promise((resolve) => upstream.listen(0, "127.0.0.1", resolve));
  const held = new Set();
  upstream.on("connection", (socket) => held.add(socket));
  t.after(() => {
    upstream.close();
    for (const socket of held) socket.destroy();
  });
  const { origin, authorization, child, exited } = await guarded(
    t,
    `http://127.0.0.1:${upstream.address().port}`,
    ["--drain-timeout", "1"],
  );
  const ask = (token) =>
    `GET /x HTTP/1.1\r\nHost: h\r\nAuthorization: ${token}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`;
  const open = (text) => {
    const socket = connect({
      port: Number(new URL(origin).port),
      host: "127.0.0.1",
      allowHalfOpen: true,
    });
    socket.on("error", () => {});
    socket.resume();
    socket.write(text);
    t.after(() => socket.destroy());
    return socket;
  };
  // Refused, and its client goes on sending and does not hang up.
  const refused = open(ask("Bearer x"));
  const closed = new Promise((resolve) => refused.once("close", resolve));
  await new Promise((resolve) => refused.once("end", resolve));
  const goesOn = setInterval(() => refused.write("more"), 50);
  t.after(() => clearInterval(goesOn));
  await closed;
  clearInterval(goesOn);
  // Under way at an upstream that is silent, and one that nobody has refused yet.
  open(ask(authorization));
  open(ask(authorization)).end();
  await new Promise((resolve) => setTimeout(resolve, 300));
  const started = Date.now();
  child.kill("SIGTERM");
  assert.equal(await exited, 0);
  assert.ok(Date.now() - started < 8000);
});

test("while draining, an answer has all headers that the upstream repeats", async (t) => {
  let release;
  const held = new Promise((resolve) => (release = resolve));
  const asked = [];
  const upstream = await listen(t, async (request, response) => {
    asked.push(request.url);
    if (request.url === "/first") await held;
    response.setHeader("set-cookie", ["session=1; HttpOnly", "csrf=2"]);
    response.setHeader("www-authenticate", ["Basic", "Bearer"]);
    response.end("told");
  });
  const { origin, authorization, child, exited, logged } = await guarded(t, upstream.origin);
  let received = "";
  const socket = connect(Number(new URL(origin).port), "127.0.0.1");
  t.after(() => socket.destroy());
  socket.on("data", (data) => (received += data));
  const ask = (path) =>
    socket.write(`GET ${path} HTTP/1.1\r\nHost: h\r\nAuthorization: ${authorization}\r\n\r\n`);
  ask("/first");
  await until("the first one is asked for", () => asked.includes("/first"));
  child.kill("SIGTERM");
  await logged(/Draining/);
  ask("/second");
  await until("the second one is asked for", () => asked.includes("/second"));
  release();
  await once(socket, "close");
  assert.equal(await exited, 0);
  const [, first, second] = received.split("HTTP/1.1 200 OK");
  for (const answer of [first, second]) {
    assert.deepEqual(answer.match(/(?<=^set-cookie: ).*/gim), ["session=1; HttpOnly", "csrf=2"]);
    assert.deepEqual(answer.match(/(?<=^www-authenticate: ).*/gim), ["Basic", "Bearer"]);
  }
  // Whoever comes back is to do so elsewhere.
  assert.match(second, /^connection: close\r$/im);
});

test("who sends many requests ahead and leaves, leaves nothing open at the upstream", async (t) => {
  // It never answers.
  const held = new Set();
  const upstream = createServer((socket) => {
    held.add(socket);
    socket.on("error", () => {});
    socket.once("close", () => held.delete(socket));
    socket.resume();
  });
  await new Promise((resolve) => upstream.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    upstream.close();
    for (const socket of held) socket.destroy();
  });
  const { origin, authorization } = await guarded(t, `http://127.0.0.1:${upstream.address().port}`);
  const one = `GET /x HTTP/1.1\r\nHost: h\r\nAuthorization: ${authorization}\r\n\r\n`;
  const open = (count) => {
    const socket = connect(Number(new URL(origin).port), "127.0.0.1");
    socket.on("error", () => {});
    socket.write(one.repeat(count));
    t.after(() => socket.destroy());
    return socket;
  };
  const areOpen = (count) => until(`${count} are open`, () => held.size === count, 10);
  const some = open(50);
  await areOpen(50);
  some.destroy();
  await areOpen(0);
  // Too many end the connection.
  const many = open(1000);
  await new Promise((resolve) => many.once("close", resolve));
  await areOpen(0);
});

test("what other proxies say, and what makes another request of one, ends at the service", async (t) => {
  const teller = await startTeller(t);
  const { origin, authorization } = await guarded(t, teller.origin, [
    ...["--public-origin", "https://api.example"],
  ]);
  const names = [
    ...[
      "Forwarded",
      "X-Forwarded-For",
      "X_Forwarded_For",
      "X-Forwarded-Port",
      "X-Forwarded-Prefix",
    ],
    ...["X-Real-IP", "X-Original-URL", "X-Original-Method", "X-Rewrite-URL", "X_Auth_Subject"],
    ...["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Script-Name"],
    ...["X-Client-IP", "Client-IP", "True-Client-IP", "X-Cluster-Client-IP", "Fastly-Client-IP"],
    ...["CF-Connecting-IP", "X-Forward-For", "X-Host", "X-HTTP-Host-Override", "Front-End-Https"],
    ...["X-Scheme", "X-URL-Scheme", "Remote-User", "X-Remote-User", "Remote-Addr", "Proxy"],
    // Some servers take the path from it, and others any character for a dash.
    ...[
      "Client-Cert",
      "Client-Cert-Chain",
      "X-Client-Cert",
      "X-Client-Certificate",
      "X-SSL-Client-S-DN",
      "SSL-Client-Verify",
    ],
    ...["X-ARR-ClientCert", "X-MS-Client-Principal", "X-MS-Client-Principal-Name"],
    ...["X-Amzn-Mtls-Clientcert-Subject", "X-Amzn-Oidc-Identity", "X-WebAuth-User"],
    ...["X-Goog-Authenticated-User-Email", "CF-Access-Authenticated-User-Email"],
    ...["SCRIPT_NAME", "X.Auth.Subject", "X-Auth.Roles", "X~Auth~Subject", "any_other"],
  ];
  const lines = names.map((name) => `${name}: spoofed\r\n`).join("");
  await sendRaw(
    origin,
    `GET /x HTTP/1.1\r\nHost: h\r\nX-Own: mine\r\nAuthorization: ${authorization}\r\n${lines}\r\n`,
  );
  const [{ headers }] = teller.seen;
  assert.ok(!JSON.stringify(headers).includes("spoofed"), JSON.stringify(headers));
  assert.equal(headers["x-own"], "mine");
  assert.deepEqual(
    ["for", "host", "proto"].map((name) => headers[`x-forwarded-${name}`]),
    ["127.0.0.1", "api.example", "https"],
  );
});

test("a second path in Destination is judged as the first, and arrives where it was judged to be", async (t) => {
  const teller = await startTeller(t);
  const provider = await startProvider(t, { audience: RESOURCE });
  const config = join(gatepass.project, "destination.json");
  const routes = [
    { path: "/admin/*", roles: "admin" },
    { path: "/*", required: false },
  ];
  const open = async (more) => {
    const rest = { issuer: provider.issuer, audience: RESOURCE, routes, ...more };
    writeFileSync(config, JSON.stringify(rest));
    return gatepass.serve(t, ["--config", config]);
  };
  const { origin } = await open({ upstream: `${teller.origin}/base/` });
  const admin = `Bearer ${await provider.accessToken({ roles: ["admin"] })}`;
  const move = async (service, lines) => {
    const head = `MOVE /x HTTP/1.1\r\nHost: Dav.example:81\r\n${lines}\r\n`;
    const [status] = statuses(await sendRaw(service, head));
    return [status, teller.seen.pop()?.headers.destination];
  };
  const twice = "Destination: /y\r\nDestination: /z\r\n";
  for (const [lines, ...expected] of [
    ["", "200", undefined],
    ["Destination: /y%20z?q\r\n", "200", "/base/y%20z?q"],
    ["Destination: http://dav.example:81/y\r\n", "200", "/base/y"],
    // TLS may end before the service.
    ["destination: https://DAV.example:81/y\r\n", "200", "/base/y"],
    ["Destination: http://elsewhere.example/y\r\n", "400", undefined],
    ["Destination: http://dav.example/y\r\n", "400", undefined],
    ["Destination: /admin/y\r\n", "401", undefined],
    ["Destination: http://dav.example:81/Admin\r\n", "401", undefined],
    ["Destination: /a/../admin/y\r\n", "400", undefined],
    [twice, "400", undefined],
    ["Destination: /y?\r\nDestination: /admin/z\r\n", "400", undefined],
    [`Destination: /admin/y\r\nAuthorization: ${admin}\r\n`, "200", "/base/admin/y"],
    [`Destination: /y\r\nConnection: destination\r\n`, "200", "/base/y"],
  ]) {
    assert.deepEqual(await move(origin, lines), expected, lines);
  }
  const plain = `MOVE /x HTTP/1.1\r\nHost: dav.example\r\nDestination: http://dav.example:80/y\r\n\r\n`;
  assert.deepEqual(statuses(await sendRaw(origin, plain)), ["200"]);
  assert.equal(teller.seen.pop().headers.destination, "/base/y");
  const known = await open({ upstream: teller.origin, publicOrigin: "https://api.example" });
  for (const [address, ...expected] of [
    ["https://api.example/y", "200", "/y"],
    ["https://API.example:443/y", "200", "/y"],
    ["https://api.example:80/y", "400", undefined],
    ["https://api.example:8443/y", "400", undefined],
  ]) {
    const named = await move(known.origin, `Destination: ${address}\r\n`);
    assert.deepEqual(named, expected, address);
  }
});

test("a request without a body arrives without one", async (t) => {
  const heads = [];
  const upstream = await listenRaw(t, (socket) =>
    socket.on("data", (data) => {
      heads.push(data.toString("latin1"));
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntold");
    }),
  );
  const { origin, authorization } = await guarded(t, upstream.origin);
  for (const method of ["POST", "PUT", "MKCOL", "PURGE", "DELETE", "GET"]) {
    const head = `${method} /x HTTP/1.1\r\nHost: h\r\nAuthorization: ${authorization}\r\n\r\n`;
    assert.deepEqual(statuses(await sendRaw(origin, head)), ["200"], method);
    const arrived = heads.splice(0).join("");
    assert.ok(arrived.startsWith(`${method} /x `) && arrived.endsWith("\r\n\r\n"), arrived);
    assert.equal(arrived.indexOf("\r\n\r\n"), arrived.length - 4, "nothing follows the head");
    assert.doesNotMatch(arrived, /transfer-encoding/i);
    assert.equal(/content-length: 0\r\n/i.test(arrived), !/^(?:DELETE|GET)$/.test(method), arrived);
  }
});

test("what is answered for a token says that it depends on it, beside what the upstream says", async (t) => {
  const upstream = await listen(t, (_, response) =>
    response.setHeader("vary", "Accept").setHeader("cache-control", "public, max-age=60").end("ok"),
  );
  const { origin, authorization } = await guarded(t, upstream.origin);
  const { headers } = await fetch(origin, { headers: { authorization } });
  assert.equal(headers.get("vary"), "Accept, Authorization");
  // And what is answered without one.
  const config = join(gatepass.project, "proxy-open.json");
  writeFileSync(config, JSON.stringify({ routes: [{ path: "/*", required: false }] }));
  const open = await guarded(t, upstream.origin, ["--config", config]);
  const nobody = await fetch(open.origin);
  assert.deepEqual([nobody.status, nobody.headers.get("vary")], [200, "Accept, Authorization"]);
});

/** A server that changes to a protocol in which everything is said twice. */
async function startEcho(t) {
  const seen = [];
  const { server, origin } = await listen(t, (request, response) => response.end("plain"));
  server.on("upgrade", (request, socket) => {
    seen.push(request.headers);
    if (request.url === "/no") {
      return socket.end("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno");
    }
    const head = `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n`;
    socket.write(`${head}X-Own: yes\r\n\r\nwelcome`);
    socket.on("data", (data) => socket.write(data));
    socket.on("end", () => socket.end());
    socket.on("error", () => {});
    t.after(() => socket.destroy());
  });
  return { origin, seen };
}

/** Asks for another protocol; answers the connection, or the answer of who refused. */
const change = (origin, path, headers) =>
  new Promise((resolve, reject) => {
    const { port } = new URL(origin);
    const options = { host: "127.0.0.1", port, path, agent: false };
    const all = { connection: "Upgrade", upgrade: "websocket", ...headers };
    const request = httpRequest({ ...options, headers: all });
    request.once("error", reject);
    request.once("response", (response) => resolve({ response }));
    request.once("upgrade", (response, socket, head) => resolve({ response, socket, head }));
    request.end();
  });

test("a connection that changes its protocol, as WebSocket does, passes in both directions once it is allowed", async (t) => {
  const echo = await startEcho(t);
  const { origin, authorization, child, exited } = await guarded(t, echo.origin, [
    "--drain-timeout",
    "1",
  ]);
  const none = await change(origin, "/ws", {});
  assert.equal(none.response.statusCode, 401);
  assert.match(none.response.headers["www-authenticate"], /^Bearer resource_metadata=/);
  assert.equal(echo.seen.length, 0);

  const { response, socket, head } = await change(origin, "/ws", {
    authorization,
    "sec-websocket-protocol": "mcp",
    "x-auth-subject": "root",
  });
  assert.equal(response.statusCode, 101);
  assert.equal(response.headers["x-own"], "yes");
  let received = String(head);
  socket.on("data", (data) => (received += data));
  const comes = async (text) => {
    while (!received.includes(text)) await once(socket, "data");
  };
  await comes("welcome");
  const big = "x".repeat(300_000);
  socket.write(big);
  socket.write("|end");
  await comes("|end");
  assert.equal(received, `welcome${big}|end`);
  const [upstream] = echo.seen;
  assert.equal(upstream["x-auth-subject"], "alice");
  assert.equal(upstream["sec-websocket-protocol"], "mcp");
  assert.equal(upstream.authorization, undefined);

  const refused = await change(origin, "/no", { authorization });
  assert.equal(refused.response.statusCode, 403);

  // It has no end of its own: draining ends it.
  const closed = once(socket, "close");
  child.kill("SIGTERM");
  await closed;
  assert.equal(await exited, 0);
});

test("S4-39 an address that asks too often is told when to come back", async (t) => {
  const mcp = await startMcp(t);
  const { origin, authorization } = await guarded(t, mcp.origin, ["--rate-limit", "2"]);
  const statuses = [];
  let wait;
  for (let at = 0; at < 20; at++) {
    const response = await fetch(`${origin}/x`, {
      method: "POST",
      body: CALL,
      headers: { authorization },
    });
    statuses.push(response.status);
    wait ??= response.headers.get("retry-after");
    await response.arrayBuffer();
  }
  // Twice as many as in a second may come at once.
  assert.deepEqual(statuses.slice(0, 4), [200, 200, 200, 200]);
  assert.deepEqual([...new Set(statuses)], [200, 429]);
  assert.equal(wait, "1");
  assert.equal((await fetch(`${origin}/health`)).status, 200);

  // A connection that is to change its protocol counts as a request: two at once, and no third.
  const echo = await startEcho(t);
  const strict = await guarded(t, echo.origin, ["--rate-limit", "1"]);
  const headers = { authorization: strict.authorization };
  const changed = await Promise.all(
    [1, 2, 3, 4, 5].map(() => change(strict.origin, "/ws", headers)),
  );
  for (const { socket } of changed) socket?.destroy();
  const told = changed.map(({ response }) => response.statusCode);
  assert.deepEqual([...new Set(told)].sort(), [101, 429], told.join(" "));
  const { response } = changed.find((one) => one.response.statusCode === 429);
  assert.equal(response.headers["retry-after"], "1");
});
