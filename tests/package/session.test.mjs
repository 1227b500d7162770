// What a session can be asked and how it ends, with the installed package in Node.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";

import { installPackage, testFile } from "../support/installed.mjs";

let project;
before(() => {
  ({ project } = installPackage("session"));
  copyFileSync(testFile("support/provider.mjs"), join(project, "provider.mjs"));
});

/** Runs a program that has a provider with these options and a client at which Alice signed in. */
function run(options, source) {
  const file = join(project, "main.mjs");
  const text = `
    import { createClient } from "gatepass";
    import { makeProvider } from "./provider.mjs";
    const provider = await makeProvider(${options});
    const { issuer, clientId, redirectUri, fetch } = provider;
    const memory = () => {
      const map = new Map();
      return {
        get: (key) => map.get(key),
        set: (key, value) => void map.set(key, value),
        remove: (key) => void map.delete(key),
        keys: () => [...map.keys()],
        text: () => [...map.values()].join(" "),
      };
    };
    const transactionStore = memory();
    const store = memory();
    const events = [];
    const make = (more) => createClient({
      issuer, clientId, redirectUri, fetch, transactionStore, store,
      onEvent: (event) => events.push(event),
      ...more,
    });
    const signIn = async (client) => client.handleCallback(provider.signInAt(await client.signInUrl()));
    const codeOf = (promise) => promise.then(
      () => "no error",
      (error) => [error.code, error.phase, error.at ?? "", error.details?.error ?? ""].join(" ").trim(),
    );
    const types = () => events.map(({ type }) => type);
    const result = await (async () => { ${source} })();
    console.log(JSON.stringify(result));
  `;
  writeFileSync(file, text);
  return JSON.parse(execFileSync(process.execPath, [file], { cwd: project, encoding: "utf8" }));
}

test("UserInfo is asked with the access token and read in both forms", () => {
  const source = `
    const client = await make();
    await signIn(client);
    const user = await client.userinfo();
    return [user.sub, user.email, client.user().email ?? null];
  `;
  const expected = ["alice", "alice@example.com", null];
  assert.deepEqual(run("{}", source), expected);
  assert.deepEqual(run("{ signsUser: true }", source), expected);
});

test("UserInfo about someone else is refused", () => {
  const result = run(
    '{ user: { sub: "mallory" } }',
    "const client = await make(); await signIn(client); return codeOf(client.userinfo());",
  );
  assert.equal(result, "claim_invalid userinfo sub");
});

test("an access token that the provider takes no more is renewed once for UserInfo", () => {
  const result = run(
    "{}",
    `
      const client = await make();
      await signIn(client);
      provider.endAccessToken();
      const user = await client.userinfo();
      const asked = [provider.count("/me"), provider.count("/token")];
      provider.endAccessToken();
      provider.revoke();
      return [user.sub, asked, await codeOf(client.userinfo()), client.state()];
    `,
  );
  assert.deepEqual(result, [
    "alice",
    [2, 2],
    "server_error_response refresh  invalid_grant",
    { signedIn: false },
  ]);
});

/** Two tabs of one session; the first falls asleep over its `nth` look into the store. */
const ASLEEP = (nth) => `
  let looks = Infinity;
  let wake;
  const sleepy = {
    ...store,
    get: (key) => {
      const found = store.get(key);
      return --looks === 0 ? new Promise((resolve) => (wake = () => resolve(found))) : found;
    },
  };
  const first = await make({ store: sleepy });
  const second = await make();
  await signIn(second);
  await first.accessToken();
  looks = ${nth};
  const slow = first.refresh();
  while (!wake) await new Promise((resolve) => setTimeout(resolve, 5));
  await second.refresh();
  const kept = store.text();
  const now = Date.now;
  Date.now = () => now() + 20_000;
  wake();
`;

test("a tab that slept between its look into the store and its request looks again", () => {
  const result = run(
    "{}",
    `${ASLEEP(1)}
      await slow;
      const same = (await first.accessToken()) === (await second.accessToken());
      return [same, provider.count("/token"), provider.reuses(), store.text() === kept];
    `,
  );
  assert.deepEqual(result, [true, 2, 0, true]);
});

