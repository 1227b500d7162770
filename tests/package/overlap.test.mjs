// What is done to one session in two pages at the same moment, over a store of one's own that compares
// before it writes. Each page is slow where a test wants it to be.

import assert from "node:assert/strict";
import { before, test } from "node:test";

import { importInstalled, installPackage } from "../support/installed.mjs";
import { makeProvider } from "../support/provider.mjs";
import { until } from "../support/until.mjs";

let createClient;
before(async () => {
  const { project } = installPackage("overlap");
  ({ createClient } = await importInstalled(project, "gatepass"));
});

const nap = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const codeOf = (promise) =>
  promise.then(
    () => "no error",
    ({ code }) => code,
  );

async function world({ nameless, ...more } = {}) {
  let subject = "alice";
  const provider = await makeProvider({
    // Who signs in, or whose session is renewed, when the token is asked for.
    idToken: {
      get sub() {
        return subject;
      },
    },
    ...more,
  });
  const kept = new Map();
  const logins = new Map();
  const slowly = { claim: 0 };
  const transactionStore = {
    get: async (key) => {
      const text = logins.get(key);
      await nap(slowly.claim);
      return text;
    },
    set: async (key, text) => void logins.set(key, text),
  };
  const events = [];
  /** A page: its client, and how it is slowed down. */
  const page = async (name, options = {}) => {
    const slow = { look: 0, write: 0, token: undefined, brought: undefined };
    const isThere = (key, expected) =>
      expected === undefined || (kept.get(key) ?? null) === (expected || null);
    const store = {
      get: async (key) => {
        const text = kept.get(key);
        await nap(slow.look);
        return text;
      },
      set: async (key, text, expected) => {
        await nap(slow.write);
        return isThere(key, expected) && void kept.set(key, text);
      },
      remove: async (key, expected) => isThere(key, expected) && void kept.delete(key),
    };
    const client = await createClient({
      issuer: provider.issuer,
      clientId: provider.clientId,
      redirectUri: provider.redirectUri,
      store,
      transactionStore,
      allowedOrigins: "https://api.example",
      ...options,
      fetch: async (input, init) => {
        const url = typeof input === "string" ? input : input.url;
        if (slow.api && url.startsWith("https://api.example/")) {
          return slow.api(input.headers.get("authorization")?.split(" ")[1]);
        }
        const isHeld = url.endsWith("/token");
        if (isHeld) await slow.request?.();
        let answer = await provider.fetch(url, init);
        if (nameless && isHeld) {
          const { id_token: _, ...tokens } = await answer.json();
          answer = Response.json(tokens, { status: answer.status });
        }
        if (isHeld && slow.token) {
          slow.brought = await answer.clone().json();
          await slow.token;
        }
        return answer;
      },
      onEvent: ({ type }) => {
        if (type !== "request" && type !== "checked") events.push(`${name} ${type}`);
      },
    });
    /** The next answers of the token endpoint come when this is called. */
    const holdTokens = () => {
      let goOn;
      slow.token = new Promise((resolve) => (goOn = resolve));
      return () => {
        slow.token = undefined;
        goOn();
      };
    };
    const whileLooking = () => {
      slow.look = 60;
      const call = codeOf(client.accessToken());
      slow.look = 0;
      return call;
    };
    const asked = () => until("the token endpoint was asked", () => slow.brought);
    const signIn = async (options) =>
      client.handleCallback(provider.signInAt(await client.signInUrl(options)));
    return { client, slow, holdTokens, whileLooking, asked, signIn };
  };
  const revoked = () =>
    provider.requests
      .filter(({ url }) => url.endsWith("/revoke"))
      .map(({ init }) => new URLSearchParams(init.body).get("token"));
  const stored = () => [...kept.values()].filter((text) => text !== "");
  const become = (name) => void (subject = name);
  const tokensOf = ({ access_token, refresh_token }) => [refresh_token, access_token];
  return { provider, page, events, revoked, slowly, stored, become, tokensOf };
}

test("a look that is under way does not undo a sign-out, and what it would have brought back ends", async () => {
  const { page, events, revoked, stored, tokensOf } = await world();
  const a = await page("A");
  await a.signIn();
  const b = await page("B");
  const goOn = b.holdTokens();
  const renewed = b.client.refresh();
  await b.asked();
  goOn();
  await renewed;
  const call = a.whileLooking();
  await a.client.signOutUrl();
  assert.equal(await call, "login_required");
  assert.deepEqual([a.client.state().signedIn, stored()], [false, []]);
  for (const token of tokensOf(b.slow.brought)) assert.ok(revoked().includes(token));
  assert.ok(!events.includes("A session_changed"), events.join());
  assert.equal(await codeOf(b.client.accessToken()), "login_required");
});

