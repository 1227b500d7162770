// What the documents ask of the command beyond its usual ways. Each test begins with the rows that it
// is about.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { before, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";

import { assertGolden, showParameters, showPosted } from "../support/golden.mjs";
import { makeFolder } from "../support/folder.mjs";
import { ADDRESS, age, loginsOf, makeHome, raw, read } from "../support/login.mjs";
import { authenticate, installProgram, listen, startProvider } from "../support/program.mjs";
import { makeProver } from "../support/prover.mjs";

const root = fileURLToPath(new URL("../../", import.meta.url));
const SECRET = "client-secret-0123456789-of-the-rows";

let gatepass;
let begin;
let logIn;
let load;
before(() => {
  gatepass = installProgram("cli-rows");
  ({ begin, logIn } = loginsOf(gatepass));
  load = (file) =>
    import(pathToFileURL(join(gatepass.project, "node_modules/gatepass/dist", file)).href);
});

/** A file that the command loads first, in a process of its own. */
function preload(name, text) {
  const file = join(gatepass.project, `${name}.mjs`);
  writeFileSync(file, text);
  return { NODE_OPTIONS: `--import=${pathToFileURL(file).href}` };
}

/** Waits of half a second to a minute are told, and over at once: the clock is put forward by them. */
const LAPSE = `
  const wait = globalThis.setTimeout;
  const now = Date.now;
  let ahead = 0;
  Date.now = () => now() + ahead;
  globalThis.setTimeout = (work, ms, ...rest) => {
    // Node's fetch has timers of its own.
    const isOurs = !new Error().stack.includes("node:internal/deps");
    if (!isOurs || !(ms >= 500 && ms <= 60_000)) return wait(work, ms, ...rest);
    process.stderr.write("waits " + ms + "\\n");
    return wait(() => {
      ahead += ms;
      work(...rest);
    }, 1);
  };`;

/** What was told of them. */
const waitsOf = (stderr) => [...stderr.matchAll(/^waits (\d+)$/gm)].map(([, ms]) => Number(ms));

/** The files below a folder in which a text stands. */
function holders(folder, text) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return holders(path, text);
    return entry.isFile() && readFileSync(path).includes(text) ? [path] : [];
  });
}

/** A client of the program's own, whose provider answers at its token endpoint as it is told. */
async function startProgram(t, answer) {
  const asked = [];
  const provider = await startProvider(t, {
    answer: async (url, init) => {
      if (!url.endsWith("/token")) return undefined;
      asked.push({ at: Date.now(), headers: init.headers, form: new URLSearchParams(init.body) });
      return answer(asked.length);
    },
  });
  const { home } = makeHome();
  const env = {
    HOME: home,
    GATEPASS_ISSUER: provider.issuer,
    GATEPASS_CLIENT_ID: "job",
    GATEPASS_CLIENT_SECRET: SECRET,
    GATEPASS_FLOW: "client_credentials",
  };
  return { asked, env, home, provider };
}

const granted = () =>
  Response.json({ access_token: "a-token", token_type: "Bearer", expires_in: 3600 });

/** A provider that knows devices, and publishes nothing by default; the token lives for `seconds`. */
const startDevices = (t, seconds, isPublished = false) =>
  startProvider(t, {
    answer: (url) => {
      const { origin, pathname } = new URL(url);
      if (pathname.includes("/.well-known/")) {
        if (!isPublished) return new Response("", { status: 404 });
        return Response.json({
          issuer: origin,
          authorization_endpoint: `${origin}/authorize`,
          token_endpoint: `${origin}/token`,
          device_authorization_endpoint: `${origin}/device`,
          response_types_supported: ["code"],
        });
      }
      if (pathname === "/device") {
        return Response.json({
          ...{ device_code: "d", user_code: "ABCD", expires_in: 600, interval: 1 },
          verification_uri: `${origin}/activate`,
        });
      }
      if (pathname !== "/token") return undefined;
      const lives = { token_type: "Bearer", expires_in: seconds, refresh_token: "r" };
      return Response.json({ access_token: "of-a-device", ...lives });
    },
  });

test("S0-10 a device login needs a token and a device endpoint, and names the one that is missing", async (t) => {
  const provider = await startDevices(t, 3600);
  const { env: own, tokens } = makeHome();
  const env = { ...own, GATEPASS_CLIENT_ID: "tv", GATEPASS_STORE: "file" };
  const [token, device] = ["token", "device"].map((name) => [
    `--${name}-url`,
    `${provider.issuer}/${name}`,
  ]);
  const login = (...args) => gatepass.run(["login", "--no-browser", ...args.flat()], { env });
  for (const [args, missing] of [
    [["--device", token], ["deviceUrl"]],
    [["--device", device], ["tokenUrl"]],
    [["--device"], ["deviceUrl", "tokenUrl"]],
    [["--flow", "device", token], ["deviceUrl"]],
    [[token, device], ["authUrl"]],
  ]) {
    const { code, stderr } = await login(...args);
    assert.equal(code, 2, stderr);
    const named = [...stderr.matchAll(/(\w+Url) \([^)]*\) is not set\./g)].map(([, name]) => name);
    assert.deepEqual(named, missing, stderr);
  }
  // Where it is published it need not be given.
  const { issuer } = await startDevices(t, 3600, true);
  const near = ["--token-url", `${issuer}/token`, "--scopes", "read"];
  const found = await gatepass.run(["login", "--no-browser", "--device", ...near], {
    env: { ...env, ...makeHome().env },
  });
  assert.equal(found.code, 0, found.stderr);
  const done = await login("--device", token, device);
  assert.equal(done.code, 0, done.stderr);
  // Nor does anything else that has no browser need to know where one would sign in.
  for (const renew of [() => {}, age]) {
    renew(tokens);
    const kept = await gatepass.run(["token", ...token], { env });
    assert.deepEqual([kept.code, kept.stdout], [0, "of-a-device\n"], kept.stderr);
  }
  assert.ok(Date.parse(read(tokens).expires_at) > Date.now());
  const over = await gatepass.run(["logout", ...token], { env });
  assert.equal(over.code, 0, over.stderr);
});