test("a tab that slept before it stored its tokens does not overwrite newer ones", () => {
  const result = run(
    "{ forgives: () => true }",
    `${ASLEEP(2)}
      await slow;
      const same = (await first.accessToken()) === (await second.accessToken());
      return [same, store.text() === kept, await codeOf(first.refresh())];
    `,
  );
  assert.deepEqual(result, [true, true, "no error"]);
});

/** A store that compares before it changes something, as those that pages share should. */
const MINDFUL = `
  const minds = (change) => (...args) => {
    const expected = args.at(-1);
    return expected !== undefined && store.text() !== (expected ?? "")
      ? false
      : change(...args);
  };
  const asleep = { ...store };
  const mindful = {
    get: (key) => store.get(key),
    set: (...args) => asleep.set(...args),
    remove: (...args) => asleep.remove(...args),
  };
  asleep.set = minds(store.set);
  asleep.remove = minds(store.remove);
  const first = await make({ store: mindful });
  const second = await make();
  await signIn(second);
  await first.accessToken();
  /** Between the next look and the change that follows from it the other tab is faster. */
  const sleepsOver = (name, work = () => second.refresh()) => {
    const change = asleep[name];
    asleep[name] = async (...args) => {
      asleep[name] = change;
      await work();
      return change(...args);
    };
  };
`;

test("a store is told what must still be there, and is read again when it is not", () => {
  const result = run(
    "{ forgives: () => true }",
    `${MINDFUL}
      sleepsOver("set");
      await first.refresh();
      const same = (await first.accessToken()) === (await second.accessToken());
      return [same, provider.count("/token"), await codeOf(first.refresh())];
    `,
  );
  assert.deepEqual(result, [true, 3, "no error"]);
});

test("a refusal that comes to mind late does not end the session of a tab that was faster", () => {
  const result = run(
    `{
      answer: (url) =>
        url.endsWith("/token") && globalThis.refused-- > 0
          ? Response.json({ error: "invalid_grant" }, { status: 400 })
          : undefined,
    }`,
    `${MINDFUL}
      sleepsOver("remove");
      globalThis.refused = 1;
      await first.refresh();
      return [first.state().signedIn, await codeOf(second.refresh()), types().includes("expired")];
    `,
  );
  assert.deepEqual(result, [true, "no error", false]);
});

test("a store that always answers false keeps a session all the same", () => {
  const result = run(
    "{}",
    `
      const vague = { ...store, set: (key, value) => (store.set(key, value), false) };
      const client = await make({ store: vague });
      await signIn(client);
      await client.refresh();
      await client.refresh();
      const again = await make();
      const same = (await client.accessToken()) === (await again.accessToken());
      return [same, provider.count("/token"), types().filter((type) => type.endsWith("failed"))];
    `,
  );
  assert.deepEqual(result, [true, 3, []]);
});

test("nobody gets a new access token before the refresh token that came with it is stored", () => {
  const result = run(
    "{}",
    `
      const order = [];
      let asked;
      const nap = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
      const slow = {
        ...store,
        get: async (key) => {
          const found = store.get(key);
          await nap(100);
          return found;
        },
        set: async (key, value) => {
          await nap(100);
          store.set(key, value);
          order.push("stored");
        },
      };
      const client = await make({
        store: slow,
        fetch: async (url, init) => {
          const answer = await fetch(url, init);
          // A look that begins now ends when the answer was read.
          if (order.length > 0 && String(url).endsWith("/token")) {
            asked = client.accessToken().then((token) => order.push(token === old ? "old" : "new"));
          }
          return answer;
        },
      });
      await signIn(client);
      const old = await client.accessToken();
      await client.refresh();
      await asked;
      return order;
    `,
  );
  assert.deepEqual(result, ["stored", "stored", "new"]);
});

test("with dpop a bearer session of before is discarded, and without it a bound one", () => {
  const change = (before, after) => `
    const first = await make(${before});
    await signIn(first);
    const second = await make(${after});
    return [second.state().signedIn, types().at(-1), store.text(), await codeOf(second.refresh())];
  `;
  const bound = '{ dpop: true, allowedOrigins: "https://api.example" }';
  for (const [provider, source] of [
    ["{}", change("{}", bound)],
    ["{ dpop: {} }", change(bound, "{}")],
  ]) {
    assert.deepEqual(run(provider, source), [
      false,
      "session_discarded",
      "",
      "login_required refresh",
    ]);
  }
});

