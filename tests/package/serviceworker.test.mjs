// A session in a service worker, without a browser. The worker's half: what it is asked, what it answers,
// and how long it asks the browser to let it live. The page's half: how often it handles a callback. The
// whole of it runs in tests/browser.

import assert from "node:assert/strict";
import { before, test } from "node:test";

import { importInstalled, installPackage } from "../support/installed.mjs";

let adapter;
let GatepassError;
before(async () => {
  const { project } = installPackage("serviceworker-node");
  adapter = await importInstalled(project, "gatepass/serviceworker");
  ({ GatepassError } = await importInstalled(project, "gatepass"));
});

/** Makes these the globals of one test. */
function surround(t, globals) {
  for (const [name, value] of Object.entries(globals)) {
    const before = Object.getOwnPropertyDescriptor(globalThis, name);
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
    t.after(() => {
      if (before) Object.defineProperty(globalThis, name, before);
      else delete globalThis[name];
    });
  }
}

/** A worker's surroundings, and a client of which it is known what it was asked. */
function start(t, { options = {}, client = {}, make } = {}) {
  const listeners = {};
  const told = [];
  const made = [];
  const scope = {
    addEventListener: (type, listener) => (listeners[type] = listener),
    clients: {
      claim: async () => void told.push("claim"),
      matchAll: async () => [{ postMessage: (message) => told.push(message) }],
    },
  };
  surround(t, scope);
  const create = async (given) => {
    made.push(given);
    await make?.(made.length);
    return { state: () => ({ signedIn: false }), user: () => null, ...client };
  };
  adapter.keepSession(create, {
    allowedOrigins: "https://api.example",
    clientId: "spa",
    ...options,
  });

  /** Asks as a page does; nothing comes where the worker does not know the question. */
  const ask = async (data) => {
    const answers = [];
    const works = [];
    const ports = [{ postMessage: (answer) => answers.push(answer) }];
    listeners.message({ data, ports, waitUntil: (work) => works.push(work) });
    await Promise.all(works.slice(-1));
    return { answer: answers[0], works };
  };
  const send = (request) => {
    let response;
    listeners.fetch({ request, respondWith: (given) => (response = given) });
    return response;
  };
  return { listeners, told, made, ask, send };
}

/** A page of a worker that was started, and where it went. */
async function openPage(t, { listeners }) {
  // The worker would keep the process, too.
  t.mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  const went = [];
  const stored = new Map();
  let url = new URL("https://app.example/");
  const goTo = (to) => (url = new URL(to, url));
  const location = {
    get href() {
      return url.href;
    },
    get pathname() {
      return url.pathname;
    },
    get search() {
      return url.search;
    },
    get hash() {
      return url.hash;
    },
    assign: (to) => void went.push(to),
  };
  const active = {
    postMessage: (data, ports) => listeners.message({ data, ports, waitUntil() {} }),
  };
  const container = Object.assign(new EventTarget(), { controller: active, startMessages() {} });
  let session;
  // While its surroundings are there.
  t.after(() => session?.close());
  surround(t, {
    location,
    navigator: { serviceWorker: container },
    document: new EventTarget(),
    history: { state: null, replaceState: (_state, _title, to) => void goTo(to) },
    removeEventListener() {},
    sessionStorage: {
      getItem: (key) => stored.get(key) ?? null,
      setItem: (key, value) => void stored.set(key, value),
      removeItem: (key) => void stored.delete(key),
    },
  });
  const worker = { active, scope: "https://app.example/" };
  session = await adapter.openSession({ worker });
  return { session, went, stored, goTo, location };
}

const isSettled = async (promise) => {
  const mark = {};
  return (await Promise.race([promise, Promise.resolve(mark)])) !== mark;
};

test("a reminder keeps the worker for ninety seconds, and the next one takes its place", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { ask, told } = start(t);
  const first = await ask({ gatepass: "stay" });
  assert.deepEqual(told, ["claim"]);
  t.mock.timers.tick(60_000);
  assert.equal(await isSettled(first.works[0]), false);
  const second = await ask({ gatepass: "stay" });
  await first.works[0];
  t.mock.timers.tick(60_000);
  assert.equal(await isSettled(second.works[0]), false);
  t.mock.timers.tick(30_000);
  await second.works[0];
});