test("login takes no port that there is not", async (t) => {
  const provider = await startProvider(t);
  const env = {
    ...makeHome().env,
    GATEPASS_ISSUER: provider.issuer,
    GATEPASS_CLIENT_ID: provider.clientId,
    GATEPASS_STORE: "file",
  };
  for (const port of ["70000", "65536", "99999", "-1", "x", "8088.5", ""]) {
    const { code, stderr } = await gatepass.run(["login", `--port=${port}`], { env });
    assert.equal(code, 2, `${port}: ${stderr}`);
    assert.match(stderr, /--port must be a whole number from 0 to 65535/);
  }
});

test("S0-03 a device login that is interrupted ends, and asks no more", async (t) => {
  let polls = 0;
  const provider = await startProvider(t, {
    answer: (url) => {
      const { pathname } = new URL(url);
      if (pathname === "/device") {
        return Response.json({
          ...{ device_code: "d", user_code: "ABCD", expires_in: 600, interval: 1 },
          verification_uri: "https://login.example/device",
        });
      }
      if (pathname !== "/token") return undefined;
      polls++;
      return Response.json({ error: "authorization_pending" }, { status: 400 });
    },
  });
  const { env, tokens } = makeHome();
  const login = gatepass.start(t, ["login", "--device", "--no-browser"], {
    env: {
      ...env,
      GATEPASS_ISSUER: provider.issuer,
      GATEPASS_DEVICE_URL: `${provider.issuer}/device`,
      GATEPASS_CLIENT_ID: "spa",
      GATEPASS_STORE: "file",
    },
  });
  while (polls < 2) await new Promise((resolve) => setTimeout(resolve, 20));
  login.child.kill("SIGINT");
  const { code, stderr } = await login.exited;
  assert.equal(code, 130, stderr);
  const before = polls;
  await new Promise((resolve) => setTimeout(resolve, 1200));
  assert.equal(polls, before);
  assert.ok(!existsSync(tokens));
});

test("S0-03 a device login polls every five seconds, five more once it is told to slow down, and not beyond its end", async (t) => {
  let polls = 0;
  const provider = await startProvider(t, {
    answer: (url) => {
      const { pathname } = new URL(url);
      if (pathname === "/device") {
        // No interval: the default counts (RFC 8628 section 3.2).
        return Response.json({
          ...{ device_code: "d", user_code: "ABCD", expires_in: 38 },
          verification_uri: "https://login.example/device",
        });
      }
      if (pathname !== "/token") return undefined;
      const error = ++polls === 2 ? "slow_down" : "authorization_pending";
      return Response.json({ error }, { status: 400 });
    },
  });
  const { env, tokens } = makeHome();
  const { code, stderr } = await gatepass.run(["login", "--device", "--no-browser"], {
    env: {
      ...env,
      ...preload("device-clock", LAPSE),
      GATEPASS_ISSUER: provider.issuer,
      GATEPASS_DEVICE_URL: `${provider.issuer}/device`,
      GATEPASS_CLIENT_ID: "spa",
      GATEPASS_STORE: "file",
      // Its timer is none of those that are counted.
      GATEPASS_TIMEOUT: "120",
    },
  });
  assert.equal(code, 4, stderr);
  assert.deepEqual(waitsOf(stderr).slice(0, 4), [5000, 5000, 10_000, 10_000]);
  // At 5, 10, 20 and 30 seconds. At 40 the code is over, and nobody is asked any more.
  assert.equal(polls, 4);
  assert.ok(!existsSync(tokens));
});

test("S0-14 S1-19 logout --global opens the provider's page for signing out", async (t) => {
  const provider = await startProvider(t);
  const { settings, home, opened, tokens } = await logIn(t, provider);
  await opened();
  rmSync(join(home, "opened"));
  const { code, stderr } = await gatepass.run(["logout", "--global"], { env: settings });
  assert.equal(code, 0, stderr);
  const [argc, page] = await opened();
  assert.equal(argc, "1");
  assert.ok(page.startsWith(`${provider.issuer}/logout?`), page);
  assert.ok(!existsSync(tokens));
  const shown = showPosted(provider).filter((posted) => posted.startsWith("POST /revoke"));
  shown.push(`GET /logout\n${showParameters(new URL(page).search)}`);
  assertGolden("wire-logout-global", `${shown.join("\n\n")}\n`);
});

test("S0-06 logout --json says what there was, and whether the provider ended it", async (t) => {
  let isDown = false;
  const provider = await startProvider(t, {
    answer: (url) =>
      isDown && url.endsWith("/revoke") ? new Response("", { status: 503 }) : undefined,
  });
  const logout = async ({ settings }) => {
    const { code, stdout } = await gatepass.run(["logout", "--json"], { env: settings });
    return [code, JSON.parse(stdout)];
  };
  const first = await logIn(t, provider);
  const good = { signed_in: false, was_signed_in: true, revoked: true };
  assert.deepEqual(await logout(first), [0, good]);
  const nobody = { signed_in: false, was_signed_in: false, revoked: false };
  assert.deepEqual(await logout(first), [0, nobody]);
  const second = await logIn(t, provider);
  isDown = true;
  assert.deepEqual(await logout(second), [0, { ...good, revoked: false }]);
});