test("a session for one API is not used for another", () => {
  const result = run(
    "{}",
    `
      await signIn(await make({ resource: "https://a.example" }));
      const other = await make({ resource: "https://b.example" });
      return [other.state().signedIn, types().at(-1), store.text()];
    `,
  );
  assert.deepEqual(result, [false, "session_discarded", ""]);
});

test("where requests do not show their body a GET is sent once more all the same", () => {
  const result = run(
    "{}",
    `
      let calls = 0;
      const client = await make({
        allowedOrigins: "https://api.example",
        fetch: (input, init) => {
          if (typeof input === "string") return fetch(input, init);
          calls++;
          const challenge = { "www-authenticate": 'Bearer error="invalid_token"' };
          return new Response("", { status: 401, headers: challenge });
        },
      });
      await signIn(client);
      // As in Firefox.
      Object.defineProperty(Request.prototype, "body", { get() {} });
      await client.fetch(new Request("https://api.example/"));
      const got = calls;
      await client.fetch(new Request("https://api.example/", { method: "POST", body: "x" }));
      return [got, calls - got];
    `,
  );
  assert.deepEqual(result, [2, 1]);
});

test("a token in the store that is none is discarded, and shown to nobody", () => {
  const result = run(
    "{}",
    `
      await signIn(await make());
      const [key] = store.keys();
      store.set(key, JSON.stringify({ ...JSON.parse(store.get(key)), access_token: "S3CRET\\nb" }));
      const client = await make({ allowedOrigins: "https://api.example" });
      const error = await client.fetch("https://api.example/").catch((thrown) => thrown);
      return [client.state().signedIn, error.code, String(error).includes("S3CRET"), store.text()];
    `,
  );
  assert.deepEqual(result, [false, "login_required", false, ""]);
});

test("UserInfo without a session is an error that says so", () => {
  const result = run("{}", "return codeOf((await make()).userinfo());");
  assert.equal(result, "login_required session");
});

test("signing out empties the store first, ends both tokens and waits for the return", () => {
  const result = run(
    "{}",
    `
      const stored = [];
      const client = await make({
        postLogoutRedirectUri: "https://app.example/bye",
        fetch: (url, init) => (stored.push(store.keys().length), fetch(url, init)),
      });
      await signIn(client);
      await client.signInUrl(); // a sign-in that nobody completes
      stored.length = 0;
      const leaving = client.signOutUrl({ returnTo: "/start", logoutHint: "alice", uiLocales: "de en" });
      const atOnce = client.state().signedIn;
      const url = await leaving;
      const names = [...url.searchParams.keys()];
      const back = "https://app.example/bye?state=" + url.searchParams.get("state");
      const revoked = provider.requests
        .filter(({ url }) => url.endsWith("/revoke"))
        .map(({ init }) => new URLSearchParams(init.body).get("token_type_hint"));
      return {
        atOnce, names, revoked, stored,
        waiting: transactionStore.text().includes("verifier"),
        foreign: await codeOf(client.handleSignOutCallback("https://app.example/bye?state=x")),
        bare: await codeOf(client.handleSignOutCallback("https://app.example/bye")),
        back: await client.handleSignOutCallback(back),
        again: await codeOf(client.handleSignOutCallback(back)),
        types: types().filter((type) => type !== "request" && type !== "checked"),
      };
    `,
  );
  assert.deepEqual(result, {
    atOnce: false,
    names: [
      "id_token_hint",
      "client_id",
      "post_logout_redirect_uri",
      "state",
      "logout_hint",
      "ui_locales",
    ],
    revoked: ["refresh_token", "access_token"],
    stored: [0, 0],
    waiting: false,
    foreign: "logout_state_mismatch sign_out",
    bare: "logout_state_missing sign_out",
    back: { returnTo: "/start" },
    again: "logout_unknown sign_out",
    types: ["signed_in", "signed_out"],
  });
});

