// Sessions in cookies behind Hono and Express.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { before, test } from "node:test";
import { pathToFileURL } from "node:url";

import { makeCookieBrowser } from "../support/cookie-browser.mjs";
import { installExample } from "../support/example.mjs";
import { askHttp } from "../support/http.mjs";
import { makeProvider } from "../support/provider.mjs";

const APP = "https://app.example";

const HONO = `
import { withSession } from "gatepass/hono";
import { Hono } from "hono";
export function make(sessions) {
  const app = new Hono();
  app.get("/health", (c) => c.text("ok"));
  app.use(withSession(() => sessions));
  app.get("/me", (c) => c.json(c.var.session.user.sub));
  app.get("/token", async (c) => c.text(await c.var.session.accessToken()));
  app.post("/change", (c) => c.text("changed"));
  app.get("/fetched", async (c) => {
    await c.var.session.accessToken();
    return fetch(c.req.query("from"));
  });
  app.get("/cookies", async (c) => {
    await c.var.session.accessToken();
    c.header("set-cookie", "theme=dark");
    c.header("cache-control", "public, max-age=60");
    c.header("vary", "accept");
    return c.text("ok");
  });
  return app;
}`;

const EXPRESS = `
import express from "express";
import { sessionOf, withSession } from "gatepass/express";
export function make(sessions) {
  const app = express();
  app.get("/health", (_, response) => response.send("ok"));
  app.use(withSession(sessions));
  app.get("/me", (request, response) => response.json(sessionOf(request).user.sub));
  app.get("/token", async (request, response) => {
    const token = await sessionOf(request).accessToken();
    response.cookie("other", "1").send(token);
  });
  app.post("/change", (_, response) => response.send("changed"));
  app.get("/written", async (request, response) => {
    await sessionOf(request).accessToken();
    response.setHeader("x-before", "old");
    try {
      response.writeHead(200, { "x-before": undefined });
    } catch {
      // Node takes no such header, and the next one counts.
    }
    response.writeHead(...JSON.parse(request.query.given).map((each) => each ?? undefined));
    response.end("written");
  });
  return app;
}`;

let load;
before(() => {
  const project = installExample("cookie-sessions", ["hono", "express"]);
  load = async (name, text) => {
    const file = join(project, `${name}.mjs`);
    writeFileSync(file, text);
    return import(pathToFileURL(file).href);
  };
});

async function makeSessions(provider) {
  const { createCookieSessions } = await load("backend", `export * from "gatepass/backend";`);
  const { issuer, clientId, redirectUri, fetch } = provider;
  return createCookieSessions({ issuer, clientId, redirectUri, fetch, keys: ["6".repeat(64)] });
}

async function journey(t, provider, browser) {
  assert.equal(await (await browser.fetch("/health")).text(), "ok");
  assert.equal((await browser.fetch("/me")).status, 401);
  const first = await browser.navigate("/me?x=1");
  assert.equal(first.headers.get("location"), "/login?returnTo=%2Fme%3Fx%3D1");
  const away = await browser.navigate(first.headers.get("location"));
  const callback = provider.signInAt(away.headers.get("location")).slice(APP.length);
  const back = await browser.navigate(callback, "cross-site");
  assert.equal(back.headers.get("location"), "/me?x=1");
  assert.equal(await (await browser.fetch("/me")).json(), "alice");
  assert.equal((await browser.send("/change", { method: "POST" })).status, 403);
  assert.equal((await browser.fetch("/change", { method: "POST" })).status, 200);
  // A renewal in the handler brings the browser its new cookie.
  const { now } = Date;
  t.after(() => {
    Date.now = now;
  });
  Date.now = () => now() + 280_000;
  const renewed = await browser.fetch("/token");
  assert.match(await renewed.text(), /^ey/);
  assert.ok(renewed.headers.getSetCookie().some((line) => line.startsWith("__Host-gatepass=1.")));
  assert.equal(renewed.headers.get("cache-control"), "no-store");
  assert.equal((await browser.submit("/logout")).status, 303);
  assert.equal((await browser.fetch("/me")).status, 401);
}

test("Hono signs browsers in and out", async (t) => {
  const provider = await makeProvider();
  const { make } = await load("hono-app", HONO);
  const app = make(await makeSessions(provider));
  await journey(
    t,
    provider,
    makeCookieBrowser(APP, (request) => app.fetch(request)),
  );
});