test("S0-15 a renewed token is handed out when it is kept, and not before", async (t) => {
  let place;
  const provider = await startProvider(t, {
    // While the provider answers, tokens lose their place.
    before: (url) => {
      if (place === undefined || !url.endsWith("/token")) return;
      rmSync(place);
      mkdirSync(join(place, "in-the-way"), { recursive: true, mode: 0o700 });
    },
  });
  const { settings, tokens } = await logIn(t, provider);
  age(tokens);
  place = tokens;
  const asked = provider.count("/token");
  const { code, stdout, stderr } = await gatepass.run(["token"], { env: settings });
  assert.equal(provider.count("/token"), asked + 1);
  assert.notEqual(code, 0);
  assert.equal(stdout, "");
  assert.match(stderr, /^Error: /m);
});

test("S1-01 a token that was asked for something else is another token", async (t) => {
  const { asked, env } = await startProgram(t, granted);
  const token = (...args) => gatepass.run(["token", "--store", "file", ...args], { env });
  await token("--audience", "https://one.example");
  await token("--audience", "https://one.example");
  assert.equal(asked.length, 1);
  for (const args of [
    ["--audience", "https://two.example"],
    ["--scopes", "read"],
    ["--scopes", "read", "--resources", "https://a.example/"],
    ["--params", "tenant=acme"],
  ]) {
    const before = asked.length;
    await token(...args);
    await token(...args);
    assert.equal(asked.length, before + 1, args.join(" "));
  }
});

test("S0-12 lists are read alike from flag, variable and file: at spaces, and commas are sent as they are", async (t) => {
  const { asked, env } = await startProgram(t, granted);
  const scopes = "activity:read_all,activity:write  profile";
  const resources = "https://a.example/x,y https://b.example/";
  const file = join(makeFolder("lists"), "gatepass.json");
  const ways = [
    { args: ["--scopes", scopes, "--resources", resources] },
    { args: scopes.split(/ +/).flatMap((one) => ["--scopes", one]), more: { resources } },
    { args: [], own: { GATEPASS_SCOPES: scopes, GATEPASS_RESOURCES: resources } },
    { args: [], own: { GATEPASS_SCOPE: scopes, GATEPASS_RESOURCES: resources } },
    { args: [], more: { scopes, resources } },
    { args: [], more: { scopes: [scopes], resources: resources.split(" ") } },
    { args: [], more: { scopes: scopes.split(/ +/), resources: [resources] } },
  ];
  for (const [at, { args, own, more = {} }] of ways.entries()) {
    writeFileSync(file, JSON.stringify(more));
    const config = ["--config", file, "--store", "none"];
    const { code, stderr } = await gatepass.run(["token", ...config, ...args], {
      env: { ...env, ...own },
    });
    assert.equal(code, 0, stderr);
    const { form } = asked.at(-1);
    assert.equal(form.get("scope"), "activity:read_all,activity:write profile", `way ${at}`);
    assert.deepEqual(form.getAll("resource"), resources.split(" "), `way ${at}`);
  }
  assert.equal(asked.length, ways.length);
  // A name with a space in it stands in a list of the file.
  for (const [audience, sent] of [
    [["My API"], "My API"],
    ["a,b", "a,b"],
  ]) {
    writeFileSync(file, JSON.stringify({ audience }));
    assert.equal((await gatepass.run(["token", "--config", file], { env })).code, 0);
    assert.equal(asked.at(-1).form.get("audience"), sent);
  }
});

test("S0-18 S1-24 selftest goes through every flow, offline", async () => {
  const env = preload(
    "offline",
    `const send = globalThis.fetch;
    globalThis.fetch = (input, init) => {
      const { hostname } = new URL(input instanceof Request ? input.url : input);
      if (hostname !== "127.0.0.1") throw new Error("offline");
      return send(input, init);
    };`,
  );
  const { code, stdout } = await gatepass.run(["selftest"], { env });
  assert.equal(code, 0, stdout);
  assert.deepEqual(stdout.trim().split("\n"), [
    "ok   code flow with PKCE through a page on 127.0.0.1, renewed, and revoked",
    "ok   device flow, and one that is denied",
    "ok   client credentials, one request for a hundred callers",
    "ok   a guard accepts a good token and refuses a forged one",
    "ok   introspection, and a token that was revoked",
    "ok   UserInfo, and what it says of somebody else, which is refused",
    "ok   token exchange (RFC 8693) for another API, with fewer scopes and never with more",
    "ok   DPoP (RFC 9449): tokens that are bound to a key, and of no use without its proof",
  ]);
});