test("a revocation that fails is an event and stops nothing", () => {
  const result = run(
    '{ answer: (url) => url.endsWith("/revoke") ? new Response("", { status: 503 }) : undefined }',
    `
      const client = await make();
      await signIn(client);
      const url = await client.signOutUrl();
      const failed = events.filter(({ type }) => type === "revocation_failed");
      const quiet = await make({ store: "memory" });
      await signIn(quiet);
      const asked = provider.count("/revoke");
      await quiet.signOutUrl({ revoke: false });
      return [url.pathname, failed, client.state(), provider.count("/revoke") - asked];
    `,
  );
  const failed = [{ type: "revocation_failed", code: "upstream_status" }];
  assert.deepEqual(result, ["/logout", failed, { signedIn: false }, 0]);
});

test("options of a sign-out that are wrong end nothing", () => {
  const result = run(
    "{}",
    `
      const client = await make();
      await signIn(client);
      const codes = [
        await codeOf(client.signOutUrl({ returnTo: "//evil.example" })),
        await codeOf(client.signOutUrl({ hint: "x" })),
        await codeOf(client.signOutUrl(null)),
      ];
      return [codes, client.state().signedIn];
    `,
  );
  assert.deepEqual(result, [
    [
      "config_invalid sign_out returnTo",
      "config_invalid sign_out hint",
      "config_invalid config options",
    ],
    true,
  ]);
});

test("a page that hears late of a sign-out leaves the session alone that was stored since", () => {
  const result = run(
    "{}",
    `
      // Pages of a browser that hear of each other, one of them late.
      const channels = new Set();
      const late = [];
      let frozen;
      let last;
      globalThis.document = { visibilityState: "visible", addEventListener() {}, removeEventListener() {} };
      globalThis.addEventListener ??= () => {};
      globalThis.BroadcastChannel = class {
        constructor() {
          channels.add((last = this));
        }
        postMessage(data) {
          for (const channel of channels) {
            const tell = () => channel.onmessage?.({ data });
            if (channel === frozen) late.push(tell);
            else if (channel !== this) tell();
          }
        }
        close() {
          channels.delete(this);
        }
      };
      const quiet = { autoRefresh: false };
      const first = await make(quiet);
      await signIn(first);
      const second = await make(quiet);
      await second.accessToken();
      frozen = last;
      await first.signOutUrl();
      await signIn(first);
      for (const tell of late.splice(0)) tell();
      await new Promise((resolve) => setTimeout(resolve, 50));
      const went = [first.state().signedIn, await codeOf(second.accessToken()), store.keys().length];
      // One that hears of it in time is signed out.
      frozen = undefined;
      await first.signOutUrl();
      await new Promise((resolve) => setTimeout(resolve, 50));
      const heard = [second.state().signedIn];
      // Whatever the program's own listeners do, and whenever it disposes of the client.
      for (const [how, leave] of [
        [{ onEvent: () => { throw new Error("mine"); } }, (client) => client.signOutUrl()],
        [{}, (client) => {
          client.on("signed_out", () => client.dispose());
          return client.signOutUrl();
        }],
        [{}, (client) => {
          const leaving = client.signOutUrl();
          client.dispose();
          return leaving;
        }],
      ]) {
        // Each with a store of its own, so that it hears by the note alone.
        const [leaving, staying] = [
          await make({ ...quiet, ...how, store: "memory" }),
          await make({ ...quiet, store: "memory" }),
        ];
        await signIn(leaving);
        await signIn(staying);
        await leave(leaving);
        await new Promise((resolve) => setTimeout(resolve, 50));
        heard.push(staying.state().signedIn);
      }
      return [...went, ...heard];
    `,
  );
  assert.deepEqual(result, [true, "no error", 1, false, false, false, false]);
});

/** A fetch that keeps the answer to a renewal until it is told to go on. */
const HELD = `
  let goOn;
  let held;
  const slow = async (...args) => {
    const answer = await fetch(...args);
    if (!new URLSearchParams(args[1].body).has("refresh_token")) return answer;
    held = await answer.clone().json();
    await new Promise((resolve) => (goOn = resolve));
    return answer;
  };
  const ended = () => provider.requests
    .filter(({ url }) => url.endsWith("/revoke"))
    .map(({ init }) => new URLSearchParams(init.body).get("token"));
  const untilHeld = async () => {
    while (!goOn) await new Promise((resolve) => setTimeout(resolve, 5));
  };
`;