for (const [what, act] of [
  ["renews the session", ({ client }) => client.refresh()],
  ["signs out", ({ client }) => client.signOutUrl()],
]) {
  test(`a sign-in that is completed while another page ${what} is the one that counts`, async () => {
    const { page, stored, become } = await world({ forgives: () => true });
    const a = await page("A");
    await a.signIn();
    const b = await page("B");
    await b.client.accessToken();
    let goOn;
    b.slow.request = () => new Promise((resolve) => (goOn = resolve));
    const signedIn = b.signIn({ prompt: "login" });
    await until("the code is on its way", () => goOn);
    await act(a);
    const call = b.whileLooking();
    become("bob");
    goOn();
    assert.equal((await signedIn).user.sub, "bob");
    await call;
    assert.equal(b.client.user().sub, "bob");
    assert.equal(JSON.parse(stored()[0]).user.sub, "bob");
  });
}

test("what was begun for one user does not go on as another", async () => {
  for (const where of ["in another page", "in this page"]) {
    const { page, become } = await world();
    const a = await page("A");
    await a.signIn();
    const tokens = [];
    let refuse;
    a.slow.api = (token) => {
      tokens.push(token);
      return new Promise((resolve) => {
        const headers = { "www-authenticate": 'Bearer error="invalid_token"' };
        refuse = () => resolve(new Response("", { status: 401, headers }));
      });
    };
    const posted = a.client.fetch("https://api.example/drafts", {
      method: "POST",
      body: "of alice",
    });
    await until("the request is under way", () => refuse);
    const other = where === "in this page" ? a : await page("B");
    await other.client.signOutUrl();
    become("bob");
    await other.signIn();
    refuse();
    assert.equal((await posted).status, 401, where);
    assert.equal(tokens.length, 1, "and is not sent as bob");
    // The next one is Bob's.
    a.slow.api = () => new Response("ok");
    const next = () => a.client.fetch("https://api.example/drafts");
    assert.equal((await next()).status, 200);
    assert.equal(a.client.user().sub, "bob");
  }
});

test("without ID tokens it is the sign-in that tells one user from another", async () => {
  const { page, provider } = await world({ nameless: true });
  const a = await page("A", { scope: "read" });
  const sent = [];
  let refuse;
  a.slow.api = (token) => {
    sent.push(token);
    return new Promise((resolve) => {
      const headers = { "www-authenticate": 'Bearer error="invalid_token"' };
      refuse = () => resolve(new Response("", { status: 401, headers }));
    });
  };
  await a.signIn();
  const post = () =>
    a.client.fetch("https://api.example/drafts", { method: "POST", body: "a draft" });
  const posted = post();
  await until("the request is under way", () => refuse);
  const b = await page("B", { scope: "read" });
  await b.client.signOutUrl();
  await b.signIn();
  refuse();
  assert.equal((await posted).status, 401);
  assert.equal(sent.length, 1);
  // A renewal of the same session by another page goes on.
  refuse = undefined;
  a.slow.api = (token) => {
    sent.push(token);
    const isFirst = sent.length === 2;
    const headers = { "www-authenticate": 'Bearer error="invalid_token"' };
    return new Response("", isFirst ? { status: 401, headers } : {});
  };
  await a.client.accessToken();
  assert.equal((await post()).status, 200);
  assert.equal(sent.length, 3);
  assert.ok(provider.isAlive());
});

test("a request that waits for a renewal is not sent with the token of whoever signed in meanwhile", async () => {
  const { page, become } = await world({ expiresIn: 1 });
  const a = await page("A");
  await a.signIn();
  const sent = [];
  a.slow.api = (token) => {
    sent.push(token);
    return new Response("ok");
  };
  let goOn;
  a.slow.request = () => new Promise((resolve) => (goOn = resolve));
  await nap(700);
  const draft = { method: "POST", body: "of alice" };
  const calls = [
    codeOf(a.client.fetch("https://api.example/drafts", draft)),
    codeOf(a.client.accessToken()),
    codeOf(a.client.userinfo()),
  ];
  await until("the renewal is under way", () => goOn);
  a.slow.request = undefined;
  const left = a.client.signOutUrl();
  become("bob");
  await a.signIn();
  goOn();
  await left;
  assert.deepEqual(await Promise.all(calls), Array(3).fill("login_required"));
  assert.deepEqual(sent, []);
  assert.equal(a.client.user().sub, "bob");
});