test("S0-18 the provider of selftest takes good proofs only, and tokens only for what they are", async (t) => {
  const { simulate } = await load("cli/simulator.js");
  const client = { id: "job", secret: SECRET };
  const { close, issuer, otherAudience } = await simulate(client);
  t.after(() => close());
  const ask = async (path, form, headers = {}) => {
    const authorization = `Basic ${btoa(`job:${SECRET}`)}`;
    const response = await fetch(issuer + path, {
      headers: { authorization, ...headers },
      ...(form && { method: "POST", body: new URLSearchParams(form) }),
    });
    const { error = "", ...rest } = await response.json();
    return { error, nonce: response.headers.get("dpop-nonce"), ...rest };
  };
  const prover = await makeProver();
  const form = { grant_type: "client_credentials", scope: "openid read" };
  const at = `${issuer}/token`;
  const first = await ask("/token", form, { dpop: await prover.proof("POST", at) });
  assert.equal(first.error, "use_dpop_nonce");
  const { nonce } = first;
  const dpop = await prover.proof("POST", at, undefined, { nonce });
  const bound = await ask("/token", form, { dpop });
  assert.equal(bound.token_type, "DPoP", bound.error);
  const other = await makeProver();
  for (const proof of [
    dpop,
    "no.pro.of",
    await prover.proof("GET", at, undefined, { nonce }),
    await prover.proof("POST", `${issuer}/userinfo`, undefined, { nonce }),
    await prover.proof("POST", at, undefined, { nonce, iat: 1 }),
    await prover.proof("POST", at, undefined, { nonce }, { typ: "JWT" }),
    await prover.proof("POST", at, undefined, { nonce }, { jwk: other.jwk }),
  ]) {
    assert.equal((await ask("/token", form, { dpop: proof })).error, "invalid_dpop_proof");
  }

  // UserInfo is for users, and exchanging for what lives and is known.
  const { access_token } = await ask("/token", form);
  const shown = { authorization: `Bearer ${access_token}` };
  assert.equal((await ask("/userinfo", undefined, shown)).error, "invalid_token");
  const type = "urn:ietf:params:oauth:token-type:access_token";
  const exchange = {
    grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
    subject_token: access_token,
    subject_token_type: type,
    audience: otherAudience,
    scope: "read",
  };
  const { issued_token_type, scope } = await ask("/token", exchange);
  assert.deepEqual([issued_token_type, scope], [type, "read"]);
  for (const [change, error] of [
    [{ subject_token: "another" }, "invalid_request"],
    [{ subject_token_type: "urn:ietf:params:oauth:token-type:jwt" }, "invalid_request"],
    [{ audience: "https://elsewhere.example" }, "invalid_target"],
    [{ scope: "read write" }, "invalid_scope"],
  ]) {
    assert.equal((await ask("/token", { ...exchange, ...change })).error, error);
  }
  const stranger = await ask("/token", exchange, { authorization: `Basic ${btoa("job:x")}` });
  assert.equal(stranger.error, "invalid_client");
});

/** Variables that say where a program may write, each with a folder of its own below one. */
const PLACES = [
  ...["HOME", "TMPDIR", "TMP", "TEMP"],
  ...["CONFIG", "DATA", "CACHE", "STATE"].map((name) => `XDG_${name}_HOME`),
  "XDG_RUNTIME_DIR",
];

test("S1-05 the client's secret is in no file that the command could have written, whatever was done with it", async (t) => {
  const { env: settings, provider } = await startProgram(t, granted);
  const root = makeFolder("places");
  const places = PLACES.map((name) => [name, join(root, name)]);
  const cwd = join(root, "cwd");
  for (const [, folder] of [...places, ["", cwd]]) mkdirSync(folder, { mode: 0o700 });
  const env = { ...settings, ...Object.fromEntries(places) };
  const check = (name, { stdout, stderr }) => {
    assert.ok(!(stdout + stderr).includes(SECRET), name);
  };
  const api = await listen(t, (_, response) => response.end("yes"));
  const stored = ["--store", "file"];
  for (const args of [
    ["token", ...stored],
    ["token", ...stored, "--debug", "--audience", "https://api.example"],
    ["token", "--client-auth", "client_secret_post", "--debug"],
    ["token", "--client-auth", "client_secret_jwt", "--debug"],
    ["request", ...stored, `${api.origin}/me`],
    ["exec", ...stored, "--", process.execPath, "-e", "0"],
    ["login", ...stored],
    ["status", ...stored],
  ]) {
    const run = await gatepass.run(args, { env, cwd });
    assert.equal(run.code, 0, `${args.join(" ")}: ${run.stderr}`);
    check(args.join(" "), run);
  }
  const kept = join(env.HOME, ".gatepass/default/tokens.json");
  assert.equal(read(kept).access_token, "a-token");
  // What the search finds, it would find of a secret too.
  assert.deepEqual(holders(root, "a-token"), [kept]);
  for (const args of [["doctor"], ["introspect", "a-token"], ["logout", ...stored]]) {
    check(args.join(" "), await gatepass.run(args, { env, cwd }));
  }

  // A user's login at a client that has a secret, and the service.
  const user = { ...env, GATEPASS_FLOW: "code", GATEPASS_STORE: "file", GATEPASS_SCOPES: "read" };
  const login = gatepass.start(t, ["login", "--no-browser", "--port", "0", "--debug"], {
    env: user,
    cwd,
  });
  const [, url] = await login.said(ADDRESS);
  await fetch(provider.signInAt(url));
  const done = await login.exited;
  assert.equal(done.code, 0, done.stderr);
  check("login", done);
  const service = await gatepass.serve(t, ["--audience", "https://api.example"], { env, cwd });
  const authorization = "Bearer opaque";
  await fetch(`${service.origin}/auth/envoy/x`, { headers: { authorization } });
  service.child.kill("SIGTERM");
  await service.exited;
  assert.ok(provider.count("/introspect") > 0);
  assert.ok(!service.output().includes(SECRET));

  const own = join(gatepass.project, "node_modules/gatepass");
  for (const form of [SECRET, btoa(`job:${SECRET}`), btoa(SECRET)]) {
    for (const folder of [root, own]) assert.deepEqual(holders(folder, form), []);
  }
});