test("LGO-19: the tokens that end are those that another tab stored last", () => {
  const result = run(
    "{}",
    `${HELD}
      const first = await make();
      await signIn(first);
      const second = await make();
      await second.refresh();
      await first.signOutUrl();
      const refreshed = provider.requests
        .filter(({ url, init }) => url.endsWith("/token") && init.body.includes("refresh_token="))
        .map(({ init }) => new URLSearchParams(init.body).get("refresh_token"));
      return [ended().length, ended().includes(refreshed[0]), await codeOf(second.accessToken()), store.keys()];
    `,
  );
  assert.deepEqual(result, [2, false, "login_required session", []]);
});

test("LGO-19: so do those that another tab stores between the look of a sign-out and its write", () => {
  const result = run(
    "{}",
    `${MINDFUL}${HELD}
      let last;
      sleepsOver("remove", async () => {
        await second.refresh();
        last = JSON.parse(store.text());
      });
      await first.signOutUrl();
      const isEnded = [last.refresh_token, last.access_token].map((token) => ended().includes(token));
      return [isEnded, await codeOf(second.accessToken()), store.keys()];
    `,
  );
  assert.deepEqual(result, [[true, true], "login_required session", []]);
});

test("LGO-19: tokens that a renewal brings during a sign-out end too, before the page leaves", () => {
  const source = (options) => `${HELD}
    const client = await make({ fetch: slow });
    await signIn(client);
    const renewed = codeOf(client.refresh());
    await untilHeld();
    const leaving = client.signOutUrl(${options});
    while (provider.count("/revoke") < ${options === "" ? 2 : 0}) await new Promise((resolve) => setTimeout(resolve, 5));
    goOn();
    const url = await leaving;
    const isEnded = [held.refresh_token, held.access_token].map((token) => ended().includes(token));
    return [typeof url, isEnded, await renewed, client.state().signedIn, store.keys()];
  `;
  const late = "login_required refresh";
  assert.deepEqual(run("{}", source("")), ["object", [true, true], late, false, []]);
  const kept = run("{}", source("{ revoke: false }"));
  assert.deepEqual(kept, ["object", [false, false], late, false, []]);
});

test("LGO-19: tokens that a renewal brings after a sign-out in another tab end too", () => {
  const result = run(
    "{}",
    `${HELD}
      const first = await make({ fetch: slow });
      await signIn(first);
      const second = await make();
      await second.accessToken();
      const renewed = codeOf(first.refresh());
      await untilHeld();
      await second.signOutUrl();
      const before = ended().length;
      goOn();
      const outcome = await renewed;
      const isEnded = [held.refresh_token, held.access_token].map((token) => ended().includes(token));
      return [before, isEnded, outcome, first.state().signedIn, store.keys()];
    `,
  );
  assert.deepEqual(result, [2, [true, true], "login_required refresh", false, []]);
});

test("LGO-19: a sign-out does not wait for ever for a renewal that hangs, and tells of it", () => {
  const result = run(
    "{}",
    `${HELD}
      const client = await make({ fetch: slow });
      await signIn(client);
      void codeOf(client.refresh());
      await untilHeld();
      // Node's own timers of signals keep no program alive.
      const alive = setInterval(() => {}, 100);
      const url = await client.signOutUrl();
      clearInterval(alive);
      goOn();
      const told = events.filter(({ type }) => type === "revocation_failed").map(({ code }) => code);
      return [typeof url, client.state().signedIn, told];
    `,
  );
  assert.deepEqual(result, ["object", false, ["upstream_timeout"]]);
});

test("LGO-19: a store that cannot be read loses its session at a sign-out all the same", () => {
  const result = run(
    "{}",
    `
      let isBroken = false;
      const get = (key) => {
        if (isBroken) throw new Error("not now");
        return store.get(key);
      };
      const client = await make({ store: { ...store, get } });
      await signIn(client);
      isBroken = true;
      await client.signOutUrl();
      isBroken = false;
      return [store.keys(), (await make()).state().signedIn];
    `,
  );
  assert.deepEqual(result, [[], false]);
});

