// What a sign-in asks for and how its response comes back, with the installed package.

import assert from "node:assert/strict";
import { join } from "node:path";
import { before, test } from "node:test";
import { pathToFileURL } from "node:url";

import { installPackage } from "../support/installed.mjs";
import { makeProvider } from "../support/provider.mjs";

let createClient;
before(async () => {
  const { project } = installPackage("sign-in");
  const entry = join(project, "node_modules/gatepass/dist/index.js");
  ({ createClient } = await import(pathToFileURL(entry)));
});

function memory() {
  const texts = new Map();
  return { get: (key) => texts.get(key), set: (key, value) => void texts.set(key, value) };
}

async function world(more = {}, provider = {}) {
  const idp = await makeProvider(provider);
  const { issuer, clientId, redirectUri, fetch } = idp;
  const events = [];
  const client = await createClient({
    issuer,
    clientId,
    redirectUri,
    fetch,
    transactionStore: memory(),
    onEvent: (event) => events.push(event),
    ...more,
  });
  return { idp, client, events };
}

const codeOf = (promise) =>
  promise.then(
    () => "accepted",
    ({ code, at }) => (at === undefined ? code : `${code} ${at}`),
  );

/** The POST by which the browser brings the response. */
function posted(callback, more = {}) {
  const { origin, pathname, search } = new URL(callback);
  return new Request(origin + pathname, {
    method: "POST",
    body: new URLSearchParams(search),
    ...more,
  });
}

test("a response that was posted signs in once", async () => {
  const { idp, client } = await world({ responseMode: "form_post" });
  const url = await client.signInUrl({ returnTo: "/inbox" });
  assert.equal(url.searchParams.get("response_mode"), "form_post");
  const callback = idp.signInAt(url);
  const { user, returnTo } = await client.handleCallback(posted(callback));
  assert.deepEqual([user.name, returnTo], ["Alice", "/inbox"]);
  // The same again is the same result, and no second exchange.
  assert.equal((await client.handleCallback(posted(callback))).user.name, "Alice");
  assert.equal(idp.count("/token"), 1);
});

test("a POST of another type or length is refused", async () => {
  const { idp, client } = await world({ responseMode: "form_post" });
  const callback = idp.signInAt(await client.signInUrl());
  const as = (body, type) => {
    const headers = type ? { "content-type": type } : {};
    return codeOf(client.handleCallback(posted(callback, { body, headers })));
  };
  const right = String(new URL(callback).searchParams);
  const form = "application/x-www-form-urlencoded";
  assert.equal(await as(right, "text/plain"), "state_missing");
  assert.equal(await as(right, "multipart/form-data"), "state_missing");
  assert.equal(await as("", form), "state_missing");
  assert.equal(await as(`${right}&x=${"a".repeat(64 * 1024)}`, form), "param_invalid body");
  assert.equal(await as(`${right}&x=%zz`, form), "param_invalid body");
  assert.equal(await as(new Uint8Array([0xff, 0x3d, 0x31]), form), "state_missing");
  assert.equal(await codeOf(client.handleCallback(callback)), "response_mode_mismatch");
  assert.equal(idp.count("/token"), 0);
  assert.equal(await as(right, `${form.toUpperCase()}; charset=UTF-8`), "accepted");
});

test("a body without end is not read to its end", async () => {
  const { idp, client } = await world({ responseMode: "form_post" });
  const callback = idp.signInAt(await client.signInUrl());
  let pulled = 0;
  let isCancelled = false;
  const body = new ReadableStream({
    pull(controller) {
      pulled += 1024;
      controller.enqueue(new Uint8Array(1024).fill(97));
    },
    cancel() {
      isCancelled = true;
    },
  });
  const headers = { "content-type": "application/x-www-form-urlencoded" };
  const request = posted(callback, { body, headers, duplex: "half" });
  assert.equal(await codeOf(client.handleCallback(request)), "param_invalid body");
  assert.ok(isCancelled && pulled < 80 * 1024, String(pulled));
});

test("a request that is no POST is its URL", async () => {
  const { idp, client } = await world();
  const callback = idp.signInAt(await client.signInUrl());
  assert.equal(await codeOf(client.handleCallback(posted(callback))), "response_mode_mismatch");
  assert.equal((await client.handleCallback(new Request(callback))).user.name, "Alice");
});