test("S1-06 a busy provider is asked three times at the most, when it says, and a slow one for as long as is said", async (t) => {
  const busy = (status, wait) => () =>
    Response.json({}, { status, headers: { "retry-after": String(wait) } });
  for (const status of [429, 500, 503]) {
    const { asked, env } = await startProgram(t, busy(status, 0));
    const { code, stderr } = await gatepass.run(["token"], { env });
    assert.equal(code, 1, stderr);
    assert.equal(asked.length, 3, String(status));
  }
  const told = await startProgram(t, (turn) => (turn === 1 ? busy(503, 1)() : granted()));
  assert.equal((await gatepass.run(["token"], { env: told.env })).code, 0);
  assert.ok(told.asked[1].at - told.asked[0].at >= 1000, "Retry-After is honoured");

  const never = await startProgram(t, () => new Promise(() => {}));
  const late = await gatepass.run(["token", "--timeout", "1"], { env: never.env });
  assert.equal(late.code, 4, late.stderr);
  const { stdout } = await gatepass.run(["help", "token"]);
  assert.match(stdout, /--timeout SECONDS\n[^]*?Default: 10 for tokens/);
});

test("S1-06 a connection that breaks off is tried again, after a pause that is another one each time", async (t) => {
  const pauses = [];
  for (let run = 0; run < 2; run++) {
    const program = await startProgram(t, (turn) => {
      // Before anything is answered.
      if (turn < 3) for (const socket of program.provider.connections) socket.destroy();
      return granted();
    });
    const env = { ...program.env, ...preload("retry-clock", LAPSE), GATEPASS_TIMEOUT: "120" };
    const { code, stdout, stderr } = await gatepass.run(["token"], { env });
    assert.deepEqual([code, stdout], [0, "a-token\n"], stderr);
    assert.equal(program.asked.length, 3);
    const [first, second, ...more] = waitsOf(stderr);
    assert.deepEqual(more, []);
    // Twice as long the second time, and up to once more by chance.
    assert.ok(first >= 500 && first < 1000, String(first));
    assert.ok(second >= 1000 && second < 2000, String(second));
    pauses.push(first, second / 2);
  }
  // By chance: that four of 500 are one and the same happens once in a hundred million runs.
  assert.ok(new Set(pauses).size > 1, pauses.join(" "));
  // It ends after the second one.
  const gone = await startProgram(t, () => {
    for (const socket of gone.provider.connections) socket.destroy();
    return granted();
  });
  const env = { ...gone.env, ...preload("retry-clock", LAPSE), GATEPASS_TIMEOUT: "120" };
  const { code, stderr } = await gatepass.run(["token"], { env });
  assert.deepEqual([code, gone.asked.length], [1, 3], stderr);
});

test("S2-35 a login that comes back to localhost waits on 127.0.0.1 and on ::1, and takes one answer of both", async (t) => {
  const provider = await startProvider(t);
  const { url, callback, login } = await begin(t, provider, [], {
    GATEPASS_REDIRECT_URI: "http://localhost:8088/callback",
  });
  const redirectUri = new URL(url).searchParams.get("redirect_uri");
  const { hostname, port } = new URL(redirectUri);
  assert.equal(hostname, "localhost");
  const own = { host: `localhost:${port}` };
  const hasIpv6 = Object.values(networkInterfaces()).some((all) =>
    all.some(({ address }) => address === "::1"),
  );
  const hosts = hasIpv6 ? ["127.0.0.1", "::1"] : ["127.0.0.1"];
  if (!hasIpv6) t.diagnostic("this machine has no ::1: that address is not asked");
  for (const host of hosts) {
    assert.equal((await raw(`${redirectUri}/other`, own, host)).status, 404, host);
    // Under another name it is not the page of this login, at neither address.
    const numbered = { host: host === "::1" ? `[::1]:${port}` : `127.0.0.1:${port}` };
    assert.equal((await raw(callback(), numbered, host)).status, 421, host);
  }
  // No other address of this machine answers.
  for (const { address } of Object.values(networkInterfaces()).flat()) {
    if (hosts.includes(address) || address.startsWith("fe80:")) continue;
    await assert.rejects(raw(redirectUri, own, address), address);
  }
  const good = callback();
  assert.equal((await raw(good, own, hosts.at(-1))).status, 200);
  assert.equal((await login.exited).code, 0);
  for (const host of hosts) await assert.rejects(raw(good, own, host), { code: "ECONNREFUSED" });
});

test("S4-35 a service writes nothing: neither a token nor an answer about one is on the disk, and a new start asks again", async (t) => {
  const subject = "subject-of-the-answer";
  const provider = await startProvider(t, {
    answer: (url) =>
      url.endsWith("/introspect") ? Response.json({ active: true, sub: subject }) : undefined,
  });
  const root = makeFolder("service-places");
  const places = PLACES.map((name) => [name, join(root, name)]);
  const cwd = join(root, "cwd");
  for (const [, folder] of [...places, ["", cwd]]) mkdirSync(folder, { mode: 0o700 });
  const env = {
    ...Object.fromEntries(places),
    AUTH_SERVER_URL: provider.issuer,
    OAUTH_CLIENT_SECRET: SECRET,
  };
  const token = "token-that-is-remembered";
  for (const starts of [1, 2]) {
    const service = await gatepass.serve(t, [], { env, cwd });
    for (let times = 0; times < 3; times++) {
      assert.equal(await authenticate(service.origin, token), true);
    }
    assert.equal(provider.count("/introspect"), starts, "remembered, and by this process alone");
    const check = () => {
      const digest = createHash("sha256").update(token).digest();
      const forms = [token, subject, digest, digest.toString("hex"), digest.toString("base64url")];
      const own = join(gatepass.project, "node_modules/gatepass");
      for (const form of forms) {
        for (const folder of [root, own]) assert.deepEqual(holders(folder, form), []);
      }
    };
    check();
    service.child.kill("SIGTERM");
    assert.equal(await service.exited, 0);
    check();
  }
  // What the search finds, it would find of a token too.
  const kept = join(cwd, "kept");
  writeFileSync(kept, `x${token}x`);
  assert.deepEqual(holders(root, token), [kept]);
});