test("two clients of one tab do not write over each other's sign-ins", () => {
  const result = run(
    "{}",
    `
      const clients = await Promise.all([1, 2, 3].map(() => make({ store: "memory" })));
      const urls = await Promise.all(clients.map((client) => client.signInUrl()));
      const callbacks = urls.map((url) => provider.signInAt(url));
      const begun = JSON.parse(transactionStore.text()).waiting.length;
      const done = clients.map((client, at) => codeOf(client.handleCallback(callbacks[at])));
      return [begun, await Promise.all(done), clients.map((client) => client.state().signedIn)];
    `,
  );
  const all = (value) => [value, value, value];
  assert.deepEqual(result, [3, all("no error"), all(true)]);
});

test("LGO-14: a frame of the provider ends the session that it names", () => {
  const result = run(
    '{ idToken: { sid: "session-1" } }',
    `
      const client = await make();
      await signIn(client);
      const frame = await make(); // another page of the same origin
      const url = (iss, sid) => "https://app.example/frame?" + new URLSearchParams({ iss, sid });
      const outcomes = [];
      for (const given of [url(issuer, "other"), url("https://x.example", "session-1"), "https://app.example/frame"]) {
        outcomes.push(await frame.handleFrontchannelLogout(given));
      }
      outcomes.push(client.state().signedIn);
      outcomes.push(await frame.handleFrontchannelLogout(url(issuer, "session-1")));
      outcomes.push(await codeOf(client.accessToken()), store.keys().length);
      return [outcomes, types().filter((type) => type === "signed_out").length];
    `,
  );
  assert.deepEqual(result, [[false, false, false, true, true, "login_required session", 0], 2]);
});

test("events and state tell the life of a session and nothing of its tokens", () => {
  const result = run(
    "{ expiresIn: 300 }",
    `
      const client = await make({ postLogoutRedirectUri: "https://app.example/bye" });
      const states = [client.state()];
      await signIn(client);
      states.push(client.state());
      const secrets = [await client.accessToken()];
      await client.refresh();
      secrets.push(await client.accessToken());
      states.push(client.state());
      const form = (path) => provider.requests
        .filter(({ url }) => url === issuer + path)
        .flatMap(({ init }) => [...new URLSearchParams(init.body)])
        .filter(([name]) => ["code", "code_verifier", "refresh_token"].includes(name))
        .map(([, value]) => value);
      provider.revoke();
      const refused = await codeOf(client.refresh());
      await signIn(client);
      const url = await client.signOutUrl();
      states.push(client.state());
      secrets.push(...form("/token"), url.searchParams.get("id_token_hint"));
      const told = JSON.stringify([events, states]);
      return {
        refused,
        types: types().filter((type) => type !== "request" && type !== "checked"),
        states: states.map(({ expiresAt, ...state }) => [typeof expiresAt, state]),
        secrets: secrets.length,
        leaked: secrets.filter((secret) => told.includes(secret)),
      };
    `,
  );
  const alice = { signedIn: true, scope: "openid read", canRefresh: true, subject: "alice" };
  assert.deepEqual(result, {
    refused: "server_error_response refresh  invalid_grant",
    types: ["signed_in", "refreshed", "expired", "refresh_failed", "signed_in", "signed_out"],
    states: [
      ["undefined", { signedIn: false }],
      ["number", alice],
      ["number", alice],
      ["undefined", { signedIn: false }],
    ],
    secrets: 9,
    leaked: [],
  });
});

test("after dispose no listener is told of what was under way", () => {
  const result = run(
    "{ answer: (url) => (url.endsWith('/token') ? globalThis.gate : undefined) }",
    `
      const client = await make();
      await signIn(client);
      let open;
      globalThis.gate = new Promise((resolve) => (open = resolve));
      client.on("refreshed", (event) => events.push(event));
      const asked = provider.count("/token");
      const renewed = codeOf(client.refresh());
      while (provider.count("/token") === asked) await new Promise((resolve) => setTimeout(resolve, 1));
      client.dispose();
      events.length = 0;
      open();
      return [await renewed, events];
    `,
  );
  assert.deepEqual(result, ["no error", []]);
});

