// What follows a panic in a client: the call fails, and what was under way with it; the next call meets
// a client that goes on with the session in its store, or says that there was none.

import assert from "node:assert/strict";
import { cpSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";

import { installPackage } from "../support/installed.mjs";
import { PANICS_AT_ONCE, PANICS_LATER, panicking } from "../support/panicking.mjs";
import { makeProvider } from "../support/provider.mjs";
import { logoutToken } from "./logout-scenario.mjs";

let dist;
const unhandled = [];
const note = (error) => unhandled.push(error);
before(() => {
  const { project } = installPackage("crash-client");
  dist = join(project, "node_modules/gatepass/dist");
  process.on("unhandledRejection", note);
  process.on("uncaughtException", note);
});
after(() => {
  process.off("unhandledRejection", note);
  process.off("uncaughtException", note);
});

/** The package once more, with an engine of its own, whose module was altered. */
let copies = 0;
async function entryOf(name, artefact, triggers) {
  const copy = `${dist}-${copies++}`;
  cpSync(dist, copy, { recursive: true });
  const entry = await import(pathToFileURL(join(copy, `${name}.slim.js`)).href);
  await entry.init(panicking(readFileSync(join(dist, `wasm/${artefact}.wasm`)), triggers));
  return entry;
}

// (client, method, its length, URL, its length)
const pages = () => entryOf("index", "client", { client_passFor: { param: 4 } });

const memory = () => {
  const texts = new Map();
  return {
    get: (key) => texts.get(key),
    set: (key, value) => void texts.set(key, value),
    remove: (key) => void texts.delete(key),
  };
};

/** A client at which Alice signed in, and what it told. */
async function signedIn({ createClient }, more = {}, provided = {}) {
  const provider = await makeProvider(provided);
  const { issuer, clientId, redirectUri, fetch } = provider;
  const events = [];
  const onEvent = ({ type, code }) => events.push(code === undefined ? type : `${type} ${code}`);
  const options = { issuer, clientId, redirectUri, fetch, onEvent, store: memory(), ...more };
  const client = await createClient(options);
  await client.handleCallback(provider.signInAt(await client.signInUrl()));
  return { provider, client, events };
}

const codeOf = (promise) =>
  promise.then(
    () => "accepted",
    (error) => `${error.name} ${error.code} ${error.retryable}`,
  );
const CRASHED = "GatepassError internal_error true";
const settle = () => new Promise((resolve) => setTimeout(resolve, 20));
/** An answer that comes when somebody opens the gate. */
function gate() {
  let open;
  const opened = new Promise((resolve) => (open = resolve));
  return { open: () => open(Response.json({ error: "late" }, { status: 400 })), opened };
}

test("wsm_06 a client goes on with the session in its store after a panic", async () => {
  const { provider, client, events } = await signedIn(await pages());
  const token = await client.accessToken();
  assert.equal(await codeOf(client.tokenFor(PANICS_AT_ONCE)), CRASHED);

  assert.equal(await client.accessToken(), token);
  assert.equal(client.user().sub, "alice");
  assert.equal(client.state().signedIn, true);
  assert.equal((await client.userinfo()).sub, "alice");
  await client.refresh();
  assert.notEqual(await client.accessToken(), token);
  assert.equal(provider.count("/token"), 2);
  assert.ok(!events.some((event) => event.startsWith("session_discarded")), events.join());
  // As often as it happens.
  assert.equal(await codeOf(client.tokenFor(PANICS_AT_ONCE)), CRASHED);
  assert.equal(await codeOf(client.refresh()), "accepted");
  assert.ok(await client.signOutUrl());
  assert.equal(client.state().signedIn, false);
  assert.deepEqual(unhandled, []);
});

test("wsm_06 what must be answered at once says why it cannot be, until the next one is there", async () => {
  const { client } = await signedIn(await pages());
  assert.equal(await codeOf(client.tokenFor(PANICS_AT_ONCE)), CRASHED);
  for (const ask of [() => client.user(), () => client.state()]) {
    assert.throws(ask, { name: "GatepassError", code: "internal_error", retryable: true });
  }
  // Asking has made the next one.
  await settle();
  assert.equal(client.user().sub, "alice");
});

test("wsm_06 calls of a client that are under way fail with the same error and wait for nothing", async () => {
  const { open, opened } = gate();
  let isSlow = false;
  const answer = (url) => (isSlow && url.endsWith("/token") ? opened : undefined);
  const { provider, client } = await signedIn(await pages(), {}, { answer });
  isSlow = true;
  const under = [codeOf(client.refresh()), codeOf(client.refresh())];
  await settle();
  assert.equal(await codeOf(client.tokenFor(PANICS_AT_ONCE)), CRASHED);
  assert.deepEqual(await Promise.all(under), [CRASHED, CRASHED]);
  isSlow = false;
  assert.equal(await codeOf(client.refresh()), "accepted");
  // What the dead instance waited for comes all the same, and changes nothing.
  const token = await client.accessToken();
  open();
  await settle();
  assert.equal(await client.accessToken(), token);
  assert.equal(provider.reuses(), 0);
  assert.deepEqual(unhandled, []);
});

test("wsm_05 a panic in what the host calls back fails the call of a client that waited", async () => {
  const { client } = await signedIn(await pages());
  const waits = [codeOf(client.userinfo()), codeOf(client.refresh())];
  const arms = codeOf(client.tokenFor(PANICS_LATER));
  assert.deepEqual(await Promise.all(waits), [CRASHED, CRASHED]);
  assert.equal(await arms, CRASHED);
  assert.equal((await client.userinfo()).sub, "alice");
  await settle();
  assert.deepEqual(unhandled, []);
});

test("wsm_06 a renewal that died lets go of the lock of all tabs", async (t) => {
  let held = 0;
  const locks = {
    query: async () => ({ held: [] }),
    request: async (_name, ...[, work]) => {
      held++;
      try {
        return await work({});
      } finally {
        held--;
      }
    },
  };
  const before = Object.getOwnPropertyDescriptor(globalThis, "navigator");
  Object.defineProperty(globalThis, "navigator", { value: { locks }, configurable: true });
  t.after(() => {
    if (before) Object.defineProperty(globalThis, "navigator", before);
    else delete globalThis.navigator;
  });
  const { opened } = gate();
  let isSlow = false;
  const answer = (url) => (isSlow && url.endsWith("/token") ? opened : undefined);
  const { client } = await signedIn(await pages(), {}, { answer });
  isSlow = true;
  const under = codeOf(client.refresh());
  await settle();
  assert.equal(held, 1);
  assert.equal(await codeOf(client.tokenFor(PANICS_AT_ONCE)), CRASHED);
  assert.equal(await under, CRASHED);
  await settle();
  assert.equal(held, 0);
  isSlow = false;
  assert.equal(await codeOf(client.refresh()), "accepted");
});

test("wsm_06 a session in memory is lost with its instance, and the program is told once", async () => {
  const entry = await pages();
  const { provider, client, events } = await signedIn(entry, { store: "memory" });
  const begun = await client.signInUrl();
  assert.equal(await codeOf(client.tokenFor(PANICS_AT_ONCE)), CRASHED);
  assert.equal(await codeOf(client.accessToken()), "GatepassError login_required false");
  assert.equal(client.user(), null);
  const told = events.filter((event) => event.startsWith("session_discarded"));
  assert.deepEqual(told, ["session_discarded internal_error"]);

  // A sign-in that waits is kept elsewhere.
  await client.handleCallback(provider.signInAt(begun));
  assert.equal(client.user().sub, "alice");
  await client.signOutUrl();
  assert.equal(await codeOf(client.tokenFor(PANICS_AT_ONCE)), CRASHED);
  assert.equal(await codeOf(client.accessToken()), "GatepassError login_required false");
  assert.equal(events.filter((event) => event.startsWith("session_discarded")).length, 1);
});

test("wsm_06 every client of a module goes on, and one that was disposed of stays so", async () => {
  const entry = await pages();
  const [one, other] = await Promise.all([signedIn(entry), signedIn(entry)]);
  assert.equal(await codeOf(one.client.tokenFor(PANICS_AT_ONCE)), CRASHED);
  assert.equal(await codeOf(other.client.accessToken()), "accepted");
  assert.equal(await codeOf(one.client.accessToken()), "accepted");
  assert.equal(await codeOf(one.client.tokenFor(PANICS_AT_ONCE)), CRASHED);
  one.client.dispose();
  other.client.dispose();
  for (const { client } of [one, other]) {
    assert.equal(await codeOf(client.accessToken()), "GatepassError flow_misused false");
    assert.throws(() => client.user(), { code: "flow_misused" });
  }
  assert.deepEqual(unhandled, []);
});

test("wsm_06 tokens that are bound to a key are bound to the same one after a panic", async () => {
  const entry = await pages();
  const { provider, client } = await signedIn(entry, { dpop: true }, { dpop: {} });
  assert.equal(await codeOf(client.tokenFor(PANICS_AT_ONCE)), CRASHED);
  await client.refresh();
  assert.equal(client.user().sub, "alice");
  assert.equal(provider.count("/token"), 2);
});

test("wsm_06 a receiver of logout tokens goes on after a panic", async () => {
  const { createLogoutReceiver } = await entryOf("backend", "backend", {
    logoutreceiver_checkToken: { param: 2 },
  });
  const provider = await makeProvider();
  const { issuer, clientId, fetch } = provider;
  const receiver = await createLogoutReceiver({ issuer, clientId, fetch });
  assert.equal((await receiver.checkLogoutToken(await logoutToken(provider))).sub, "alice");
  assert.equal(await codeOf(receiver.checkLogoutToken(PANICS_AT_ONCE)), CRASHED);
  assert.equal((await receiver.checkLogoutToken(await logoutToken(provider))).sub, "alice");
  receiver.dispose();
  const token = await logoutToken(provider);
  assert.equal(await codeOf(receiver.checkLogoutToken(token)), "GatepassError flow_misused false");
});