test("S4-14 serve is ready soon after its start", async (t) => {
  const provider = await startProvider(t);
  const started = performance.now();
  const { origin } = await gatepass.serve(t, [], {
    env: { AUTH_SERVER_URL: provider.issuer, OAUTH_CLIENT_SECRET: SECRET },
  });
  assert.equal((await fetch(`${origin}/health`)).status, 200);
  const took = performance.now() - started;
  t.diagnostic(`from start to the first answer: ${Math.round(took)} ms`);
  // The document says one second, which npm run bench:serve shows of a machine of one's own; tests share
  // theirs, and this finds a start that waits for somebody.
  assert.ok(took < 5000, `${took} ms`);
});

test("S1-11 audience, resources and parameters of one's own stand in the request for a login too", async (t) => {
  const provider = await startProvider(t);
  const { url, login, callback } = await begin(t, provider, [
    ...["--audience", "https://api.example", "--resources", "https://a.example/"],
    ...["--resources", "https://b.example/", "--params", "tenant=acme"],
  ]);
  const { searchParams } = new URL(url);
  assert.equal(searchParams.get("audience"), "https://api.example");
  assert.deepEqual(searchParams.getAll("resource"), ["https://a.example/", "https://b.example/"]);
  assert.equal(searchParams.get("tenant"), "acme");
  await fetch(callback());
  assert.equal((await login.exited).code, 0);
});

/** Members of requests and answers whose values are secret. */
const SECRETS = [
  ...["access_token", "refresh_token", "id_token", "token", "client_secret", "code"],
  ...["code_verifier", "assertion", "client_assertion", "device_code", "subject_token"],
];

test("S1-14 whatever a secret looks like and wherever it stands, --debug shows four letters of its hash", async () => {
  const { showing } = await load("cli/debug.js");
  for (let round = 0; round < 200; round++) {
    const size = 12 + (round % 60);
    const value = () =>
      round % 2 === 0 ? randomBytes(size).toString("base64url") : randomBytes(size).toString("hex");
    const secrets = Object.fromEntries(SECRETS.map((name) => [name, value()]));
    const [basic, cookie, proof] = [value(), value(), value()];
    const answers = [
      [JSON.stringify({ ...secrets, scope: "shown" }), "application/json; charset=utf-8"],
      [JSON.stringify([{ deep: { ...secrets, scope: "shown" } }]), "application/token+json"],
      [new URLSearchParams(secrets).toString(), "application/x-www-form-urlencoded"],
      // What cannot be read whole is not shown.
      [`<p>${Object.values(secrets).join(" ")}</p>`, "text/html"],
      [JSON.stringify(secrets).slice(0, -2), "application/json"],
      [Object.values(secrets)[0], "application/jwt"],
    ];
    const [text, type] = answers[round % answers.length];
    const lines = [];
    const send = showing(
      async () =>
        new Response(text, { headers: { "content-type": type, "set-cookie": `s=${cookie}` } }),
      (line) => lines.push(line),
    );
    await send(`https://as.example/x?${new URLSearchParams(secrets)}`, {
      method: "POST",
      headers: {
        authorization: `Basic ${basic}`,
        dpop: proof,
        "content-type": "application/x-www-form-urlencoded",
      },
      body: new URLSearchParams({ ...secrets, grant_type: "shown" }).toString(),
    });
    const shown = lines.join("\n");
    assert.match(shown, /grant_type=shown/);
    for (const secret of [...Object.values(secrets), basic, cookie, proof]) {
      assert.ok(!shown.includes(secret), `round ${round}: ${type}`);
    }
    assert.match(shown, /access_token=\*\*\*[0-9a-f]{4}\b/);
  }
});

test("S1-16 a secret goes into the header as it is where a provider does not decode it", async (t) => {
  const { asked, env } = await startProgram(t, granted);
  const odd = { ...env, GATEPASS_CLIENT_ID: "job/1", GATEPASS_CLIENT_SECRET: "a+b %" };
  for (const auth of ["client_secret_basic", "client_secret_basic_raw"]) {
    const { code, stderr } = await gatepass.run(["token"], {
      env: { ...odd, GATEPASS_CLIENT_AUTH: auth },
    });
    assert.equal(code, 0, stderr);
  }
  const sent = asked.map(({ headers }) => atob(headers.authorization.slice("Basic ".length)));
  assert.deepEqual(sent, ["job%2F1:a%2Bb+%25", "job/1:a+b %"]);
});