test("LEAK-05: nothing is written to the console, whatever goes wrong", () => {
  const result = run(
    '{ answer: (url) => url.endsWith("/revoke") ? new Response("no", { status: 500 }) : undefined }',
    `
      const written = [];
      for (const name of ["debug", "error", "info", "log", "trace", "warn"]) {
        const original = console[name];
        console[name] = (...values) => void written.push([name, ...values].join(" "));
        if (name === "log") globalThis.print = original;
      }
      const client = await make();
      await codeOf(client.accessToken());
      await codeOf(client.handleCallback("https://app.example/callback?state=x&code=y"));
      await signIn(client);
      provider.revoke();
      await codeOf(client.refresh());
      await client.signOutUrl();
      await codeOf(client.signInUrl({ prompt: 1 }));
      console.log = globalThis.print;
      return written;
    `,
  );
  assert.deepEqual(result, []);
});

test("a page that renews by itself comes back when the provider says so, and not to one that refuses", () => {
  const source = `
    const page = Object.assign(new EventTarget(), { visibilityState: "visible" });
    globalThis.document = page;
    const timers = new Map();
    const { setTimeout: later, clearTimeout: never } = globalThis;
    globalThis.setTimeout = (call, millis, ...more) => {
      if (millis < 1500) return later(call, millis, ...more);
      timers.set(timers.size + 1, [call, millis]);
      return timers.size;
    };
    globalThis.clearTimeout = (timer) => (typeof timer === "number" ? timers.delete(timer) : never(timer));
    const { now } = Date;
    let ahead = 0;
    Date.now = () => now() + ahead;
    for (const name of ["addEventListener", "removeEventListener"]) {
      globalThis[name] = EventTarget.prototype[name].bind(page);
    }
    const turn = () => new Promise((resolve) => later(resolve, 30));
    const next = async () => {
      const due = [...timers.values()].at(-1);
      timers.clear();
      if (!due) return undefined;
      ahead += due[1];
      due[0]();
      await turn();
      return due[1];
    };
    let answer;
    const client = await make({
      fetch: async (url, init) => {
        const isRenewal = url.endsWith("/token") && String(init.body).includes("refresh_token");
        return (isRenewal && answer?.()) || fetch(url, init);
      },
    });
    await signIn(client);
    await turn();
    const says = (status, error, headers) => () =>
      Response.json({ error }, { status, headers: { ...headers } });
    const seen = [];
    for (const given of [
      undefined,
      says(429, "slow_down", { "retry-after": "120" }),
      says(503, "busy", { "retry-after": "3600" }),
      says(503, "busy", { "retry-after": "999999" }),
      says(503, "busy"),
      says(401, "invalid_client"),
    ]) {
      answer = given;
      await next();
      seen.push([...timers.values()].map(([, millis]) => millis));
    }
    // Whoever signs in anew is kept signed in.
    await client.signOutUrl();
    await signIn(client);
    await turn();
    seen.push([...timers.values()].map(([, millis]) => millis));
    answer = says(401, "invalid_client");
    await next();
    // A page that comes back tries once more.
    answer = undefined;
    page.dispatchEvent(new Event("pageshow"));
    await turn();
    seen.push([...timers.values()].map(([, millis]) => millis));
    const { signedIn } = client.state();
    client.dispose();
    return { seen, signedIn, codes: events.map(({ code }) => code) };
  `;
  const { seen, signedIn, codes } = run("{}", source);
  const [first, soon, hour, day, own, never, anew, back] = seen.map(([millis]) => millis);
  assert.ok(Math.abs(first - 240_000) < 1000, `${first}`);
  assert.ok(soon >= 120_000 && soon <= 150_000, `${soon}`);
  // It looks once an hour at least: a clock may be set meanwhile.
  assert.deepEqual([hour, day], [3_600_000, 3_600_000]);
  assert.ok(own >= 16_000 && own <= 20_000, `${own}`);
  assert.equal(never, undefined);
  assert.ok(Math.abs(anew - 240_000) < 1000, `${anew}`);
  assert.ok(Math.abs(back - 240_000) < 1000, `${back}`);
  assert.ok(signedIn);
  assert.ok(!codes.includes("internal_error"));
});
