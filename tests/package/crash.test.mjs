// What follows a panic, a trap or the end of memory: the call fails with an error that one can catch,
// what was under way with it, and the next call works. The wasm of the package is altered for that,
// because nothing that comes from outside makes it panic.

import assert from "node:assert/strict";
import { cpSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";

import { installPackage } from "../support/installed.mjs";
import { PANICS_AT_ONCE, PANICS_LATER, panicking } from "../support/panicking.mjs";
import { makeProvider } from "../support/provider.mjs";

let dist;
const unhandled = [];
const note = (error) => unhandled.push(error);
before(() => {
  const { project } = installPackage("crash");
  dist = join(project, "node_modules/gatepass/dist");
  process.on("unhandledRejection", note);
  process.on("uncaughtException", note);
});
after(() => {
  process.off("unhandledRejection", note);
  process.off("uncaughtException", note);
});

/** The package once more, with an engine of its own, whose module is this one. */
let copies = 0;
async function entryWith(wasm) {
  const copy = `${dist}-${copies++}`;
  cpSync(dist, copy, { recursive: true });
  const entry = await import(pathToFileURL(join(copy, "guard.slim.js")).href);
  await entry.init(wasm);
  return entry;
}

/** The package's module with a way to make it panic: (result, guard, token, its length, ...) */
const altered = () =>
  panicking(readFileSync(join(dist, "wasm/guard.wasm")), {
    guard_verify: { param: 3 },
    guard_check: { param: 3, more: "Bearer " },
  });

/** The package's module with so many pages of memory more than it begins with, and no others. */
function bounded(more) {
  const wasm = readFileSync(join(dist, "wasm/guard.wasm"));
  const number = (at) => {
    let [value, shift, byte] = [0, 0, 0];
    do {
      byte = wasm[at++];
      value |= (byte & 127) << shift;
      shift += 7;
    } while (byte & 128);
    return [value, at];
  };
  const written = (value) => {
    const bytes = [];
    for (; value > 127; value >>>= 7) bytes.push((value & 127) | 128);
    return [...bytes, value];
  };
  let at = 8;
  while (wasm[at] !== 5) {
    const [size, from] = number(at + 1);
    at = from + size;
  }
  const [size, from] = number(at + 1);
  const [pages] = number(from + 2);
  const section = [1, 1, ...written(pages), ...written(pages + more)];
  return Buffer.concat([
    wasm.subarray(0, at),
    Uint8Array.from([5, ...written(section.length), ...section]),
    wasm.subarray(from + size),
  ]);
}

const codeOf = (promise) =>
  promise.then(
    () => "accepted",
    (error) => `${error.name} ${error.code} ${error.retryable}`,
  );
const CRASHED = "GatepassError internal_error true";
const bearer = (token) => ({ headers: new Headers({ authorization: `Bearer ${token}` }) });
const settle = () => new Promise((resolve) => setTimeout(resolve, 20));

test("wsm_05 wsm_06 a panic costs one request, and the next one on the same isolate is answered", async () => {
  const { createGuard } = await entryWith(altered());
  const provider = await makeProvider();
  const { issuer, audience, fetch } = provider;
  const guard = await createGuard({ issuer, audience, fetch });
  const token = await provider.accessToken();
  assert.ok((await guard.check(bearer(token))).principal);

  const { refusal, response } = await guard.check(bearer(PANICS_AT_ONCE));
  assert.equal(refusal.code, "internal_error");
  assert.deepEqual([response.status, response.headers.get("retry-after")], [503, "1"]);
  assert.equal(response.headers.get("www-authenticate"), null);

  assert.equal((await guard.check(bearer(token))).principal.subject, "alice");
  assert.equal(await codeOf(guard.verify(PANICS_AT_ONCE)), CRASHED);
  assert.equal((await guard.verify(token)).subject, "alice");
  // A bad token is one, before and after.
  assert.equal((await guard.check(bearer("x".repeat(9)))).refusal.code, "token_malformed");
  assert.equal(provider.count("/jwks"), 3);
  assert.deepEqual(unhandled, []);
});

test("wsm_06 at the edge the next instance is made at once, from the module that is there", async () => {
  const copy = `${dist}-${copies++}`;
  cpSync(dist, copy, { recursive: true });
  const part = (file) => import(pathToFileURL(join(copy, file)).href);
  const { guardEngine } = await part("load/guard.js");
  const { edge } = await part("load/edge.js");
  const { createGuard } = await part("lib/guard.js");
  guardEngine.configure(edge(new WebAssembly.Module(altered())));
  const provider = await makeProvider();
  const { issuer, audience, fetch } = provider;
  const guard = await createGuard({ issuer, audience, fetch });
  const token = await provider.accessToken();
  assert.equal((await guard.verify(token)).subject, "alice");
  assert.equal(await codeOf(guard.verify(PANICS_AT_ONCE)), CRASHED);
  // Also what cannot wait is answered by the next one.
  assert.equal(guard.tally().accepted, 0);
  assert.equal((await guard.verify(token)).subject, "alice");
  assert.equal(guard.tally().accepted, 1);
});

test("wsm_06 every guard of a module goes on after a trap in one of them", async () => {
  const { createGuard } = await entryWith(altered());
  const [one, other] = await Promise.all([makeProvider(), makeProvider()]);
  const guards = [];
  for (const { issuer, audience, fetch } of [one, other]) {
    guards.push(await createGuard({ issuer, audience, fetch }));
  }
  const token = await other.accessToken();
  assert.equal((await guards[1].verify(token)).subject, "alice");
  assert.equal(await codeOf(guards[0].verify(PANICS_AT_ONCE)), CRASHED);
  assert.equal((await guards[1].verify(token)).subject, "alice");
  assert.equal(guards[1].tally().accepted, 1);
  guards[1].dispose();
  guards[0].dispose();
  assert.equal(await codeOf(guards[1].verify(token)), "GatepassError flow_misused false");
});

test("wsm_06 what was under way fails with the same error and waits for nothing", async () => {
  const { createGuard } = await entryWith(altered());
  let answer;
  const slow = new Promise((resolve) => (answer = resolve));
  let isSlow = true;
  const provider = await makeProvider({ answer: () => (isSlow ? slow : undefined) });
  const { issuer, audience, fetch } = provider;
  const guard = await createGuard({ issuer, audience, fetch });
  const token = await provider.accessToken();
  const under = [codeOf(guard.verify(token)), codeOf(guard.verify(token))];
  await settle();
  assert.equal(await codeOf(guard.verify(PANICS_AT_ONCE)), CRASHED);
  assert.deepEqual(await Promise.all(under), [CRASHED, CRASHED]);
  isSlow = false;
  assert.equal((await guard.verify(token)).subject, "alice");
  // What the dead instance waited for comes all the same.
  answer();
  await settle();
  assert.equal((await guard.verify(token)).subject, "alice");
  assert.deepEqual(unhandled, []);
});

test("wsm_05 a panic in what the host calls back fails the call that waited, and nothing else", async () => {
  const { createGuard } = await entryWith(altered());
  const provider = await makeProvider();
  const { issuer, audience, fetch } = provider;
  const guard = await createGuard({ issuer, audience, fetch });
  const waits = codeOf(guard.verify(await provider.accessToken()));
  assert.equal(await codeOf(guard.verify(PANICS_LATER)), "GatepassError token_malformed false");
  assert.equal(await waits, CRASHED);
  assert.equal((await guard.verify(await provider.accessToken())).subject, "alice");
  await settle();
  assert.deepEqual(unhandled, []);
});

test("wsm_07 wsm_09 an answer that memory has no room for fails its call, and leaves nothing locked", async () => {
  const { createGuard } = await entryWith(bounded(6));
  const provider = await makeProvider();
  const { issuer, audience } = provider;
  let isLarge = true;
  const fetch = async (...args) => {
    const response = await provider.fetch(...args);
    if (!isLarge || !String(args[0]).includes("openid-configuration")) return response;
    // As many values as there is no room for while the guard itself is borrowed.
    const more = Array.from({ length: 40_000 }, (_, index) => index);
    return Response.json({ ...(await response.json()), more });
  };
  const guard = await createGuard({ issuer, audience, fetch });
  const token = await provider.accessToken();
  assert.equal(await codeOf(guard.verify(token)), CRASHED);
  isLarge = false;
  assert.equal((await guard.verify(token)).subject, "alice");
  assert.equal((await guard.check(bearer(token))).principal.subject, "alice");
  await settle();
  assert.deepEqual(unhandled, []);
});