test("a question about the user goes on where the session is renewed meanwhile, or begun anew by its user", async () => {
  for (const change of ["renewed in another page", "begun anew", "somebody else's"]) {
    let goOn;
    let isHeld = false;
    const hold = async (url) => {
      if (isHeld && url.endsWith("/me")) await new Promise((resolve) => (goOn = resolve));
    };
    const { page, become } = await world({ answer: hold });
    const a = await page("A");
    await a.signIn();
    isHeld = true;
    const asked = a.client.userinfo().then(
      ({ sub }) => sub,
      ({ code }) => code,
    );
    await until("it is asked", () => goOn);
    isHeld = false;
    if (change === "renewed in another page") {
      const b = await page("B");
      await b.client.refresh();
      await a.client.accessToken();
    } else {
      if (change === "somebody else's") become("bob");
      await a.signIn();
    }
    goOn();
    const expected = change === "somebody else's" ? "login_required" : "alice";
    assert.equal(await asked, expected, change);
  }
});

test("a renewal that its user's new sign-in overtakes is none that failed", async () => {
  const { page, events } = await world();
  const a = await page("A");
  await a.signIn();
  const old = await a.client.accessToken();
  const sent = [];
  a.slow.api = (token) => {
    sent.push(token);
    const headers = { "www-authenticate": 'Bearer error="invalid_token"' };
    return new Response("", token === old ? { status: 401, headers } : {});
  };
  let goOn;
  a.slow.request = () => new Promise((resolve) => (goOn = resolve));
  const asked = a.client.fetch("https://api.example/drafts");
  await until("the renewal is under way", () => goOn);
  a.slow.request = undefined;
  const renewed = codeOf(a.client.refresh());
  await a.signIn({ prompt: "login" });
  goOn();
  assert.equal((await asked).status, 200);
  assert.equal(await renewed, "no error");
  assert.equal(sent.length, 2);
  assert.ok(!events.includes("A refresh_failed"), events.join());
});

test("the token goes along on a redirect during which its user signs in anew, and another one's does not", async () => {
  for (const who of ["alice", "bob"]) {
    const { page, become } = await world();
    const a = await page("A", {});
    await a.signIn();
    const shown = [];
    a.slow.api = async (token) => {
      shown.push(token);
      if (shown.length > 1) return new Response("ok");
      become(who);
      await nap(5);
      await a.signIn();
      return new Response("", { status: 302, headers: { location: "/next" } });
    };
    const { status } = await a.client.fetch("https://api.example/drafts");
    assert.equal(status, 200);
    assert.equal(shown.length, 2);
    assert.equal(shown[1] !== undefined, who === "alice", who);
  }
});

test("tokens that a renewal brings during the look that hears of a sign-out end", async () => {
  const { page, events, revoked, tokensOf } = await world();
  const a = await page("A");
  await a.signIn();
  const b = await page("B");
  await b.client.accessToken();
  const goOn = b.holdTokens();
  const renewed = codeOf(b.client.refresh());
  await b.asked();
  await a.client.signOutUrl();
  const call = b.whileLooking();
  goOn();
  assert.equal(await renewed, "login_required");
  await call;
  for (const token of tokensOf(b.slow.brought)) assert.ok(revoked().includes(token));
  assert.ok(!events.includes("B refreshed"), events.join());
});

test("a sign-in whose code is being exchanged comes to nothing when its user signs out", async () => {
  const { page, events, revoked, stored, tokensOf } = await world();
  const { client, slow, holdTokens, asked, signIn } = await page("A");
  await signIn();
  const goOn = holdTokens();
  const again = codeOf(signIn({ prompt: "login" }));
  await asked();
  await client.signOutUrl();
  goOn();
  assert.equal(await again, "login_required");
  for (const token of tokensOf(slow.brought)) assert.ok(revoked().includes(token));
  assert.deepEqual([client.state().signedIn, stored()], [false, []]);
  assert.deepEqual(events.slice(-1), ["A signed_out"]);
});

test("nor does one whose callback is only being looked up", async () => {
  const { page, provider, slowly, stored, events } = await world();
  const { client, signIn } = await page("A");
  await signIn();
  const asked = provider.count("/token");
  const callback = provider.signInAt(await client.signInUrl({ prompt: "login" }));
  slowly.claim = 60;
  const again = codeOf(client.handleCallback(callback));
  await nap(20);
  slowly.claim = 0;
  await client.signOutUrl();
  assert.equal(await again, "login_required");
  assert.equal(provider.count("/token"), asked);
  assert.deepEqual([client.state().signedIn, stored()], [false, []]);
  assert.deepEqual(events.slice(-1), ["A signed_out"]);
});