test("brw_06 no question of a page is answered with a token", async (t) => {
  const client = {
    accessToken: async () => "S3CRET",
    tokenFor: async () => "S3CRET",
    refresh: async () => "S3CRET",
    signInUrl: async () => new URL("https://as.example/authorize?id_token_hint=S3CRET&state=s"),
    signOutUrl: async () => new URL("https://as.example/logout?id_token_hint=S3CRET&client_id=spa"),
  };
  const { ask } = start(t, { client });
  for (const gatepass of [
    "accessToken",
    "tokenFor",
    "refresh",
    "fetch",
    "constructor",
    "__proto__",
    "",
  ]) {
    assert.equal((await ask({ gatepass })).answer, undefined, gatepass);
  }
  for (const data of [null, "stay", 1, {}, { gatepass: 1 }, []]) {
    assert.equal((await ask(data)).answer, undefined);
  }
  for (const [gatepass, url] of [
    ["signIn", "https://as.example/authorize?state=s"],
    ["signOut", "https://as.example/logout?client_id=spa"],
  ]) {
    const { answer } = await ask({ gatepass, given: {} });
    assert.equal(answer.value, url);
    assert.doesNotMatch(JSON.stringify(answer), /S3CRET/);
  }
});

test("brw_02 session and sign-ins are in memory, whatever the program says", async (t) => {
  const { ask, made } = start(t, {
    options: { store: "local", transactionStore: { get() {}, set() {} } },
  });
  await ask({ gatepass: "user" });
  await ask({ gatepass: "state" });
  assert.equal(made.length, 1);
  assert.equal(made[0].store, "memory");
  made[0].transactionStore.set("key", "value");
  assert.equal(made[0].transactionStore.get("key"), "value");
  assert.equal(made[0].allowedOrigins, "https://api.example");
});

test("pages hear of the session and not of requests", async (t) => {
  const heard = [];
  const { ask, made, told } = start(t, { options: { onEvent: ({ type }) => heard.push(type) } });
  await ask({ gatepass: "user" });
  for (const type of ["request", "checked", "signed_in", "signed_out"]) made[0].onEvent({ type });
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(heard, ["request", "checked", "signed_in", "signed_out"]);
  assert.deepEqual(
    told.map(({ gatepass }) => gatepass.type),
    ["signed_in", "signed_out"],
  );
});

test("pages hear of the end of a session also where the program's own listener throws", async (t) => {
  const onEvent = () => {
    throw new Error("the program's");
  };
  const { ask, made, told } = start(t, { options: { onEvent } });
  await ask({ gatepass: "user" });
  for (const type of ["expired", "signed_out"]) {
    assert.throws(() => made[0].onEvent({ type }), { message: "the program's" });
  }
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(
    told.map(({ gatepass }) => gatepass.type),
    ["expired", "signed_out"],
  );
});

/** A worker whose client answers callbacks with these in turn, and notes them. */
function startWith(t, answers) {
  const asked = [];
  const answer = async (url) => {
    asked.push(url);
    const next = answers.shift();
    if (next instanceof Error) throw next;
    return next;
  };
  const client = {
    signInUrl: async () => new URL("https://as.example/authorize"),
    handleCallback: answer,
    handleSignOutCallback: answer,
  };
  return { asked, ...start(t, { client }) };
}
const failing = (code, retryable = false) =>
  new GatepassError({ code, phase: "session", retryable, hint: "h" });
const CALLBACK = "https://app.example/callback?code=c&state=s";

test("a callback is handled again after a failure that is retryable", async (t) => {
  const answers = [failing("upstream_unreachable", true), { returnTo: "/in" }, { returnTo: "/in" }];
  const worker = startWith(t, answers);
  const { session, stored, goTo, location } = await openPage(t, worker);
  await session.signIn();
  goTo(CALLBACK);
  await assert.rejects(session.handleCallback(), { code: "upstream_unreachable", retryable: true });
  assert.equal(location.href, "https://app.example/callback");
  assert.equal(stored.size, 1);
  assert.deepEqual(await session.handleCallback(), { returnTo: "/in" });
  assert.equal(stored.size, 0);
  assert.deepEqual(await session.handleCallback(), { returnTo: "/in" });
  assert.deepEqual(worker.asked, [CALLBACK, CALLBACK, CALLBACK]);
});

test("a callback that is handled twice at once gives both the same", async (t) => {
  const worker = startWith(t, [{ returnTo: "/in" }]);
  const { session, goTo } = await openPage(t, worker);
  await session.signIn();
  goTo(CALLBACK);
  const both = await Promise.all([session.handleCallback(), session.handleCallback()]);
  assert.deepEqual(both, [{ returnTo: "/in" }, { returnTo: "/in" }]);
  assert.deepEqual(worker.asked, [CALLBACK]);
});

