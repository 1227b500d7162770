// What `client.fetch` owes its callers, clause by clause; fetch-scenario.mjs plays it.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { join } from "node:path";
import { before, test } from "node:test";
import { pathToFileURL } from "node:url";

import { installPackage } from "../support/installed.mjs";
import { makeProvider } from "../support/provider.mjs";
import { EXPECTED_FETCH, fetchScenario } from "./fetch-scenario.mjs";

let createClient;
let played;
before(async () => {
  const { project } = installPackage("fetch");
  const entry = join(project, "node_modules/gatepass/dist/index.js");
  ({ createClient } = await import(pathToFileURL(entry).href));
  // As it crosses from another runtime.
  played = JSON.parse(JSON.stringify(await fetchScenario(createClient, makeProvider)));
});

const CLAUSES = {
  "rfr_14 rfr_15 the token goes to the listed origins, and to none that look like them": [
    "allowed",
    "others",
  ],
  "rfr_14 a redirect takes the token along within its origin, and not beyond": [
    "redirectWithin",
    "redirectAway",
    "redirectAwayAndBack",
    "redirectBody",
    "redirectLoop",
  ],
  "a redirect that is followed shows, and leads to HTTP alone": ["redirected", "redirectScheme"],
  "what is given up before it begins is not sent": ["abortedBefore"],
  "a refusal by somebody who never saw the token is handed on": [
    "redirectRefused",
    "redirectForbidden",
  ],
  "rfr_16 an Authorization header of the program's stays": ["ownHeader"],
  "S3-09 rfr_09 a token that is not good any more is renewed and the request sent once more": [
    "renewed",
    "renewedSent",
    "stays401",
  ],
  "S3-09 rfr_10 a refusal that says nothing of a token renews nothing": [
    "noChallenge",
    "otherScheme",
  ],
  "S3-09 rfr_11 a body that can be sent once is sent once": ["stream", "requestObject"],
  "S3-09 a token that somebody renewed meanwhile is not renewed again": ["late"],
  "S3-09 rfr_01 fifty refusals together make one renewal": ["fifty"],
  "S3-09 rfr_13 what renewing cannot help is a typed error and no loop": [
    "scope",
    "stepUp",
    "forbidden",
  ],
  "without a session nothing is sent to the API, and everything elsewhere": [
    "signedOut",
    "signedOutElsewhere",
  ],
};

for (const [clause, cases] of Object.entries(CLAUSES)) {
  test(clause, () => {
    for (const name of cases) assert.deepEqual(played[name], EXPECTED_FETCH[name], name);
  });
}

test("every case belongs to a clause", () => {
  assert.deepEqual(Object.values(CLAUSES).flat().sort(), Object.keys(EXPECTED_FETCH).sort());
});

const API = "https://api.example";

/** Somebody who signed in at a provider with these options; the API answers as `behave` says. */
async function signedIn(options, behave) {
  const provider = await makeProvider(options);
  const { issuer, clientId, redirectUri } = provider;
  const client = await createClient({
    issuer,
    clientId,
    redirectUri,
    allowedOrigins: API,
    fetch: (input, init) =>
      typeof input === "string" ? provider.fetch(input, init) : behave(input, init),
  });
  await client.handleCallback(provider.signInAt(await client.signInUrl()));
  return { provider, client };
}

const nap = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const refused = () =>
  new Response("no", {
    status: 401,
    headers: { "www-authenticate": 'Bearer error="invalid_token"' },
  });

for (const [when, expiresIn, wait] of [
  ["before the request, because the old one is over", 1, 1100],
  ["after the API refused the old one", 300, 0],
]) {
  test(`a signal is heard while the token is renewed ${when}, and the renewal goes on`, async () => {
    let gate;
    let open;
    let calls = 0;
    const { provider, client } = await signedIn(
      { expiresIn, answer: (url) => (url.endsWith("/token") ? gate : undefined) },
      () => (calls++, refused()),
    );
    const before = await client.accessToken();
    await nap(wait);
    gate = new Promise((resolve) => (open = resolve));
    const end = new AbortController();
    const reason = new RangeError("given up");
    const asked = client.fetch(API, { signal: end.signal });
    while (provider.count("/token") < 2) await nap(1);
    end.abort(reason);
    await assert.rejects(asked, (thrown) => thrown === reason);
    assert.equal(calls, wait === 0 ? 1 : 0);
    // Shares the renewal.
    const renewed = client.refresh();
    open();
    await renewed;
    assert.notEqual(await client.accessToken(), before);
    assert.equal(provider.count("/token"), 2);
  });
}

test("a renewal that fails after everybody gave up is nobody's unhandled rejection", async (t) => {
  const unhandled = [];
  const hear = (thrown) => void unhandled.push(thrown);
  process.on("unhandledRejection", hear);
  t.after(() => process.off("unhandledRejection", hear));
  let gate;
  let open;
  const { provider, client } = await signedIn(
    { answer: (url) => (url.endsWith("/token") ? gate : undefined) },
    refused,
  );
  gate = new Promise((resolve) => {
    open = () => resolve(Response.json({ error: "invalid_grant" }, { status: 400 }));
  });
  const end = new AbortController();
  const asked = client.fetch(API, { signal: end.signal });
  while (provider.count("/token") < 2) await nap(1);
  end.abort();
  await assert.rejects(asked, { name: "AbortError" });
  open();
  while (client.state().signedIn) await nap(1);
  await nap(20);
  assert.deepEqual(unhandled, []);
});

test("what the runtime alone knows of a request goes along on each hop and once more", async (t) => {
  let isRefusing = false;
  const server = createServer(({ url }, response) => {
    if (url === "/first") return response.writeHead(302, { location: "/next" }).end();
    const challenge = { "www-authenticate": 'Bearer error="invalid_token"' };
    response.writeHead(isRefusing ? 401 : 200, isRefusing ? challenge : {}).end("fine");
    isRefusing = false;
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const origin = `http://127.0.0.1:${server.address().port}`;
  const provider = await makeProvider();
  const { issuer, clientId, redirectUri } = provider;
  const client = await createClient({
    issuer,
    clientId,
    redirectUri,
    allowedOrigins: origin,
    dangerouslyAllowHttpLoopback: true,
    fetch: (input, init) =>
      typeof input === "string" ? provider.fetch(input, init) : fetch(input, init),
  });
  await client.handleCallback(provider.signInAt(await client.signInUrl()));
  // Whatever the runtime sends by itself, so that there is a dispatcher.
  await (await fetch(origin)).text();
  isRefusing = true;
  const all = globalThis[Symbol.for("undici.globalDispatcher.1")];
  const seen = [];
  const dispatcher = {
    dispatch: (options, handler) => (seen.push(options.path), all.dispatch(options, handler)),
  };
  const response = await client.fetch(`${origin}/first`, { dispatcher });
  assert.deepEqual([response.status, await response.text()], [200, "fine"]);
  assert.deepEqual(seen, ["/first", "/next", "/first", "/next"]);
  assert.deepEqual([response.redirected, response.url], [true, `${origin}/next`]);
  // A request without more is sent as it was.
  const request = new Request(`${origin}/first`, { headers: { "x-own": "a" } });
  assert.equal((await client.fetch(request)).status, 200);
});