test("nor does one for which the browser still asks its user (FedCM)", async (t) => {
  const { page, stored, events } = await world();
  const { client, signIn } = await page("A");
  await signIn();
  let give;
  const credentials = {
    get: () => new Promise((resolve) => (give = () => resolve({ token: "whatever" }))),
    preventSilentAccess: async () => {},
  };
  const { navigator } = globalThis;
  t.after(() => {
    Object.defineProperty(globalThis, "navigator", { value: navigator, configurable: true });
    delete globalThis.IdentityCredential;
  });
  Object.defineProperty(globalThis, "navigator", { value: { credentials }, configurable: true });
  globalThis.IdentityCredential = class {};
  const again = codeOf(client.signInFedCm({ configUrl: "https://as.example/fedcm.json" }));
  await until("the browser asks", () => give);
  await client.signOutUrl();
  give();
  assert.equal(await again, "login_required");
  assert.deepEqual([client.state().signedIn, stored()], [false, []]);
  assert.deepEqual(events.slice(-1), ["A signed_out"]);
});

test("a sign-in that is begun because of a sign-out, or behind it, is not taken along", async () => {
  const { page, provider } = await world();
  const { client, signIn } = await page("A");
  for (const begin of [
    async () => {
      let url;
      const off = client.on("signed_out", () => (url = client.signInUrl()));
      await client.signOutUrl();
      off();
      return url;
    },
    async () => {
      const leaving = client.signOutUrl();
      const url = await client.signInUrl();
      await leaving;
      return url;
    },
  ]) {
    await signIn();
    const callback = provider.signInAt(await begin());
    assert.equal((await client.handleCallback(callback)).user.sub, "alice");
  }
});

test("a renewed access token goes to nobody before it is stored", async () => {
  const { page, stored } = await world({ expiresIn: 300 });
  const a = await page("A");
  await a.signIn();
  const old = await a.client.accessToken();
  const goOn = a.holdTokens();
  const renewed = a.client.refresh();
  await a.asked();
  const sent = [];
  a.slow.api = (token) => {
    sent.push([token === old, stored().some((text) => text.includes(token))]);
    if (token !== old) return new Response("fine");
    // The provider's answer comes while this page looks whether somebody has renewed the session.
    a.slow.look = 60;
    a.slow.write = 60;
    setTimeout(goOn, 20);
    const headers = { "www-authenticate": 'Bearer error="invalid_token"' };
    return new Response("", { status: 401, headers });
  };
  assert.equal((await a.client.fetch("https://api.example/x")).status, 200);
  await renewed;
  assert.deepEqual(sent, [
    [true, true],
    [false, true],
  ]);
});

test("a sign-in that begins while another one is completed leaves it its key", async () => {
  const { page, provider } = await world({ dpop: {} });
  const { client, holdTokens, asked } = await page("A", { dpop: true });
  const callback = provider.signInAt(await client.signInUrl());
  const goOn = holdTokens();
  const signedIn = client.handleCallback(callback);
  await asked();
  const { exportKey } = crypto.subtle;
  crypto.subtle.exportKey = async (...key) => {
    await nap(20);
    return exportKey.apply(crypto.subtle, key);
  };
  try {
    const next = client.signInUrl();
    await nap(5);
    goOn();
    assert.equal((await signedIn).user.sub, "alice");
    await next;
  } finally {
    delete crypto.subtle.exportKey;
  }
  await client.refresh();
});

test("a client that is disposed of because of a sign-out ends its tokens, and takes no other along", async () => {
  const { page, revoked } = await world();
  const other = await createClient({
    issuer: "https://as.example",
    clientId: "other",
    redirectUri: "https://app.example/callback",
  });
  const { client, signIn } = await page("A");
  await signIn();
  client.on("signed_out", () => client.dispose());
  await client.signOutUrl();
  assert.equal(revoked().length, 2);
  assert.equal(other.state().signedIn, false);
  other.dispose();
});

test("a code is sent once: keys that cannot be had come before it", async () => {
  let isDown = true;
  const { page, provider } = await world({
    answer: (url) => (isDown && url.endsWith("/jwks") ? Response.error() : undefined),
  });
  const { client } = await page("A");
  const callback = provider.signInAt(await client.signInUrl());
  const { code, retryable } = await client.handleCallback(callback).catch((error) => error);
  assert.deepEqual([code, retryable], ["keys_unavailable", true]);
  assert.equal(provider.count("/token"), 0);
  isDown = false;
  const { now } = Date;
  Date.now = () => now() + 90_000;
  try {
    assert.equal((await client.handleCallback(callback)).user.sub, "alice");
  } finally {
    Date.now = now;
  }
  assert.equal(provider.count("/token"), 1);
});
