// The adapters for servers, by their examples: started for real, asked over HTTP.

import assert from "node:assert/strict";
import { createServer, request as httpRequest } from "node:http";
import * as http2 from "node:http2";
import { connect } from "node:net";
import { before, test } from "node:test";

import express from "express";
import { Hono } from "hono";
import { cors } from "hono/cors";

import { startWorker } from "../support/edge.mjs";
import { installExample, listeningProvider, startExample } from "../support/example.mjs";
import { importInstalled, installPackage } from "../support/installed.mjs";
import { makeProver } from "../support/prover.mjs";
import { makeProvider } from "../support/provider.mjs";

let adapters;
before(() => {
  ({ project: adapters } = installPackage("adapters"));
});

/** What every API of the examples answers. */
async function asksApi(provider, ask) {
  const token = await provider.accessToken();
  const admin = await provider.accessToken({ scope: "read admin" });
  const get = async (path, token) =>
    ask(path, token === undefined ? {} : { authorization: `Bearer ${token}` });
  const told = async (path, token) => {
    const answer = await get(path, token);
    return [answer.status, answer.headers.get("www-authenticate"), await answer.text()];
  };
  assert.deepEqual(await told("/health"), [200, null, "ok"]);
  assert.deepEqual(await told("/me", token), [200, null, '{"hello":"alice"}']);
  assert.equal((await get("/me", token)).headers.get("vary"), "Authorization");
  assert.deepEqual(await told("/me"), [401, "Bearer", ""]);
  const [status, challenge] = await told("/me", `${token.slice(0, -4)}AAAA`);
  assert.equal(status, 401);
  assert.match(challenge, /^Bearer error="invalid_token"/);
  const scopeless = 'Bearer error="insufficient_scope", scope="admin"';
  assert.deepEqual(await told("/admin", token), [403, scopeless, ""]);
  assert.deepEqual(await told("/admin", admin), [200, null, "welcome"]);
  // One guard for all requests: the keys were fetched once, for each guard of the example.
  assert.ok(provider.count("/jwks") <= 2);
}

test("Hono in Node", async (t) => {
  const project = installExample("hono", ["hono", "@hono/node-server"]);
  const provider = await listeningProvider(t);
  const url = await startExample(t, process.execPath, ["node.mjs"], { cwd: project, provider });
  await asksApi(provider, (path, headers) => fetch(url + path, { headers }));
});

test("Hono in workerd", async (t) => {
  const project = installExample("hono", ["hono"]);
  const provider = await makeProvider();
  const worker = await startWorker(project, "app.mjs", {
    bindings: { ISSUER: provider.issuer, AUDIENCE: provider.audience },
    outboundService: async (request) => {
      const { Response } = await import("miniflare");
      const answer = await provider.fetch(request.url, {});
      return new Response(await answer.text(), answer);
    },
  });
  t.after(() => worker.dispose());
  await asksApi(provider, (path, headers) =>
    worker.dispatchFetch(`http://worker${path}`, { headers }),
  );
});

for (const [name, file] of [
  ["Express", "server.mjs"],
  ["node:http", "http.mjs"],
]) {
  test(name, async (t) => {
    const project = installExample("express", ["express"]);
    const provider = await listeningProvider(t);
    const url = await startExample(t, process.execPath, [file], { cwd: project, provider });
    await asksApi(provider, (path, headers) => fetch(url + path, { headers }));

    // Node itself would show the first of two headers only.
    const token = await provider.accessToken();
    const status = await new Promise((resolve, reject) => {
      const headers = [
        "Host",
        "x",
        "Authorization",
        `Bearer ${token}`,
        "Authorization",
        "Bearer x",
      ];
      httpRequest(`${url}/me`, { headers }, (response) => resolve(response.statusCode))
        .on("error", reject)
        .end();
    });
    assert.equal(status, 400);
  });
}