/** Signs in, and lets so much time pass before each request that the session is renewed for it. */
async function renewingAlways(t, provider, browser) {
  const away = await browser.navigate("/login");
  await browser.navigate(provider.signInAt(away.headers.get("location")), "cross-site");
  const { now } = Date;
  let passed = 0;
  t.after(() => {
    Date.now = now;
  });
  Date.now = () => now() + passed;
  return async (path) => {
    passed += 280_000;
    const renewals = provider.count("/token");
    const answer = await browser.fetch(path);
    assert.equal(provider.count("/token"), renewals + 1);
    return answer;
  };
}

/** The names of the cookies that an answer sets. */
const cookiesOf = ({ headers }) => headers.getSetCookie().map((line) => line.split("=")[0]);

test("Hono: no header of an answer takes the place of the session's", async (t) => {
  const provider = await makeProvider();
  const { make } = await load("hono-headers", HONO);
  const app = make(await makeSessions(provider));
  const browser = makeCookieBrowser(APP, (request) => app.fetch(request));
  const ask = await renewingAlways(t, provider, browser);
  const server = createServer((_, response) => {
    response.setHeader("set-cookie", "theme=dark");
    response.setHeader("cache-control", "public, max-age=60");
    response.setHeader("vary", "accept");
    response.end("ok");
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  // What was fetched cannot be changed, other answers can.
  for (const path of [`/fetched?from=http://127.0.0.1:${server.address().port}/`, "/cookies"]) {
    const answer = await ask(path);
    assert.equal(await answer.text(), "ok");
    assert.deepEqual(cookiesOf(answer), ["theme", "__Host-gatepass"]);
    assert.equal(answer.headers.get("cache-control"), "no-store");
    assert.equal(answer.headers.get("vary"), "accept, cookie");
  }
});

test("Express signs browsers in and out", async (t) => {
  const provider = await makeProvider();
  const { make } = await load("express-app", EXPRESS);
  const app = make(await makeSessions(provider));
  const server = await new Promise((resolve) => {
    const listening = app.listen(0, "127.0.0.1", () => resolve(listening));
  });
  t.after(() => server.close());
  const ask = askHttp(`http://127.0.0.1:${server.address().port}`);
  const browser = makeCookieBrowser(APP, ask);
  await journey(t, provider, browser);
  // What another middleware sets stays.
  assert.ok(browser.jar.has("other"));
});

test("Express: no header that is given to writeHead takes the place of the session's", async (t) => {
  const provider = await makeProvider();
  const { make } = await load("express-headers", EXPRESS);
  const app = make(await makeSessions(provider));
  const server = await new Promise((resolve) => {
    const listening = app.listen(0, "127.0.0.1", () => resolve(listening));
  });
  t.after(() => server.close());
  const browser = makeCookieBrowser(APP, askHttp(`http://127.0.0.1:${server.address().port}`));
  const ask = await renewingAlways(t, provider, browser);
  const lines = [
    ["Set-Cookie", "theme=dark"],
    ["set-cookie", "lang=en"],
    ["Cache-Control", "public, max-age=60"],
    ["Vary", "accept"],
    ["X-Before", "new"],
  ];
  const headers = {
    ...Object.fromEntries(lines.slice(2)),
    "Set-Cookie": ["theme=dark", "lang=en"],
  };
  const write = (given) => ask(`/written?given=${encodeURIComponent(JSON.stringify(given))}`);
  for (const given of [
    [200, headers],
    [200, "Fine", headers],
    [200, null, headers],
    [200, lines],
    [200, lines.flat()],
    [200, "Fine", lines.flat()],
  ]) {
    const answer = await write(given);
    assert.equal(await answer.text(), "written");
    assert.deepEqual(cookiesOf(answer), ["theme", "lang", "__Host-gatepass"]);
    const told = ["cache-control", "vary", "x-before"].map((name) => answer.headers.get(name));
    assert.deepEqual(told, ["no-store", "accept, cookie", "new"]);
  }
  for (const given of [[201], [201, "Made"]]) {
    const answer = await write(given);
    assert.equal(answer.status, 201);
    assert.deepEqual(cookiesOf(answer), ["__Host-gatepass"]);
    assert.equal(answer.headers.get("x-before"), "old");
  }
});