test("S1-18 status --json says all there is to say of a login, and no token", async (t) => {
  const provider = await startProvider(t);
  const { settings, tokens } = await logIn(t, provider);
  const saved = read(tokens);
  const { code, stdout } = await gatepass.run(["status", "--json"], { env: settings });
  assert.equal(code, 0);
  const state = JSON.parse(stdout);
  for (const name of ["server", "issuer", "subject", "scope", "expires_at", "store"]) {
    assert.equal(typeof state[name], "string", name);
  }
  assert.deepEqual(
    [state.signed_in, state.refresh_available, state.expires_at, state.store],
    [true, true, saved.expires_at, "file"],
  );
  for (const token of [saved.access_token, saved.refresh_token, saved.id_token]) {
    assert.ok(!stdout.includes(token));
  }
});

test("S1-22 an endpoint that is guarded answers 401 without a token, 200 with, and 200 after its end", async (t) => {
  const provider = await startProvider(t);
  const { createGuard } = await load("guard.js");
  const guard = await createGuard({
    issuer: provider.issuer,
    audience: provider.audience,
    dangerouslyAllowHttpLoopback: true,
  });
  t.after(() => guard.dispose());
  const shown = [];
  const api = await listen(t, async (request, response) => {
    const { authorization } = request.headers;
    shown.push(authorization);
    const headers = new Headers(authorization === undefined ? {} : { authorization });
    const { principal, response: refusal } = await guard.check({ headers });
    response.writeHead(principal ? 200 : refusal.status).end(principal?.subject);
  });
  assert.equal((await fetch(api.origin)).status, 401);
  const { settings, tokens } = await logIn(t, provider);
  const call = () => gatepass.run(["request", api.origin], { env: settings });
  const first = await call();
  assert.deepEqual([first.code, first.stdout], [0, "alice"], first.stderr);
  age(tokens);
  const after = await call();
  assert.deepEqual([after.code, after.stdout], [0, "alice"], after.stderr);
  assert.equal(new Set(shown).size, 3, "nothing, a token, and another one");
});