test("Cloudflare: protect", async (t) => {
  const project = installExample("cloudflare", []);
  const provider = await makeProvider();
  const worker = await startWorker(project, "worker.mjs", {
    bindings: { ISSUER: provider.issuer, AUDIENCE: provider.audience },
    outboundService: async (request) => {
      const { Response } = await import("miniflare");
      const answer = await provider.fetch(request.url, {});
      return new Response(await answer.text(), answer);
    },
  });
  t.after(() => worker.dispose());
  const ask = async (headers, path = "") => {
    const answer = await worker.dispatchFetch(`https://api.example/${path}`, { headers });
    if (path === "") assert.equal(answer.headers.get("vary"), "Authorization");
    return [answer.status, answer.status === 200 ? await answer.json() : await answer.text()];
  };
  const authorization = `Bearer ${await provider.accessToken()}`;
  assert.deepEqual(await ask({ authorization }), [200, { hello: "alice" }]);
  assert.deepEqual(await ask({}), [401, ""]);
  const weak = await provider.accessToken({ scope: "other" });
  assert.deepEqual((await ask({ authorization: `Bearer ${weak}` }))[0], 403);
  const [status, metadata] = await ask({}, ".well-known/oauth-protected-resource");
  assert.equal(status, 200);
  assert.deepEqual(metadata.authorization_servers, [provider.issuer]);
});

test("Cloudflare: only a certificate that was verified is that of the connection", async () => {
  const { connectionOf } = await importInstalled(adapters, "gatepass/cloudflare");
  const sha = "ab".repeat(32);
  const of = (tlsClientAuth) => connectionOf({ cf: { tlsClientAuth } });
  assert.deepEqual(of({ certVerified: "SUCCESS", certFingerprintSHA256: sha }), {
    certificateSha256: sha,
  });
  const valid = { certVerified: "SUCCESS", certRevoked: "0", certFingerprintSHA256: sha };
  assert.deepEqual(of(valid), { certificateSha256: sha });
  for (const certVerified of ["NONE", "FAILED:expired", "", undefined]) {
    assert.deepEqual(of({ certVerified, certFingerprintSHA256: sha }), {});
  }
  // Cloudflare says "SUCCESS" of a revoked one as well.
  assert.deepEqual(of({ ...valid, certRevoked: "1" }), {});
  assert.deepEqual([of(null), connectionOf({}), connectionOf({ cf: {} })], [{}, {}, {}]);
});

/** A provider, a guard for its tokens, and a client with a key and a token that is bound to it. */
async function proving(more = {}) {
  const { createGuard } = await importInstalled(adapters, "gatepass/guard");
  const provider = await makeProvider();
  const { issuer, audience, fetch } = provider;
  const make = (other) =>
    createGuard({ issuer, audience, fetch, dpop: "accept", ...more, ...other });
  const prover = await makeProver();
  const token = await provider.accessToken({ cnf: { jkt: prover.jkt } });
  const headersFor = async (htu, claims) => ({
    authorization: `DPoP ${token}`,
    dpop: await prover.proof("GET", htu, token, claims),
  });
  return { provider, make, headersFor };
}