test("a response as a JWT is for servers: here it is not asked for", async () => {
  const { idp, client } = await world();
  const callback = await idp.signCallback(idp.signInAt(await client.signInUrl()));
  assert.equal(await codeOf(client.handleCallback(callback)), "response_mode_mismatch");
  const { issuer, clientId } = idp;
  const refused = createClient({ issuer, clientId, responseMode: "jwt" });
  assert.equal(await codeOf(refused), "config_invalid responseMode");
});

test("a response in the fragment signs in", async () => {
  const { idp, client } = await world({ responseMode: "fragment" });
  const callback = idp.signInAt(await client.signInUrl());
  assert.match(callback, /#code=/);
  assert.equal((await client.handleCallback(callback)).user.name, "Alice");
});

test("a pushed request leaves two parameters in the URL", async () => {
  const { idp, client, events } = await world({ par: "require" });
  const url = await client.signInUrl({ acrValues: ["mfa"], loginHint: "alice" });
  assert.deepEqual([...url.searchParams.keys()], ["client_id", "request_uri"]);
  const pushed = events.find(({ purpose }) => purpose === "pushed_request");
  assert.ok(pushed.parameters.includes("acr_values") && pushed.parameters.includes("state"));
  assert.equal(await codeOf(client.handleCallback(idp.signInAt(url))), "acr_insufficient acr");
});

test("req_17 a long URL is told of, and a pushed one is not long", async () => {
  const told = async (par) => {
    const { client, events } = await world({ par });
    await client.signInUrl({ authorizationDetails: [{ type: "x", text: "a".repeat(9000) }] });
    return events.filter(({ type }) => type === "url_long").length;
  };
  assert.equal(await told("auto"), 1);
  assert.equal(await told("require"), 0);
});

test("what was granted in detail stands in the state", async () => {
  const granted = [{ type: "payment", amount: "1.00" }];
  let idp;
  const fetch = async (url, init) => {
    const answer = await idp.fetch(url, init);
    if (!url.endsWith("/token")) return answer;
    return Response.json({ ...(await answer.json()), authorization_details: granted });
  };
  const it = await world({ fetch });
  idp = it.idp;
  const authorizationDetails = [{ type: "payment", amount: "2.00" }];
  await it.client.handleCallback(idp.signInAt(await it.client.signInUrl({ authorizationDetails })));
  assert.deepEqual(it.client.state().authorizationDetails, granted);
});

test("req_08 without a source of randomness there is no request", async () => {
  const { client } = await world();
  const original = Object.getOwnPropertyDescriptor(globalThis, "crypto");
  Object.defineProperty(globalThis, "crypto", { value: {}, configurable: true });
  try {
    assert.equal(await codeOf(client.signInUrl()), "config_invalid crypto.getRandomValues");
  } finally {
    Object.defineProperty(globalThis, "crypto", original);
  }
});

test("brw_04 a store that fails fails the sign-in before anybody goes anywhere", async () => {
  const fail = () => {
    throw new DOMException("no", "QuotaExceededError");
  };
  for (const transactionStore of [
    { get: fail, set: () => {} },
    { get: () => null, set: fail },
    { get: () => null, set: async () => fail() },
    { get: () => 1, set: () => {} },
  ]) {
    const { client } = await world({ transactionStore });
    assert.equal(await codeOf(client.signInUrl()), "storage_unavailable");
  }
});

test("oid_35 email_verified is what the token says, and only true is true", async () => {
  for (const email_verified of [undefined, "true", 1, false, true]) {
    const { idp, client } = await world({}, { idToken: { email_verified } });
    const { user } = await client.handleCallback(idp.signInAt(await client.signInUrl()));
    assert.equal(user.email_verified === true, email_verified === true);
    assert.equal(user.email_verified, email_verified);
  }
});

test("popups and frames need a page", async () => {
  const { client } = await world();
  assert.equal(await codeOf(client.signInPopup()), "unsupported_host location");
  assert.equal(await codeOf(client.signInSilent()), "unsupported_host location");
});