test("S1-25 README says what each command does, and the changes of each version are written down", async () => {
  const readme = readFileSync(join(root, "README.md"), "utf8");
  const { stdout } = await gatepass.run(["help"]);
  const commands = stdout.slice(stdout.indexOf("Commands:"), stdout.indexOf("gatepass help"));
  const names = [...commands.matchAll(/^ {2}(\w+) /gm)].map(([, name]) => name);
  assert.equal(names.length, 11);
  for (const name of names) assert.match(readme, new RegExp(`\\bgatepass ${name}\\b`), name);
  const changes = readFileSync(join(root, "CHANGELOG.md"), "utf8");
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const [first] = /^## .*$/m.exec(changes);
  // Before the first release there is one heading, and what is under it is not empty.
  assert.ok(first === "## Unreleased" || first.startsWith(`## ${version}`), first);
  assert.match(changes, /^## [^\n]+\n\n- \S/m);
});

test("S2-03 a token that one brings oneself wins over the login, is not renewed and not written", async (t) => {
  const provider = await startProvider(t);
  const { settings, tokens, home } = await logIn(t, provider);
  const before = readFileSync(tokens, "utf8");
  const asked = provider.requests.length;
  const api = await listen(t, (_, response) => {
    response.writeHead(401, { "www-authenticate": 'Bearer error="invalid_token"' }).end();
  });
  const own = "a-token-of-my-own";
  const env = { ...settings, GATEPASS_ACCESS_TOKEN: own };
  assert.equal((await gatepass.run(["token"], { env })).stdout, `${own}\n`);
  assert.equal((await gatepass.run(["request", api.origin], { env })).code, 5);
  assert.equal((await gatepass.run(["exec", "--", "true"], { env })).code, 0);
  assert.equal(provider.requests.length, asked);
  assert.equal(readFileSync(tokens, "utf8"), before);
  assert.deepEqual(holders(join(home, ".gatepass"), own), []);
});

test("S2-09 S2-10 S2-11 S2-12 a login at a provider that everybody knows asks at its addresses", async (t) => {
  const PROVIDERS = [
    {
      args: ["--provider", "auth0", "--domain", "your-domain.auth0.com"],
      issuer: "https://your-domain.auth0.com/",
      endpoints: [
        "https://your-domain.auth0.com/authorize",
        "https://your-domain.auth0.com/oauth/token",
      ],
    },
    {
      args: ["--provider", "okta", "--domain", "your-domain.okta.com"],
      issuer: "https://your-domain.okta.com/oauth2/default",
      endpoints: [
        "https://your-domain.okta.com/oauth2/default/v1/authorize",
        "https://your-domain.okta.com/oauth2/default/v1/token",
      ],
    },
    {
      args: ["--provider", "entra", "--tenant", "your-tenant-id"],
      issuer: "https://login.microsoftonline.com/your-tenant-id/v2.0",
      endpoints: [
        "https://login.microsoftonline.com/your-tenant-id/oauth2/v2.0/authorize",
        "https://login.microsoftonline.com/your-tenant-id/oauth2/v2.0/token",
      ],
    },
    {
      args: ["--provider", "google"],
      issuer: "https://accounts.google.com",
      endpoints: [
        "https://accounts.google.com/o/oauth2/v2/auth",
        "https://oauth2.googleapis.com/token",
      ],
    },
  ];
  const seen = [];
  for (const { args, issuer, endpoints } of PROVIDERS) {
    const log = join(gatepass.project, "asked.txt");
    writeFileSync(log, "");
    const document = {
      issuer,
      authorization_endpoint: endpoints[0],
      token_endpoint: endpoints[1],
      jwks_uri: `${new URL(issuer).origin}/keys`,
      response_types_supported: ["code"],
    };
    const env = preload(
      "world",
      `import { appendFileSync } from "node:fs";
      globalThis.fetch = async (url, init) => {
        appendFileSync(${JSON.stringify(log)}, (init?.method ?? "GET") + " " + url + "\\n");
        if (String(url).includes("/.well-known/")) return Response.json(${JSON.stringify(document)});
        return String(url).endsWith("/keys")
          ? Response.json({ keys: [] })
          : Response.json({ error: "invalid_grant" }, { status: 400 });
      };`,
    );
    const home = makeHome();
    const login = gatepass.start(t, ["login", "--no-browser", "--client-id", "spa", ...args], {
      env: { ...home.env, ...env, GATEPASS_STORE: "file" },
    });
    const [, url] = await login.said(ADDRESS);
    const { origin, pathname, searchParams } = new URL(url);
    const state = searchParams.get("state");
    login.child.stdin.write(`${searchParams.get("redirect_uri")}?code=c&state=${state}\n`);
    assert.equal((await login.exited).code, 5);
    const [discovery, ...rest] = readFileSync(log, "utf8").trim().split("\n");
    seen.push(
      [discovery, `GET ${origin}${pathname}`, showParameters(searchParams), ...rest].join("\n"),
    );
    // The same addresses as those documents have them.
    assert.equal(origin + pathname, endpoints[0]);
    assert.deepEqual(rest, [`GET ${document.jwks_uri}`, `POST ${endpoints[1]}`]);
  }
  assertGolden("wire-providers", `${seen.join("\n\n")}\n`);
});

test("S3-17 S3-16 the gRPC client's form of an endpoint leads to its token, by the provider that it names or its own", async () => {
  const service = "https://flyte.example.com";
  for (const issuer of ["https://login.example.com", service]) {
    const log = join(gatepass.project, "asked-of-flyte.txt");
    writeFileSync(log, "");
    const documents = {
      [`${issuer}/.well-known/openid-configuration`]: { issuer, token_endpoint: `${issuer}/token` },
      [`${issuer}/token`]: { access_token: "of-flyte", token_type: "Bearer", expires_in: 300 },
      ...(issuer !== service && {
        [`${service}/.well-known/oauth-protected-resource`]: {
          resource: service,
          authorization_servers: [issuer],
        },
      }),
    };
    const env = preload(
      "flyte",
      `import { appendFileSync } from "node:fs";
      const documents = ${JSON.stringify(documents)};
      globalThis.fetch = async (url, init) => {
        appendFileSync(${JSON.stringify(log)}, (init?.method ?? "GET") + " " + url + "\\n");
        const document = documents[url];
        return document ? Response.json(document) : new Response("", { status: 404 });
      };`,
    );
    const { code, stdout, stderr } = await gatepass.run(["token", "--env-prefix", "FLYTE_"], {
      env: {
        ...env,
        HOME: makeHome().home,
        FLYTE_ENDPOINT: "dns:///flyte.example.com:443",
        FLYTE_CLIENT_ID: "your_id",
        FLYTE_CLIENT_SECRET: "your_secret",
        FLYTE_FLOW: "client_credentials",
      },
    });
    assert.deepEqual([code, stdout], [0, "of-flyte\n"], stderr);
    const asked = readFileSync(log, "utf8").trim().split("\n");
    assert.equal(asked[0], `GET ${service}/.well-known/oauth-protected-resource`);
    assert.equal(asked.at(-1), `POST ${issuer}/token`);
  }
});

test("S2-20 the token goes into curl and into a program in Python as README says", async (t) => {
  const readme = readFileSync(join(root, "README.md"), "utf8");
  const shown = [];
  const api = await listen(t, (request, response) => {
    shown.push(request.headers.authorization);
    response.end("{}");
  });
  const bin = join(gatepass.project, "node_modules/.bin");
  const env = {
    PATH: `${bin}:${process.env["PATH"]}`,
    HOME: "/nonexistent",
    GATEPASS_ACCESS_TOKEN: "own.token",
  };
  const run = promisify(execFile);
  const options = { env, cwd: gatepass.project };
  const line = 'curl -H "Authorization: Bearer $(gatepass token)"';
  assert.ok(readme.includes(line));
  const [, python] = /```python\n([^]*?)```/.exec(readme);
  for (const [program, ...args] of [
    ["curl", "sh", "-c", `${line} -s ${api.origin}`],
    ["python3", "python3", "-c", python.replace("https://api.example.com/me", api.origin)],
  ]) {
    try {
      await run(program, ["--version"]);
    } catch {
      return t.skip(`${program} is not installed`);
    }
    await run(args[0], args.slice(1), options);
  }
  assert.deepEqual(shown, ["Bearer own.token", "Bearer own.token"]);
});

test("S2-36 an answer in the name of another provider, or without one where it names itself, is refused", async (t) => {
  const provider = await startProvider(t);
  for (const change of [
    (params) => params.set("iss", "https://evil.example"),
    (params) => params.delete("iss"),
  ]) {
    const { callback, login, tokens } = await begin(t, provider);
    const back = new URL(callback());
    change(back.searchParams);
    const asked = provider.count("/token");
    await fetch(back);
    const { code, stderr } = await login.exited;
    assert.equal(code, 1, stderr);
    assert.match(stderr, /iss_(?:mismatch|missing)/);
    assert.equal(provider.count("/token"), asked, "the code goes nowhere");
    assert.ok(!existsSync(tokens));
  }
});