/** A server of this process; its origin. */
async function listening(t, server) {
  t.after(() => {
    server.closeAllConnections?.();
    server.close();
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${server.address().port}`;
}

test("node:http: a handler that fails leaves neither half an answer nor headers of one", async (t) => {
  const { protect } = await importInstalled(adapters, "gatepass/express");
  const { provider, make } = await proving();
  const told = [];
  const handler = async ({ url }, response) => {
    response.setHeader("content-length", "5000");
    response.setHeader("cache-control", "public, max-age=3600");
    if (url === "/begun") await new Promise((resolve) => response.write("[1,2,", resolve));
    if (url === "/whole") {
      response.setHeader("content-length", "2");
      response.end("ok");
    }
    throw new Error(url);
  };
  const listener = protect(await make(), handler, { onError: ({ message }) => told.push(message) });
  const outer = (request, response) => {
    response.setHeader("access-control-allow-origin", "*");
    response.setHeader("cache-control", "private");
    return listener(request, response);
  };
  const headers = { authorization: `Bearer ${await provider.accessToken()}` };
  const origin = await listening(t, createServer(outer));
  const failed = await fetch(`${origin}/early`, { headers });
  assert.deepEqual([failed.status, await failed.text()], [500, ""]);
  assert.equal(failed.headers.get("cache-control"), "private");
  assert.equal(failed.headers.get("access-control-allow-origin"), "*");
  const begun = await fetch(`${origin}/begun`, { headers });
  await assert.rejects(begun.text(), TypeError);
  const whole = await fetch(`${origin}/whole`, { headers });
  assert.deepEqual([whole.status, await whole.text()], [200, "ok"]);

  const session = http2.connect(await listening(t, http2.createServer(outer)));
  t.after(() => session.destroy());
  const ask = (path) =>
    new Promise((resolve) => {
      const stream = session.request({ ":path": path, ...headers });
      let status;
      stream.on("response", (head) => (status = head[":status"]));
      stream.on("error", ({ code }) => resolve([status, code]));
      stream.on("end", () => resolve([status, "end"]));
      stream.resume();
    });
  assert.deepEqual(await ask("/early"), [500, "end"]);
  assert.deepEqual(await ask("/begun"), [200, "ERR_HTTP2_STREAM_ERROR"]);
  assert.deepEqual(told, ["/early", "/begun", "/whole", "/early", "/begun"]);
});

test("dpp_12 node:http: a proof is for the path and the host, however the client writes them", async (t) => {
  const { protect } = await importInstalled(adapters, "gatepass/express");
  const { make, headersFor } = await proving();
  const hello = ({ url }, response) => response.end(url);
  const API = "https://api.example";
  const servers = [];
  for (const options of [{}, { publicOrigin: API }]) {
    const listener = protect(await make(options), hello);
    const origin = await listening(t, createServer({ requireHostHeader: false }, listener));
    /** The status of a request with such a first line and Host, and a proof for such a URL. */
    servers.push(async (target, host, htu) => {
      const lines = Object.entries(await headersFor(htu)).map(
        ([name, value]) => `${name}: ${value}`,
      );
      if (host !== undefined) lines.push(`Host: ${host}`);
      const head = [`GET ${target} HTTP/1.1`, ...lines, "Connection: close", "", ""].join("\r\n");
      const socket = connect(new URL(origin).port, "127.0.0.1");
      socket.write(head);
      let answer = "";
      for await (const chunk of socket) answer += chunk;
      return Number(answer.split(" ")[1]);
    });
  }
  const [plain, behind] = servers;
  assert.equal(await plain("/x?y", "a.example:81", "http://a.example:81/x"), 200);
  assert.equal(await plain("/x", "[::1]:81", "http://[::1]:81/x"), 200);
  assert.equal(await plain("/x", "a.example", "http://b.example/x"), 401);
  // RFC 9112 section 3.2.2: a whole URL counts, and not the Host beside it.
  assert.equal(await plain("http://a.example/x?y", "b.example", "http://a.example/x"), 200);
  assert.equal(await plain("http://a.example", "b.example", "http://a.example/"), 200);
  assert.equal(await plain("http://a.example?y", "b.example", "http://a.example/"), 200);
  assert.equal(await plain("http://a.example/x", "b.example", "http://b.example/x"), 401);
  assert.equal(await behind("http://10.0.0.7/x", "10.0.0.7", `${API}/x`), 200);
  assert.equal(await behind("http://10.0.0.7/x", "10.0.0.7", `${API}/`), 401);
  // A Host that is none, or more than one, is the client's fault; behind a proxy it does not count.
  for (const host of [
    undefined,
    "",
    "a.example/x?",
    "a.example/x#",
    "u@a.example",
    "a.example:x",
  ]) {
    assert.equal(await plain("/y", host, "http://a.example/y"), 401, host);
    assert.equal(await plain("/y", host, "http://a.example/x"), 401, host);
    assert.equal(await behind("/y", host, `${API}/y`), 200, host);
    assert.equal(await behind("/y", host, `${API}/x`), 401, host);
  }
  assert.equal(
    await plain("/..x/.../a.b?/../\\#", "a.example", "http://a.example/..x/.../a.b"),
    200,
  );
  // Whoever routes by what came takes these for another path than a proof does.
  for (const target of [
    "/x/../y",
    "/x/%2e%2E/y",
    "/x/.%2e/y?z",
    "/./y",
    "/y/x/..",
    "/y/.?z",
    "/y#/x",
    "/y\\..\\x",
    "http://a.example/x/../y",
    // Neither a path nor a URL: no fault of the program, which 503 would be.
    "*",
    "http://u@a.example/y",
  ]) {
    for (const path of ["/", "/y", "/y/", "/x/../y"]) {
      assert.equal(await plain(target, "a.example", `http://a.example${path}`), 401, target);
      assert.equal(await behind(target, "a.example", API + path), 401, target);
    }
  }
});