test("a sign-in that nobody knows is begun again once, also after a failure and by two calls", async (t) => {
  const answers = [failing("internal_error", true), failing("flow_unknown")];
  const worker = startWith(t, answers);
  const { session, went, stored, goTo } = await openPage(t, worker);
  await session.signIn();
  goTo(CALLBACK);
  await assert.rejects(session.handleCallback(), { code: "internal_error" });
  const both = [session.handleCallback(), session.handleCallback()];
  for (const each of both) each.catch(assert.fail);
  while (went.length < 2) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(worker.asked, [CALLBACK, CALLBACK]);
  assert.equal(JSON.parse([...stored.values()][0]).again, true);
});

test("a failure that is not retryable is the end of a sign-in", async (t) => {
  const worker = startWith(t, [failing("server_error_response"), failing("flow_unknown")]);
  const { session, went, stored, goTo } = await openPage(t, worker);
  await session.signIn();
  goTo(CALLBACK);
  await assert.rejects(session.handleCallback(), { code: "server_error_response" });
  assert.equal(stored.size, 0);
  await assert.rejects(session.handleCallback(), { code: "flow_unknown" });
  assert.equal(went.length, 1);
});

test("a return from signing out is checked again after a failure that is retryable", async (t) => {
  const worker = startWith(t, [new TypeError("none of ours"), { returnTo: "/start" }]);
  const { session, goTo, location } = await openPage(t, worker);
  goTo("https://app.example/bye?from=as&state=s");
  await assert.rejects(session.handleSignOutCallback(), {
    code: "internal_error",
    retryable: true,
  });
  assert.equal(location.href, "https://app.example/bye?from=as");
  assert.deepEqual(await session.handleSignOutCallback(), { returnTo: "/start" });
  const url = "https://app.example/bye?from=as&state=s";
  assert.deepEqual(worker.asked, [url, url]);
});

test("what cannot be made or done is told by its code, and tried again", async (t) => {
  const wire = {
    code: "unsupported_host",
    phase: "config",
    retryable: false,
    hint: "none",
    at: "x",
  };
  const { ask, made } = start(t, {
    make: (times) => {
      if (times === 1) throw new GatepassError(wire);
    },
    client: {
      userinfo: async () => {
        throw new TypeError("S3CRET");
      },
    },
  });
  assert.deepEqual((await ask({ gatepass: "user" })).answer.error, wire);
  const { answer } = await ask({ gatepass: "user" });
  assert.deepEqual([answer.value, answer.signedIn, answer.error], [null, false, undefined]);
  assert.equal(made.length, 2);
  const { error } = (await ask({ gatepass: "userinfo" })).answer;
  assert.deepEqual([error.code, error.retryable], ["internal_error", true]);
  assert.doesNotMatch(JSON.stringify(error), /S3CRET/);
});

test("only calls to listed origins go by the worker, and its refusals have a status", async (t) => {
  let fail = failing("login_required");
  const sent = [];
  const client = {
    fetch: async (...request) => {
      sent.push(request);
      if (fail) throw fail;
      return new Response("ok");
    },
  };
  const { send } = start(t, { client });
  const request = (url, more = {}) => ({
    url,
    method: "GET",
    mode: "cors",
    destination: "",
    ...more,
  });
  for (const other of [
    request("https://other.example/"),
    request("https://api.example.evil.example/"),
    request("https://api.example:8443/"),
    request("https://api.example/", { mode: "no-cors" }),
    request("https://api.example/", { mode: "navigate", destination: "document" }),
    request("https://api.example/x.js", { destination: "script" }),
  ]) {
    assert.equal(send(other), undefined, JSON.stringify(other));
  }
  assert.deepEqual(sent, []);
  for (const [code, status] of [
    ["login_required", 401],
    ["step_up_required", 401],
    ["scope_insufficient", 403],
    ["upstream_unreachable", 503],
  ]) {
    fail = failing(code);
    const response = await send(request("https://api.example/me"));
    assert.deepEqual([response.status, response.headers.get("gatepass-error")], [status, code]);
    assert.equal((await response.json()).code, code);
  }
  // What the network says is an answer of the network.
  fail = new TypeError("network");
  assert.equal((await send(request("https://api.example/me"))).type, "error");
  fail = undefined;
  assert.equal(await (await send(request("https://api.example/me"))).text(), "ok");
});

test("where there are no service workers, opening a session is unsupported_host", async () => {
  await assert.rejects(adapter.openSession({ worker: "/worker.js" }), {
    name: "GatepassError",
    code: "unsupported_host",
    at: "serviceWorker",
  });
});

test("what is no origin is refused by its name, before anything is kept", (t) => {
  for (const allowedOrigins of [undefined, null, "", "api.example", 7, ["https://a.example", {}]]) {
    assert.throws(() => start(t, { options: { allowedOrigins } }), {
      name: "GatepassError",
      code: "config_invalid",
      at: "allowedOrigins",
    });
  }
});