test("dpp_12 Express: a proof for one handler is none for another one", async (t) => {
  const { guarded } = await importInstalled(adapters, "gatepass/express");
  const { make, headersFor } = await proving();
  const publicOrigin = "https://api.example";
  const app = express();
  app.use(guarded(await make({ publicOrigin })));
  app.use("/transfer", (_, response) => response.end("transferred"));
  app.use("/balance", (_, response) => response.end("balance"));
  const { port } = new URL(await listening(t, createServer(app)));
  const ask = async (path) => {
    const headers = await headersFor(`${publicOrigin}/balance`);
    return new Promise((resolve, reject) => {
      httpRequest({ host: "127.0.0.1", port, path, headers }, async (response) => {
        let body = "";
        for await (const chunk of response) body += chunk;
        resolve([response.statusCode, body]);
      })
        .on("error", reject)
        .end();
    });
  };
  assert.deepEqual(await ask("/balance?of=a"), [200, "balance"]);
  for (const path of ["/transfer", "/transfer/../balance", "/transfer/%2e%2E/balance"]) {
    assert.deepEqual(await ask(path), [401, ""], path);
  }
});

test("dpp_12 node:http2: a proof is for the authority", async (t) => {
  const { protect } = await importInstalled(adapters, "gatepass/express");
  const { make, headersFor } = await proving();
  const hello = ({ url }, response) => response.end(url);
  const origin = await listening(t, http2.createServer(protect(await make(), hello)));
  const session = http2.connect(origin);
  t.after(() => session.destroy());
  const ask = async (htu, more) => {
    const headers = { ":path": "/x?y", ...(await headersFor(htu)), ...more };
    return new Promise((resolve, reject) => {
      const stream = session.request(headers);
      stream.on("response", (head) => resolve(head[":status"]));
      stream.on("error", reject).resume();
    });
  };
  assert.equal(await ask(`${origin}/x`), 200);
  assert.equal(await ask(`${origin}/y`), 401);
  assert.equal(await ask("http://a.example/x", { ":authority": "a.example" }), 200);
  assert.equal(await ask("http://a.example/x"), 401);
  // Paths that HTTP/1.1 does not let in.
  for (const path of ["/\xe9", "/\xe9/../x", "/a\\..\\x"]) {
    for (const htu of [`${origin}/%C3%A9`, `${origin}/%E9`, `${origin}/x`, `${origin}/`]) {
      assert.equal(await ask(htu, { ":path": path }), 401, path);
    }
  }
});

/** For how long a nonce is the newest one, in milliseconds. */
const WINDOW = 120_000;

/** Sets the clock to the middle of a nonce's time, so that a slow machine does not leave it. */
function setClock(t) {
  const { now } = Date;
  t.after(() => {
    Date.now = now;
  });
  let time = now() - (now() % WINDOW) + WINDOW / 2;
  Date.now = () => time;
  return (milliseconds) => (time += milliseconds);
}

/** What a server says to a client without a nonce, and to one whose nonce has just become old. */
async function nonceAnswers(pass, headersFor, url, ask) {
  const refused = await ask(await headersFor(url));
  assert.equal(refused.status, 401);
  const nonce = refused.headers.get("dpop-nonce");
  const current = await ask(await headersFor(url, { nonce }));
  assert.deepEqual([current.status, current.headers.get("dpop-nonce")], [200, null]);
  pass(WINDOW);
  const good = await ask(await headersFor(url, { nonce }));
  assert.equal(good.status, 200);
  assert.notEqual(good.headers.get("dpop-nonce"), null);
  return { refused, good };
}

const EXPOSED = "access-control-expose-headers";

test("Express: what a CORS middleware set stays, and pages can read challenge and nonce", async (t) => {
  const pass = setClock(t);
  const { guarded } = await importInstalled(adapters, "gatepass/express");
  for (const [exposeHeaders, bad, fine] of [
    [true, "X-Id, WWW-Authenticate, DPoP-Nonce", "X-Id, WWW-Authenticate, DPoP-Nonce"],
    [false, "X-Id", "X-Id"],
  ]) {
    const { make, headersFor } = await proving({ dpopNonce: true, exposeHeaders });
    const app = express();
    // As the package `cors` sets them.
    app.use((_, response, next) => {
      response.setHeader("Access-Control-Expose-Headers", "X-Id");
      response.setHeader("Vary", "Origin");
      next();
    });
    app.use(guarded(await make()));
    app.get("/x", (_, response) => response.end("ok"));
    const origin = await listening(t, createServer(app));
    const { refused, good } = await nonceAnswers(pass, headersFor, `${origin}/x`, (headers) =>
      fetch(`${origin}/x`, { headers }),
    );
    assert.deepEqual(
      [refused, good].map(({ headers }) => headers.get(EXPOSED)),
      [bad, fine],
    );
    assert.equal(refused.headers.get("vary"), "Origin, Authorization, DPoP");
    assert.equal(good.headers.get("vary"), "Origin, Authorization, DPoP");
  }
});

test("what a handler's answer depends on stays beside the credentials", async (t) => {
  const [forHono, forExpress] = await Promise.all(
    ["hono", "express"].map((name) => importInstalled(adapters, `gatepass/${name}`)),
  );
  const { createGuard } = await importInstalled(adapters, "gatepass/guard");
  const { issuer, audience, fetch: send, accessToken } = await makeProvider();
  const guard = await createGuard({ issuer, audience, fetch: send });
  const headers = { authorization: `Bearer ${await accessToken()}` };

  const hono = new Hono();
  hono.use(forHono.guarded(guard));
  const given = { "cache-control": "public, max-age=60", vary: "Accept" };
  hono.get("/own", () => new Response("own", { headers: given }));
  hono.get("/text", (c) => c.text("text", 200, given));
  hono.get("/none", (c) => c.text("none"));
  const app = express();
  app.use(forExpress.guarded(guard));
  app.get("/vary", (_, response) => response.vary("Accept").end("ok"));
  const origin = await listening(t, createServer(app));
  for (const [asked, expected] of [
    [hono.request("/own", { headers }), "Accept, Authorization"],
    [hono.request("/text", { headers }), "Accept, Authorization"],
    [hono.request("/none", { headers }), "Authorization"],
    [fetch(`${origin}/vary`, { headers }), "Authorization, Accept"],
  ]) {
    const answer = await asked;
    assert.deepEqual([answer.status, answer.headers.get("vary")], [200, expected]);
  }
});

test("Hono: what a CORS middleware set stays, and pages can read challenge and nonce", async (t) => {
  const { guarded } = await importInstalled(adapters, "gatepass/hono");
  const pass = setClock(t);
  const names = ({ headers }) => headers.get(EXPOSED)?.split(/, ?/).sort();
  const both = ["DPoP-Nonce", "WWW-Authenticate"];
  for (const [middleware, exposeHeaders, expected] of [
    [cors({ origin: (origin) => origin, exposeHeaders: ["X-Id"] }), true, [...both, "X-Id"]],
    [cors({ origin: (origin) => origin, exposeHeaders: ["X-Id"] }), false, ["X-Id"]],
    [(_, next) => next(), true, both],
  ]) {
    const { make, headersFor } = await proving({ dpopNonce: true, exposeHeaders });
    const app = new Hono();
    app.use(middleware);
    app.use(guarded(await make()));
    app.get("/x", (c) => c.text("ok"));
    const url = "https://api.example/x";
    const { refused, good } = await nonceAnswers(pass, headersFor, url, (headers) =>
      app.request(new Request(url, { headers: { origin: "https://app.example", ...headers } })),
    );
    assert.deepEqual([names(refused), names(good)], [expected, expected]);
    for (const { headers } of [refused, good]) {
      assert.match(headers.get("vary"), /Authorization, DPoP/);
    }
  }
});
