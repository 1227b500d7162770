// Logging in and what follows: against a real provider, with a real browser.

import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  writeFileSync,
  rmSync,
} from "node:fs";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { createInterface } from "node:readline";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";

import { assertGolden, showParameters, showPosted } from "../support/golden.mjs";
import { launch } from "../support/browser.mjs";
import { ADDRESS, age, iso, loginsOf, makeHome, raw, read } from "../support/login.mjs";
import { lacks } from "../support/needed.mjs";
import { CLIENTS, startOidc } from "../support/oidc.mjs";
import { freePort } from "../support/port.mjs";
import { installProgram, listen, startProvider } from "../support/program.mjs";

let gatepass;
let begin;
let logIn;
let browser;
before(async () => {
  gatepass = installProgram("cli-login");
  ({ begin, logIn } = loginsOf(gatepass));
  browser = await launch();
});
after(() => browser?.close());

/** What the user does at oidc-provider's pages. */
async function signIn(url, user = "alice") {
  const context = await browser.newContext();
  const page = await context.newPage();
  const seen = [];
  page.on("request", (request) => seen.push(request.url()));
  await page.goto(url);
  await page.fill("[name=login]", user);
  await page.fill("[name=password]", "x");
  await page.click("button[type=submit]");
  await page.waitForSelector("button[type=submit]");
  await page.click("button[type=submit]");
  return { page, context, seen };
}

const mode = (path) => (statSync(path).mode & 0o777).toString(8);

test("S2-02 S2-01 S2-13 S2-36 S0-06 S0-13 S1-09 login signs in through a real browser without a secret", async (t) => {
  const port = await freePort();
  const redirectUri = `http://127.0.0.1:${port}/callback`;
  const oidc = await startOidc(t, { redirectUris: [redirectUri] });
  const { env, opened, tokens, home } = makeHome();
  const settings = {
    ...env,
    GATEPASS_ISSUER: oidc.origin,
    GATEPASS_CLIENT_ID: CLIENTS.page,
    GATEPASS_REDIRECT_URI: redirectUri,
    GATEPASS_STORE: "file",
  };
  const login = gatepass.start(t, ["login"], { env: settings });
  const [, url] = await login.said(ADDRESS);
  const asked = new URL(url).searchParams;
  assert.equal(asked.get("response_type"), "code");
  assert.equal(asked.get("scope"), "openid profile email");
  assert.ok(asked.get("nonce") && asked.get("state"));
  const { page, context, seen } = await signIn(url);
  await page.waitForSelector("text=You can close this window");
  const { code, stdout, stderr } = await login.exited;
  assert.equal(code, 0, stderr);
  assert.match(stderr, /Logged in as alice/);

  // The address is one argument of the opener.
  assert.deepEqual(await opened(), ["1", url]);

  // DEV-17: the page has nothing of the request in it and asks for nothing.
  const html = await page.content();
  const { code: secret, state } = Object.fromEntries(new URL(page.url()).searchParams);
  assert.ok(!html.includes(secret) && !html.includes(state));
  assert.equal(await page.locator("script, link, img, iframe").count(), 0);
  const last = seen.filter((one) => one.startsWith(`http://127.0.0.1:${port}/`));
  assert.ok(last.every((one) => /\/(?:callback|favicon\.ico)/.test(one)));
  await context.close();

  const saved = read(tokens);
  assert.equal(mode(tokens), "600");
  assert.equal(mode(join(home, ".gatepass/default")), "700");
  for (const name of ["access_token", "refresh_token", "expires_at"]) assert.ok(saved[name], name);
  assert.match(saved.expires_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  for (const token of [saved.access_token, saved.refresh_token, saved.id_token, secret]) {
    assert.ok(!(stdout + stderr).includes(token));
  }

  const token = await gatepass.run(["token"], { env: settings });
  assert.equal(token.stdout, `${saved.access_token}\n`);
  const status = await gatepass.run(["status", "--json"], { env: settings });
  const state2 = JSON.parse(status.stdout);
  assert.deepEqual(
    [state2.signed_in, state2.subject, state2.store, state2.refresh_available, state2.issuer],
    [true, "alice", "file", true, oidc.origin],
  );

  const logout = await gatepass.run(["logout"], { env: settings });
  assert.equal(logout.code, 0, logout.stderr);
  assert.equal(oidc.count("POST /token/revocation"), 2);
  assert.ok(!existsSync(tokens));
  const gone = await gatepass.run(["token"], { env: settings });
  assert.deepEqual([gone.code, gone.stdout], [3, ""]);
  assert.match(gone.stderr, /Error: Not logged in\. Run: gatepass login/);
});

test("S0-01 S0-02 S0-03 login --device shows address and code, polls, and keeps the tokens", async (t) => {
  const oidc = await startOidc(t);
  const { env, opened, tokens } = makeHome();
  const settings = {
    ...env,
    GATEPASS_ISSUER: oidc.origin,
    GATEPASS_CLIENT_ID: CLIENTS.page,
    GATEPASS_STORE: "file",
  };
  const login = gatepass.start(t, ["login", "--device", "--json"], { env: settings });
  await login.said(/user_code.*\n/, "stdout");
  const [, uri] = await login.said(/^Go to +(\S+)$/m);
  const [, code] = await login.said(/^and type (\S+)$/m);
  const [argc, complete] = await opened();
  assert.equal(argc, "1");
  assert.ok(complete.startsWith(uri) && complete.includes(code));

  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(complete);
  // The page sends the form of a complete address by itself.
  await page.waitForSelector("button");
  for (const _ of [1, 2, 3, 4]) {
    if (await page.locator("[name=login]").count()) {
      await page.fill("[name=login]", "bob");
      await page.fill("[name=password]", "x");
    }
    if ((await page.locator("button[type=submit]").count()) === 0) break;
    await page.locator("button[type=submit]").first().click();
    await page.waitForLoadState();
  }
  const { code: exit, stdout, stderr } = await login.exited;
  await context.close();
  assert.equal(exit, 0, stderr);
  assert.match(stderr, /Logged in as bob/);
  const [prompt, state] = stdout.trim().split("\n").map(JSON.parse);
  assert.equal(prompt.user_code, code);
  assert.equal(state.subject, "bob");
  assert.ok(read(tokens).refresh_token);
});

/** A keyring of the system in a D-Bus session of its own; or why there is none. */
async function startKeyring(t, home) {
  const missing = lacks("dbus-daemon", "dbus-send", "gnome-keyring-daemon");
  if (missing) return missing;
  const bus = spawn("dbus-daemon", ["--session", "--nofork", "--print-address"]);
  t.after(() => bus.kill());
  const [address] = await once(createInterface({ input: bus.stdout }), "line");
  const env = {
    DBUS_SESSION_BUS_ADDRESS: address,
    XDG_RUNTIME_DIR: home,
    XDG_DATA_HOME: join(home, "data"),
  };
  const daemon = spawn(
    "gnome-keyring-daemon",
    ["--unlock", "--foreground", "--components=secrets"],
    {
      env: { PATH: process.env["PATH"], HOME: home, ...env },
      stdio: ["pipe", "pipe", "ignore"],
    },
  );
  t.after(() => daemon.kill());
  daemon.stdin.end("password\n");
  const ask = [
    ...["--session", "--print-reply", "--dest=org.freedesktop.DBus", "/"],
    ...["org.freedesktop.DBus.NameHasOwner", "string:org.freedesktop.secrets"],
  ];
  for (;;) {
    const { stdout } = spawnSync("dbus-send", ask, { env: { ...process.env, ...env } });
    if (/boolean true/.test(String(stdout))) return env;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** What the command keeps in the keyring, read and written by another program. */
function useKeyring(env) {
  const file = join(gatepass.project, "keyring.mjs");
  writeFileSync(
    file,
    `import { readFileSync } from "node:fs";
    import { Entry } from "@napi-rs/keyring";
    const entry = new Entry("gatepass", "default", { linux: { store: "secret-service" } });
    const text = readFileSync(0, "utf8");
    if (text !== "") entry.setPassword(text);
    console.log(entry.getPassword());`,
  );
  const run = (input) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [file], {
      env: { PATH: process.env["PATH"], ...env },
      encoding: "utf8",
      input,
    });
    assert.equal(status, 0, stderr);
    return JSON.parse(stdout);
  };
  return { read: () => run(""), write: (saved) => run(JSON.stringify(saved)) };
}

test("S0-04 S0-15 the tokens are kept in the system's keyring where there is one, and in no file then, also when they are renewed", async (t) => {
  const provider = await startProvider(t);
  const { home } = makeHome();
  const keyring = await startKeyring(t, home);
  if (typeof keyring === "string") return t.skip(keyring);
  const { settings, tokens } = await logIn(t, provider, { ...keyring, GATEPASS_STORE: "" });
  assert.ok(!existsSync(tokens));
  const status = await gatepass.run(["status", "--json"], { env: settings });
  assert.equal(JSON.parse(status.stdout).store, "keyring", status.stderr);
  const first = await gatepass.run(["token"], { env: settings });
  assert.equal(first.code, 0, first.stderr);
  const asked = provider.count("/token");
  // Half of its life is over for everybody.
  const runs = await Promise.all(
    Array.from({ length: 5 }, () =>
      gatepass.run(["token"], { env: { ...settings, GATEPASS_REFRESH_SKEW: "3600" } }),
    ),
  );
  assert.deepEqual([...new Set(runs.map(({ stdout }) => stdout))], [first.stdout]);
  assert.equal(provider.count("/token"), asked);

  // As if the hour were over: however many need a new token, one asks for it and keeps it there.
  const entry = useKeyring(keyring);
  const before = entry.read();
  entry.write({ ...before, issued_at: iso(-3600e3), expires_at: iso(-1000) });
  const renewals = await Promise.all(
    Array.from({ length: 5 }, () => gatepass.run(["token"], { env: settings })),
  );
  const after = entry.read();
  assert.deepEqual(
    [...new Set(renewals.map(({ code, stdout, stderr }) => `${code} ${stdout}${stderr}`))],
    [`0 ${after.access_token}\n`],
  );
  assert.equal(provider.count("/token"), asked + 1);
  assert.equal(provider.reuses(), 0);
  assert.notEqual(after.access_token, before.access_token);
  assert.notEqual(after.refresh_token, before.refresh_token);
  assert.ok(Date.parse(after.expires_at) > Date.now());
  assert.ok(!existsSync(tokens));

  const none = { ...settings, DBUS_SESSION_BUS_ADDRESS: "unix:path=/nonexistent" };
  const asked2 = await gatepass.run(["token", "--store", "keyring"], { env: none });
  assert.equal(asked2.code, 2, asked2.stderr);
  assert.match(asked2.stderr, /no keyring/);
  assert.equal((await gatepass.run(["logout"], { env: settings })).code, 0);
  assert.equal((await gatepass.run(["token"], { env: settings })).code, 3);
});

test("S1-01 S0-04 the keyring keeps a program's tokens for two APIs side by side, and logout removes them", async (t) => {
  let serial = 0;
  const provider = await startProvider(t, {
    answer: (url) =>
      url.endsWith("/token")
        ? Response.json({ access_token: `t-${++serial}`, token_type: "Bearer", expires_in: 3600 })
        : undefined,
  });
  const { env, home, tokens } = makeHome();
  const keyring = await startKeyring(t, home);
  if (typeof keyring === "string") return t.skip(keyring);
  const settings = {
    ...env,
    ...keyring,
    GATEPASS_ISSUER: provider.issuer,
    GATEPASS_CLIENT_ID: "job",
    GATEPASS_CLIENT_SECRET: "a-secret-of-the-program",
    GATEPASS_FLOW: "client_credentials",
    GATEPASS_STORE: "keyring",
  };
  for (const [audience, token] of [
    ["a", "t-1\n"],
    ["b", "t-2\n"],
    ["a", "t-1\n"],
    ["b", "t-2\n"],
  ]) {
    const { stdout, stderr } = await gatepass.run(["token", "--audience", audience], {
      env: settings,
    });
    assert.equal(stdout, token, stderr);
  }
  assert.ok(!existsSync(tokens));
  assert.equal((await gatepass.run(["logout"], { env: settings })).code, 0);
  const again = await gatepass.run(["token", "--audience", "a"], { env: settings });
  assert.equal(again.stdout, "t-3\n", again.stderr);
});

test("S2-35 DEV-14 the page on this machine takes one answer, for its own name and this login only", async (t) => {
  const provider = await startProvider(t);
  const { url, callback, login } = await begin(t, provider);
  const redirectUri = new URL(url).searchParams.get("redirect_uri");
  const { port } = new URL(redirectUri);
  // Only on 127.0.0.1: no other address of this machine answers, not even another of 127/8.
  await assert.rejects(raw(redirectUri, {}, "127.0.0.2"), { code: "ECONNREFUSED" });
  const good = callback();
  const rebound = await raw(good, { host: `evil.example:${port}` });
  assert.equal(rebound.status, 421);
  assert.equal((await raw(`${redirectUri}/other`)).status, 404);
  const strange = new URL(good);
  strange.searchParams.set("state", "x".repeat(43));
  assert.equal((await raw(strange.href)).status, 400);
  assert.equal((await raw(redirectUri)).status, 400);
  const done = await raw(good);
  assert.equal(done.status, 200);
  assert.equal(done.headers["referrer-policy"], "no-referrer");
  assert.equal(done.headers["cache-control"], "no-store");
  assert.match(done.headers["content-security-policy"], /default-src 'none'/);
  assert.equal((await login.exited).code, 0);
  await assert.rejects(raw(good), { code: "ECONNREFUSED" });
});

test("DEV-14 a request for what is no path of the page is answered with 404, and the login waits on", async (t) => {
  const provider = await startProvider(t);
  const { url, callback, login } = await begin(t, provider);
  const { host, port } = new URL(new URL(url).searchParams.get("redirect_uri"));
  const { search } = new URL(callback());
  const status = async (target) => {
    const socket = connect(Number(port), "127.0.0.1");
    socket.write(`GET ${target} HTTP/1.1\r\nhost: ${host}\r\n\r\n`);
    let answer = "";
    for await (const data of socket) answer += data;
    return /^HTTP\/1\.1 (\d+)/.exec(answer)?.[1];
  };
  for (const target of [
    "//",
    "/\\",
    "//:80",
    "///",
    "//callback",
    "*",
    `http://${host}/callback`,
  ]) {
    assert.equal(await status(target + (target.endsWith("callback") ? search : "")), "404", target);
  }
  assert.equal(await status(`/callback${search}`), "200");
  const { code, stderr } = await login.exited;
  assert.equal(code, 0, stderr);
});

test("DEV-17 the page shows nothing of the callback, whether it went well or not", async (t) => {
  const provider = await startProvider(t);
  for (const change of [() => {}, (params) => params.set("error", "access_denied")]) {
    const { callback, login } = await begin(t, provider);
    const back = new URL(callback());
    change(back.searchParams);
    if (back.searchParams.has("error")) back.searchParams.delete("code");
    const { text, headers } = await raw(back.href);
    for (const value of back.searchParams.values()) assert.ok(!text.includes(value), value);
    assert.doesNotMatch(text, /<(?:script|link|img|iframe|style)\b|https?:/);
    assert.equal(headers["referrer-policy"], "no-referrer");
    assert.equal((await login.exited).code, back.searchParams.has("error") ? 5 : 0);
  }
});

test("S2-07 DEV-15 the default comes back to the address 127.0.0.1:8088; where AUTH_ENDPOINT says who the provider is, to localhost", async (t) => {
  const provider = await startProvider(t);
  const { env } = makeHome();
  const taken = createServer();
  await new Promise((resolve) => taken.once("error", resolve).listen(8088, "127.0.0.1", resolve));
  t.after(() => taken.close());
  for (const [settings, host] of [
    [{ GATEPASS_ISSUER: provider.issuer, GATEPASS_CLIENT_ID: "spa" }, "127.0.0.1"],
    [
      {
        GATEPASS_AUTH_ENDPOINT: `${provider.issuer}/authorize`,
        GATEPASS_TOKEN_ENDPOINT: `${provider.issuer}/token`,
        GATEPASS_CLIENT_ID: "spa",
      },
      "localhost",
    ],
  ]) {
    const all = { ...env, ...settings, GATEPASS_STORE: "file" };
    const busy = await gatepass.run(["login"], { env: all });
    assert.equal(busy.code, 1);
    assert.match(busy.stderr, /Cannot wait on 127\.0\.0\.1:8088: it is in use; .*--port/);
    // Who pastes the address needs no port of this machine.
    const login = gatepass.start(t, ["login", "--no-browser"], { env: all });
    const [, url] = await login.said(ADDRESS);
    const back = new URL(url).searchParams.get("redirect_uri");
    assert.equal(back, `http://${host}:8088/callback`);
  }
  for (const uri of ["https://127.0.0.1:8088/callback", "http://192.0.2.1:8088/callback"]) {
    const elsewhere = await gatepass.run(["login", "--redirect-uri", uri], {
      env: { ...env, GATEPASS_ISSUER: provider.issuer, GATEPASS_CLIENT_ID: "spa" },
    });
    assert.equal(elsewhere.code, 2);
  }
});

test("S2-30 without a browser the address is shown, and the one that came back can be pasted", async (t) => {
  const provider = await startProvider(t);
  const { callback, login, opened: _, home, tokens } = await begin(t, provider, ["--no-browser"]);
  login.child.stdin.write("http://evil.example/callback?code=1\n");
  await login.said(/does not begin with/);
  const strange = new URL(callback());
  strange.searchParams.set("state", "y".repeat(43));
  login.child.stdin.write(`${strange.href}\n`);
  await login.said(/not the login that waits/);
  login.child.stdin.write(`${callback()}\n`);
  const { code, stderr } = await login.exited;
  assert.equal(code, 0, stderr);
  assert.ok(read(tokens).access_token);
  assert.ok(!existsSync(join(home, "opened")));
});

test("S2-30 where the port is in use and standard input ends, nobody can come back, which is said at once", async (t) => {
  const provider = await startProvider(t);
  const { origin } = await listen(t, (_request, response) => response.end());
  const { env, tokens } = makeHome();
  const settings = {
    ...env,
    GATEPASS_ISSUER: provider.issuer,
    GATEPASS_CLIENT_ID: provider.clientId,
    GATEPASS_STORE: "file",
    GATEPASS_REDIRECT_URI: `${origin}/callback`,
  };
  const args = ["login", "--no-browser"];
  for (const input of [
    "",
    "http://evil.example/callback?code=1\n",
    `${origin}/callback?state=x\n`,
  ]) {
    const { code, stderr } = await gatepass.run(args, { env: settings, input });
    assert.equal(code, 1, stderr);
    assert.match(
      stderr,
      /^Error: Standard input has ended without the address, and no page waits for the browser\.\nError: Cannot wait on 127\.0\.0\.1:\d+: it is in use/m,
    );
    assert.ok(!existsSync(tokens));
  }
  // An address that comes last counts.
  const login = gatepass.start(t, args, { env: settings });
  const [, url] = await login.said(ADDRESS);
  login.child.stdin.end(provider.signInAt(url));
  const { code, stderr } = await login.exited;
  assert.equal(code, 0, stderr);
  assert.ok(read(tokens).access_token);
  // Where a page waits, the browser still finds it.
  const other = await begin(t, provider, ["--no-browser"]);
  other.login.child.stdin.end();
  await other.login.said(/Or paste the address/);
  await fetch(other.callback());
  assert.equal((await other.login.exited).code, 0);
});

test("S2-30 a browser that cannot be opened is said so, and the address stays good", async (t) => {
  const provider = await startProvider(t);
  const { callback, login } = await begin(t, provider, [], {
    PATH: "/nonexistent",
    DISPLAY: ":0",
  });
  await login.said(/No browser could be opened/);
  await fetch(callback());
  assert.equal((await login.exited).code, 0);
});

test("the fresher login that an API may want is one that the hint says how to get", async (t) => {
  const { hintOf } = await import(join(dirname(gatepass.program), "failure.js"));
  const [, args] = /gatepass login (\S+ \S+) is one\./.exec(hintOf("step_up_required", ""));
  const provider = await startProvider(t);
  const { url } = await begin(t, provider, args.split(" "));
  assert.equal(new URL(url).searchParams.get("prompt"), "login");
});

test("S2-31 a login that nobody completes ends with 4 and frees its port", async (t) => {
  const provider = await startProvider(t);
  const { login, url } = await begin(t, provider, ["--timeout", "1"]);
  const { code, stderr } = await login.exited;
  assert.equal(code, 4);
  assert.match(stderr, /Error: Authentication timeout/);
  await assert.rejects(raw(new URL(url).searchParams.get("redirect_uri")), {
    code: "ECONNREFUSED",
  });
  const { stdout } = await gatepass.run(["help", "login"]);
  assert.match(stdout, /--timeout SECONDS .*Default: 300/);
});

test("S2-27 S2-28 what is missing is named: 2 without a provider, 3 without a login", async (t) => {
  const { env } = makeHome();
  const none = await gatepass.run(["login"], { env });
  assert.equal(none.code, 2);
  assert.match(none.stderr, /^Error: OAuth2 is not configured$/m);
  for (const name of ["AUTH_URL", "TOKEN_URL", "CLIENT_ID", "ISSUER"]) {
    assert.match(none.stderr, new RegExp(`GATEPASS_${name}\\b`));
  }
  const provider = await startProvider(t);
  const settings = { ...env, GATEPASS_ISSUER: provider.issuer, GATEPASS_CLIENT_ID: "spa" };
  for (const args of [
    ["token"],
    ["exec", "--", "true"],
    ["request", "http://127.0.0.1:1/"],
    ["status"],
  ]) {
    const { code, stderr, stdout } = await gatepass.run(args, { env: settings });
    assert.deepEqual([code, stdout], [3, ""], args[0]);
    assert.match(stderr, /^Error: Not logged in\. Run: gatepass login$/m);
  }
});

test("S2-04 S2-05 S2-06 S2-08 S2-14 S2-17 S2-18 the variables of the gateway's own documentation work unchanged", async (t) => {
  const provider = await startProvider(t, { scope: "openid profile email" });
  const { home, env } = makeHome();
  const path = join(home, ".fluidmcp/oauth/tokens.json");
  const settings = {
    ...env,
    FMCP_OAUTH_AUTH_ENDPOINT: `${provider.issuer}/authorize`,
    FMCP_OAUTH_TOKEN_ENDPOINT: `${provider.issuer}/token`,
    FMCP_OAUTH_CLIENT_ID: "spa",
    FMCP_OAUTH_STORE_PATH: "~/.fluidmcp/oauth/tokens.json",
  };
  const prefix = ["--env-prefix", "FMCP_OAUTH_"];
  const login = gatepass.start(t, ["login", "--port", "0", ...prefix], { env: settings });
  const [, url] = await login.said(ADDRESS);
  const { origin, pathname, searchParams } = new URL(url);
  assert.equal(origin + pathname, `${provider.issuer}/authorize`);
  assert.equal(searchParams.get("scope"), "openid profile email");
  assert.equal(searchParams.get("client_id"), "spa");
  const back = provider.signInAt(url);
  assert.match(back, /^http:\/\/localhost:/);
  await raw(back, { host: new URL(back).host });
  assert.equal((await login.exited).code, 0);
  assert.ok(read(path).access_token);
  const token = await gatepass.run(["token", ...prefix], { env: settings });
  assert.equal(token.stdout.trim(), read(path).access_token);
  const manual = { ...settings, FMCP_OAUTH_ACCESS_TOKEN: "your_access_token_here" };
  const shown = await gatepass.run(["token", ...prefix], { env: manual });
  assert.equal(shown.stdout, "your_access_token_here\n");
  assert.equal((await gatepass.run(["logout", ...prefix], { env: settings })).code, 0);
  assert.ok(!existsSync(path));
});

test("S2-08 S2-07 the gateway's own scope and redirect address are used as they are said", async (t) => {
  const provider = await startProvider(t);
  const { env } = makeHome();
  const redirectUri = `http://localhost:${await freePort()}/auth/done`;
  const login = gatepass.start(t, ["login", "--env-prefix", "FMCP_OAUTH_"], {
    env: {
      ...env,
      FMCP_OAUTH_AUTH_ENDPOINT: `${provider.issuer}/authorize`,
      FMCP_OAUTH_TOKEN_ENDPOINT: `${provider.issuer}/token`,
      FMCP_OAUTH_CLIENT_ID: "spa",
      FMCP_OAUTH_REDIRECT_URI: redirectUri,
      FMCP_OAUTH_SCOPE: "openid read",
      FMCP_OAUTH_STORE: "file",
    },
  });
  const [, url] = await login.said(ADDRESS);
  const { searchParams } = new URL(url);
  assert.deepEqual(
    [searchParams.get("scope"), searchParams.get("redirect_uri")],
    ["openid read", redirectUri],
  );
  const back = provider.signInAt(url);
  assert.ok(back.startsWith(`${redirectUri}?`));
  assert.equal((await raw(back, { host: new URL(back).host })).status, 200);
  const { code, stderr } = await login.exited;
  assert.equal(code, 0, stderr);
});

/** What a provider answers to a device that asks for a code. */
const deviceCode = () =>
  Response.json({
    device_code: "d",
    user_code: "ABCD-EFGH",
    verification_uri: "https://login.example/device",
    expires_in: 60,
    interval: 1,
  });

test("S0-10 S0-11 S0-12 the variables of the job tool's documentation work unchanged", async (t) => {
  const asked = [];
  const provider = await startProvider(t, {
    scope: "read write",
    answer: (url, init) => {
      const { pathname } = new URL(url);
      if (pathname === "/oauth/device") {
        asked.push(new URLSearchParams(init.body));
        return deviceCode();
      }
      if (pathname !== "/oauth/token") return undefined;
      asked.push(new URLSearchParams(init.body));
      return Response.json({ access_token: "a-token", token_type: "Bearer", expires_in: 300 });
    },
  });
  const { env, tokens } = makeHome();
  const settings = {
    ...env,
    MLTF_CLIENT_ID: "your_client_id",
    MLTF_CLIENT_SECRET: "your_client_secret",
    MLTF_AUTH_URL: `${provider.issuer}/oauth/authorize`,
    MLTF_TOKEN_URL: `${provider.issuer}/oauth/token`,
    MLTF_SCOPES: "read write",
    MLTF_STORE: "file",
  };
  const prefix = ["--device", "--env-prefix", "MLTF_"];
  // The documentation names no endpoint for devices: which one is missing is said.
  const missing = await gatepass.run(["login", ...prefix], { env: settings });
  assert.equal(missing.code, 2);
  assert.match(missing.stderr, /deviceUrl \(--device-url, MLTF_DEVICE_URL\) is not set/);
  const all = { ...settings, MLTF_DEVICE_URL: `${provider.issuer}/oauth/device` };
  const { code, stderr } = await gatepass.run(["login", ...prefix], { env: all });
  assert.equal(code, 0, stderr);
  assert.equal(asked[0].get("scope"), "read write");
  assert.equal(asked.at(-1).get("device_code"), "d");
  const saved = readFileSync(tokens, "utf8");
  assert.equal(JSON.parse(saved).scope, "read write");
  assert.ok(!saved.includes("your_client_secret"));
  const status = await gatepass.run(["status", "--env-prefix", "MLTF_"], { env: all });
  assert.match(status.stdout, /^scope +read write$/m);
});

test("S2-29 a login at addresses alone is used and kept where it is not known at the moment what their provider is called", async (t) => {
  let isDown = false;
  const provider = await startProvider(t, {
    answer: (url) => {
      const { origin, pathname } = new URL(url);
      if (pathname.startsWith("/.well-known/")) {
        if (isDown) return new Response("", { status: 503 });
        // As Auth0 is called: by its address and a slash.
        return Response.json({
          issuer: `${origin}/`,
          authorization_endpoint: `${origin}/authorize`,
          token_endpoint: `${origin}/token`,
          jwks_uri: `${origin}/jwks`,
        });
      }
      if (pathname === "/device") {
        return deviceCode();
      }
      if (pathname !== "/token") return undefined;
      const tokens = { access_token: "a-token", refresh_token: "r-token", expires_in: 3600 };
      return Response.json({ ...tokens, token_type: "Bearer" });
    },
  });
  const { env, tokens } = makeHome();
  const settings = {
    ...env,
    GATEPASS_AUTH_URL: `${provider.issuer}/authorize`,
    GATEPASS_TOKEN_URL: `${provider.issuer}/token`,
    GATEPASS_DEVICE_URL: `${provider.issuer}/device`,
    GATEPASS_CLIENT_ID: "cli",
    GATEPASS_SCOPES: "read",
    GATEPASS_STORE: "file",
  };
  const run = (...args) => gatepass.run(args, { env: settings });
  assert.equal((await run("login", "--device")).code, 0);
  assert.equal(read(tokens).issuer, `${provider.issuer}/`);
  isDown = true;
  const asked = provider.requests.length;
  assert.equal((await run("token")).stdout, "a-token\n");
  assert.equal(provider.requests.length, asked, "nobody is asked for a token that is good");
  const kept = age(tokens);
  const { code, stderr } = await run("token");
  assert.equal(code, 1);
  assert.match(stderr, /could not be read \(HTTP 503\)\.\nError: The login is kept/);
  assert.equal(read(tokens).refresh_token, kept.refresh_token);
  assert.equal(provider.count("/token"), 1);
  isDown = false;
  assert.equal((await run("token")).code, 0);
  assert.equal(provider.count("/token"), 2);
  // Who signs in meanwhile does so under the address, and goes on afterwards.
  isDown = true;
  assert.equal((await run("login", "--device")).code, 0);
  assert.equal(read(tokens).issuer, provider.issuer);
  age(tokens);
  assert.equal((await run("token")).code, 0, "under the same name");
  age(tokens);
  isDown = false;
  assert.equal((await run("token")).code, 0, "under its own");
  assert.equal(read(tokens).issuer, `${provider.issuer}/`);
});

test("S0-03 a device login ends with 5 when the user says no, with 4 when the code or the time is over", async (t) => {
  for (const [error, args, code] of [
    ["access_denied", [], 5],
    ["expired_token", [], 4],
    ["authorization_pending", ["--timeout", "1"], 4],
  ]) {
    const provider = await startProvider(t, {
      answer: (url) => {
        const { pathname } = new URL(url);
        if (pathname === "/device") {
          return deviceCode();
        }
        return pathname === "/token" ? Response.json({ error }, { status: 400 }) : undefined;
      },
    });
    const { env } = makeHome();
    const all = {
      ...env,
      GATEPASS_ISSUER: provider.issuer,
      GATEPASS_DEVICE_URL: `${provider.issuer}/device`,
      GATEPASS_CLIENT_ID: "spa",
      GATEPASS_STORE: "file",
    };
    const ended = await gatepass.run(["login", "--device", ...args], { env: all });
    assert.equal(ended.code, code, ended.stderr);
  }
});

test("S2-21 a file that another tool wrote is read, and refreshed in the same form", async (t) => {
  const provider = await startProvider(t);
  // Whoever wrote it signed in: the provider knows its refresh token.
  const { settings, tokens } = await logIn(t, provider);
  const { access_token, refresh_token } = read(tokens);
  const expires_at = new Date(Date.now() + 3600e3).toISOString().replace(/\.\d+Z/, "Z");
  writeFileSync(tokens, JSON.stringify({ access_token, refresh_token, expires_at }));
  const asked = provider.count("/token");
  const token = await gatepass.run(["token"], { env: settings });
  assert.equal(token.stdout, `${access_token}\n`, token.stderr);
  assert.equal(provider.count("/token"), asked);
  const past = new Date(Date.now() - 1000).toISOString();
  writeFileSync(tokens, JSON.stringify({ access_token, refresh_token, expires_at: past }));
  const next = await gatepass.run(["token"], { env: settings });
  assert.equal(next.code, 0, next.stderr);
  const saved = read(tokens);
  assert.equal(next.stdout, `${saved.access_token}\n`);
  assert.notEqual(saved.refresh_token, refresh_token);
  assert.ok(Date.parse(saved.expires_at) > Date.now());
  // As a tool writes that has a name for everything, whatever else is configured here.
  const nothing = { id_token: null, scope: null, issuer: null, client_id: null, resource: null };
  for (const [more, env] of [
    [nothing, {}],
    [{}, { GATEPASS_AUDIENCE: "https://api.example" }],
    [nothing, { GATEPASS_RESOURCES: "https://api.example" }],
    [{ id_token: "", scope: "" }, {}],
  ]) {
    const { access_token, refresh_token } = read(tokens);
    for (const at of [expires_at, past]) {
      const text = JSON.stringify({ access_token, refresh_token, expires_at: at, ...more });
      writeFileSync(tokens, text);
      const { code, stdout, stderr } = await gatepass.run(["token"], {
        env: { ...settings, ...env },
      });
      assert.equal(code, 0, stderr);
      assert.equal(stdout, `${read(tokens).access_token}\n`);
      assert.equal(read(tokens).access_token === access_token, at === expires_at);
    }
  }
  const text = JSON.stringify({ access_token, refresh_token: null, expires_at: past });
  writeFileSync(tokens, text);
  const over = await gatepass.run(["token"], { env: settings });
  assert.match(over.stderr, /Not logged in \(token expired at /);
  const status = await gatepass.run(["status", "--json"], { env: settings });
  assert.equal(JSON.parse(status.stdout).refresh_available, false);
  assert.equal(readFileSync(tokens, "utf8"), text);
});

test("S2-22 tokens that others can read or write are refused until that is put right", async (t) => {
  const provider = await startProvider(t);
  const { settings, tokens, home } = await logIn(t, provider);
  const folder = join(home, ".gatepass/default");
  for (const [path, bits] of [
    [tokens, 0o644],
    [tokens, 0o620],
    [folder, 0o777],
  ]) {
    chmodSync(path, bits);
    const { code, stdout, stderr } = await gatepass.run(["token"], { env: settings });
    assert.deepEqual([code, stdout], [2, ""]);
    assert.match(stderr, /by others \(0\d{3}\); gatepass status --fix-perms/);
    const fixed = await gatepass.run(["status", "--fix-perms"], { env: settings });
    assert.equal(fixed.code, 0, fixed.stderr);
    assert.deepEqual([mode(tokens), mode(folder)], ["600", "700"]);
  }
  assert.deepEqual(
    readdirSync(folder).filter((name) => name !== "tokens.json"),
    [],
    "nothing else is left",
  );
});

test("S2-23 S2-15 S0-15 S0-16 a token is renewed 300 s before its end, but not in the first half of its life", async (t) => {
  for (const [expiresIn, isRenewed] of [
    [3600, false],
    [301, false],
    // With 300 s at the end and half at most: after 150 s of 300.
    [2, true],
  ]) {
    const provider = await startProvider(t, { expiresIn });
    const { settings, tokens } = await logIn(t, provider);
    const before = read(tokens);
    if (isRenewed) {
      const elapsed = { ...before, issued_at: iso(-2000), expires_at: iso(0) };
      writeFileSync(tokens, JSON.stringify(elapsed));
    }
    const { stdout, stderr } = await gatepass.run(["token"], { env: settings });
    const now = read(tokens);
    assert.equal(stdout, `${now.access_token}\n`, stderr);
    assert.equal(now.access_token !== before.access_token, isRenewed, String(expiresIn));
    assert.equal(now.refresh_token !== before.refresh_token, isRenewed);
  }
  // An hour, of which four minutes are left.
  const provider = await startProvider(t);
  const { settings, tokens } = await logIn(t, provider);
  const before = read(tokens);
  writeFileSync(
    tokens,
    JSON.stringify({ ...before, issued_at: iso(-56 * 60e3), expires_at: iso(4 * 60e3) }),
  );
  await gatepass.run(["token"], { env: settings });
  assert.notEqual(read(tokens).access_token, before.access_token);
});

test("S2-24 without a refresh token an expired login is over, and it says since when", async (t) => {
  const provider = await startProvider(t);
  const { settings, tokens } = await logIn(t, provider);
  const { refresh_token: _, ...rest } = age(tokens);
  writeFileSync(tokens, JSON.stringify({ ...rest, expires_at: "2025-01-02T03:04:05.000Z" }));
  const { code, stderr } = await gatepass.run(["token"], { env: settings });
  assert.equal(code, 3);
  assert.match(stderr, /Not logged in \(token expired at 2025-01-02T03:04:05\.000Z\)/);
});

test("S2-29 a refresh that the provider refuses ends the login; one that fails on the way does not", async (t) => {
  let isDown = false;
  const provider = await startProvider(t, {
    answer: (url) =>
      isDown && url.endsWith("/token") ? new Response("<h1>busy</h1>", { status: 503 }) : undefined,
  });
  const { settings, tokens } = await logIn(t, provider);
  const { refresh_token } = age(tokens);
  isDown = true;
  const failed = await gatepass.run(["token"], { env: settings });
  assert.equal(failed.code, 1);
  assert.match(failed.stderr, /Token refresh failed: .*\n.*The login is kept/);
  assert.equal(read(tokens).refresh_token, refresh_token);
  isDown = false;
  provider.revoke();
  const refused = await gatepass.run(["token"], { env: settings });
  assert.equal(refused.code, 3);
  assert.match(refused.stderr, /Token refresh failed: .*invalid_grant/);
  assert.match(refused.stderr, /Run: gatepass login/);
  assert.ok(!existsSync(tokens));
});

test("S2-29 S0-15 a signal does not come between a refresh token that was sent and the one that came for it", async (t) => {
  let arrived;
  let release;
  const provider = await startProvider(t, {
    answer: async (url, init) => {
      if (!url.endsWith("/token") || !String(init.body).includes("grant_type=refresh_token"))
        return;
      arrived();
      await new Promise((resolve) => (release = resolve));
    },
  });
  const { settings, tokens } = await logIn(t, provider);
  for (const [args, signals, expected] of [
    [["token"], ["SIGINT"], 130],
    [["token"], ["SIGTERM"], 143],
    [["exec", "--", "echo", "ran"], ["SIGHUP"], 129],
    // Who says so twice waits for nothing.
    [["token"], ["SIGINT", "SIGTERM"], 143],
  ]) {
    const { refresh_token } = age(tokens);
    const asked = new Promise((resolve) => (arrived = resolve));
    const run = gatepass.start(t, args, { env: settings });
    await asked;
    for (const signal of signals) {
      run.child.kill(signal);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    if (signals.length === 1) release();
    const { code, stdout, stderr } = await run.exited;
    assert.deepEqual([code, stdout], [expected, ""], stderr);
    assert.equal(read(tokens).refresh_token !== refresh_token, signals.length === 1);
    if (signals.length === 1) assert.match(stderr, /Interrupted\. .* finished first/);
    release();
  }
});

test("S2-29 S0-15 a signal that waited does not hide that the login is over, or that its tokens could not be kept", async (t) => {
  for (const [spoil, said] of [
    [() => Response.json({ error: "invalid_grant" }, { status: 400 }), /The login is over\. Run: /],
    [
      (tokens) => {
        rmSync(tokens);
        mkdirSync(tokens);
      },
      /tokens\.json is no plain file\.\nError: The new tokens are lost, and with them the login/,
    ],
  ]) {
    let arrived;
    let release;
    let tokens;
    const asked = new Promise((resolve) => (arrived = resolve));
    const provider = await startProvider(t, {
      answer: async (url, init) => {
        if (!url.endsWith("/token") || !String(init.body).includes("grant_type=refresh_token"))
          return undefined;
        arrived();
        await new Promise((resolve) => (release = resolve));
        return spoil(tokens);
      },
    });
    const made = await logIn(t, provider);
    ({ tokens } = made);
    age(tokens);
    const run = gatepass.start(t, ["token"], { env: made.settings });
    await asked;
    run.child.kill("SIGTERM");
    await new Promise((resolve) => setTimeout(resolve, 100));
    release();
    const { code, stdout, stderr } = await run.exited;
    assert.deepEqual([code, stdout], [143, ""], stderr);
    assert.match(stderr, /Interrupted\. .* finished first/);
    assert.match(stderr, said);
  }
});

test("S1-07 twenty processes that need a refresh make one", async (t) => {
  const provider = await startProvider(t);
  const { settings, tokens, home } = await logIn(t, provider);
  age(tokens);
  const asked = provider.count("/token");
  const runs = await Promise.all(
    Array.from({ length: 20 }, () => gatepass.run(["token"], { env: settings })),
  );
  assert.deepEqual([...new Set(runs.map(({ code, stderr }) => `${code}${stderr}`))], ["0"]);
  assert.deepEqual(
    [...new Set(runs.map(({ stdout }) => stdout.trim()))],
    [read(tokens).access_token],
  );
  assert.equal(provider.count("/token"), asked + 1);
  assert.equal(provider.reuses(), 0);
  assert.deepEqual(readdirSync(join(home, ".gatepass/default")), ["tokens.json"]);
});

test("S1-07 the lock of a process that is gone stops nobody", async (t) => {
  const provider = await startProvider(t);
  const { settings, tokens } = await logIn(t, provider);
  age(tokens);
  const [lock, file] = [
    `${tokens}.lock`,
    join(gatepass.project, "node_modules/gatepass/dist/cli/process-lock.js"),
  ].map((path) => JSON.stringify(path));
  const script = `const { alone } = await import(${file}); await alone(${lock}, 1000, () => process.exit());`;
  spawnSync(process.execPath, ["--input-type=module", "-e", script]);
  assert.ok(existsSync(`${tokens}.lock`));
  const begun = performance.now();
  const { code, stderr } = await gatepass.run(["token"], { env: settings });
  assert.equal(code, 0, stderr);
  // Whose process may live is waited for for 20 seconds.
  assert.ok(performance.now() - begun < 15_000);
  assert.ok(!existsSync(`${tokens}.lock`));
});

test("S0-14 logout ends the login here even when the provider is down, and --global shows where to go", async (t) => {
  let isDown = false;
  const provider = await startProvider(t, {
    answer: (url) => (isDown ? new Response("", { status: 503 }) : undefined),
  });
  const first = await logIn(t, provider);
  const global = await gatepass.run(["logout", "--global", "--no-browser"], {
    env: first.settings,
  });
  assert.equal(global.code, 0, global.stderr);
  assert.equal(provider.count("/revoke"), 2);
  assert.match(global.stderr, new RegExp(`${provider.issuer}/logout\\?`));
  const second = await logIn(t, provider);
  isDown = true;
  const offline = await gatepass.run(["logout"], { env: second.settings });
  assert.equal(offline.code, 0);
  assert.match(offline.stderr, /may live on at the provider/);
  assert.ok(!existsSync(second.tokens));
  const again = await gatepass.run(["logout"], { env: second.settings });
  assert.deepEqual([again.code, again.stderr], [0, "Nobody was logged in.\n"]);
  isDown = false;
  const third = await logIn(t, provider);
  provider.server.close();
  provider.server.closeAllConnections();
  const away = await gatepass.run(["logout", "--json"], { env: third.settings });
  assert.equal(JSON.parse(away.stdout).revoked, false);
  assert.match(
    away.stderr,
    /may live on at the provider: upstream_unreachable: .* doctor says why/,
  );
  assert.doesNotMatch(away.stderr, /CORS|page/);
});

test("tokens of another client or provider are left alone", async (t) => {
  const provider = await startProvider(t);
  const { settings, tokens } = await logIn(t, provider);
  const before = readFileSync(tokens, "utf8");
  const other = { ...settings, GATEPASS_CLIENT_ID: "other" };
  const { code, stderr } = await gatepass.run(["token"], { env: other });
  assert.equal(code, 3);
  assert.match(stderr, /belongs to another client or provider/);
  assert.equal(readFileSync(tokens, "utf8"), before);
});

test("S1-22 S3-09 request renews the token once when the API refuses it", async (t) => {
  const provider = await startProvider(t);
  const { settings, tokens } = await logIn(t, provider);
  const old = read(tokens).access_token;
  const seen = [];
  const api = await listen(t, (request, response) => {
    seen.push(request.headers.authorization);
    const isGood = request.headers.authorization !== `Bearer ${old}` && request.url === "/";
    if (!isGood) response.writeHead(401, { "www-authenticate": 'Bearer error="invalid_token"' });
    response.end(isGood ? "yes" : "no");
  });
  const good = await gatepass.run(["request", `${api.origin}/`], { env: settings });
  assert.deepEqual([good.code, good.stdout], [0, "yes"]);
  assert.deepEqual(seen, [`Bearer ${old}`, `Bearer ${read(tokens).access_token}`]);
  const bad = await gatepass.run(["request", `${api.origin}/never`], { env: settings });
  assert.equal(bad.code, 5);
  assert.equal(seen.length, 4);
  // What cannot be renewed is the API's to judge, and its answer is shown.
  const { refresh_token: _, ...rest } = read(tokens);
  writeFileSync(tokens, JSON.stringify(rest));
  const refused = await gatepass.run(["request", `${api.origin}/never`], { env: settings });
  assert.deepEqual([refused.code, refused.stdout], [5, "no"]);
  assert.match(refused.stderr, /The server answered 401/);
  assert.equal(seen.length, 5);
});

test("DEV-20 no secret is an argument, and none reaches the program that exec runs or what is printed", async (t) => {
  const provider = await startProvider(t);
  const secret = "client-secret-0123456789-abcdefghij";
  const file = join(gatepass.project, "secret-of-argv");
  writeFileSync(file, secret);
  const { settings, tokens } = await logIn(t, provider, { GATEPASS_CLIENT_SECRET: secret });
  assert.ok(!readFileSync(tokens, "utf8").includes(secret));
  const run = (args, env = settings) => gatepass.run(args, { env });
  // A flag takes the file of a secret, never the secret.
  for (const flag of ["--client-secret", "--access-token", "--token"]) {
    const { code, stderr } = await run(["token", flag, secret]);
    assert.equal(code, 2);
    assert.ok(!stderr.includes(secret), flag);
  }
  const env = await run(["exec", "--", "env"]);
  assert.equal(env.code, 0, env.stderr);
  assert.ok(env.stdout.includes(`ACCESS_TOKEN=${read(tokens).access_token}`));
  assert.ok(!env.stdout.includes(secret) && !env.stdout.includes(read(tokens).refresh_token));
  if (existsSync("/proc/self/cmdline")) {
    const argv = await run(["exec", "--", "cat", "/proc/self/cmdline"]);
    assert.ok(!argv.stdout.includes(read(tokens).access_token));
  }
  // A store that cannot be written: a crash of another kind.
  const broken = { ...settings, GATEPASS_STORE_PATH: "/dev/null/tokens.json" };
  const crash = await run(["token"], broken);
  assert.ok(crash.code !== 0 && !(crash.stderr + crash.stdout).includes(secret));
});

test("DEV-19 a token is not printed on a terminal unless one asks for it, and --json says nothing else", async (t) => {
  const { env } = makeHome();
  const settings = { ...env, GATEPASS_ACCESS_TOKEN: "a-token-of-mine" };
  const json = await gatepass.run(["token", "--json"], { env: settings });
  assert.deepEqual(JSON.parse(json.stdout), { access_token: "a-token-of-mine" });
  const onTerminal = (...args) => {
    const command = [process.execPath, gatepass.program, ...args].join(" ");
    const { status, stdout, error } = spawnSync("script", ["-qec", command, "/dev/null"], {
      env: { ...settings, PATH: process.env["PATH"], TERM: "xterm" },
      encoding: "utf8",
    });
    return { status, stdout, error };
  };
  const plain = onTerminal("token");
  if (plain.error) return t.skip("script (util-linux) is not installed: no terminal");
  assert.equal(plain.status, 2);
  assert.ok(!plain.stdout.includes("a-token-of-mine"));
  assert.match(plain.stdout, /\u001b\[31mError/, "in colour, on a terminal");
  const shown = onTerminal("token", "--show");
  assert.equal(shown.stdout.trim(), "a-token-of-mine");
});

test("S2-26 plain http to another machine is refused, and tokens in a work tree are warned of", async (t) => {
  const { env, home } = makeHome();
  const insecure = await gatepass.run(["login"], {
    env: { ...env, GATEPASS_ISSUER: "http://login.example", GATEPASS_CLIENT_ID: "spa" },
  });
  assert.equal(insecure.code, 2);
  assert.match(insecure.stderr, /url_insecure/);
  mkdirSync(join(home, ".git"));
  const provider = await startProvider(t);
  const { login, callback } = await begin(t, provider, [], {
    GATEPASS_STORE_PATH: join(home, "tokens.json"),
    GATEPASS_SCOPES: "openid read admin",
  });
  await login.said(/lies in a git work tree/);
  await fetch(callback());
  const { stderr, code } = await login.exited;
  assert.equal(code, 0, stderr);
  assert.match(stderr, /Not granted: admin\. Granted: openid read\./);
});

test("S1-19 the requests of a login, a renewal and a logout, letter by letter", async (t) => {
  const provider = await startProvider(t);
  const { settings, tokens, url } = await logIn(t, provider);
  age(tokens);
  await gatepass.run(["token"], { env: settings });
  await gatepass.run(["logout"], { env: settings });
  const { pathname, search } = new URL(url);
  const asked = `GET ${pathname}\n${showParameters(search)}`;
  assertGolden("wire-login", `${[asked, ...showPosted(provider)].join("\n\n")}\n`);
});

test("S1-19 the requests of a device login, letter by letter", async (t) => {
  for (const [name, secret] of [
    ["wire-device", {}],
    ["wire-device-secret", { GATEPASS_CLIENT_SECRET: "secret-of-the-tool-0123456789" }],
  ]) {
    let polls = 0;
    const provider = await startProvider(t, {
      answer: (url) => {
        const { pathname } = new URL(url);
        if (pathname === "/device") {
          return Response.json({
            ...{ device_code: "GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS", user_code: "WDJB-MJHT" },
            ...{ verification_uri: "https://login.example/device", expires_in: 60, interval: 1 },
          });
        }
        if (pathname !== "/token") return undefined;
        return ++polls === 1
          ? Response.json({ error: "authorization_pending" }, { status: 400 })
          : Response.json({ access_token: "a", token_type: "Bearer", expires_in: 60 });
      },
    });
    const { env, home } = makeHome();
    const run = await gatepass.run(["login", "--device", "--no-browser"], {
      cwd: home,
      env: {
        ...env,
        ...secret,
        GATEPASS_ISSUER: provider.issuer,
        GATEPASS_DEVICE_URL: `${provider.issuer}/device`,
        GATEPASS_CLIENT_ID: "tool",
        GATEPASS_SCOPES: "read write",
        GATEPASS_STORE: "file",
      },
    });
    assert.equal(run.code, 0, run.stderr);
    assert.equal(polls, 2);
    assertGolden(name, `${showPosted(provider).join("\n\n")}\n`);
  }
});

/** A provider whose device endpoint answers so. */
const startDevice = (t, prompt) =>
  startProvider(t, {
    answer: (url) => {
      const { pathname } = new URL(url);
      if (pathname === "/device") {
        return Response.json({
          device_code: "d",
          user_code: "ABCD",
          expires_in: 60,
          interval: 1,
          ...prompt,
        });
      }
      const error = "access_denied";
      return pathname === "/token" ? Response.json({ error }, { status: 400 }) : undefined;
    },
  });

test("DEV-03 the complete address of a device login is one argument of the opener, which no shell reads, and https", async (t) => {
  const uri = "https://login.example/device";
  const complete = `${uri}?user_code=A;touch$IFS./pwned&x=$(id)'&y=%60id%60`;
  for (const [given, isOpened] of [
    [complete, true],
    ["javascript:alert(1)", false],
    ["file:///etc/passwd", false],
  ]) {
    const provider = await startDevice(t, {
      verification_uri: uri,
      verification_uri_complete: given,
    });
    const { env, home, opened } = makeHome();
    const { code, stderr } = await gatepass.run(["login", "--device"], {
      cwd: home,
      env: {
        ...env,
        GATEPASS_ISSUER: provider.issuer,
        GATEPASS_DEVICE_URL: `${provider.issuer}/device`,
        GATEPASS_CLIENT_ID: "spa",
        GATEPASS_STORE: "file",
      },
    });
    assert.ok(code !== 0, stderr);
    if (isOpened) {
      const [argc, first] = await opened();
      assert.equal(argc, "1");
      assert.equal(decodeURI(first), decodeURI(new URL(complete).href));
    } else assert.ok(!existsSync(join(home, "opened")), given);
    assert.ok(!existsSync(join(home, "pwned")));
  }
});

test("a spinner turns on a terminal and nowhere else, and NO_COLOR leaves colours out", async (t) => {
  const provider = await startProvider(t);
  const { env } = makeHome();
  const settings = {
    ...env,
    GATEPASS_ISSUER: provider.issuer,
    GATEPASS_CLIENT_ID: "spa",
    GATEPASS_STORE: "file",
  };
  const args = ["login", "--port", "0", "--timeout", "1"];
  const piped = await gatepass.run(args, { env: settings });
  assert.equal(piped.code, 4);
  assert.doesNotMatch(piped.stderr, /Waiting|\r|\u001b/);
  const onTerminal = (more) =>
    new Promise((resolve) => {
      const command = [process.execPath, gatepass.program, ...args].join(" ");
      const child = spawn("script", ["-qec", command, "/dev/null"], {
        env: { ...settings, TERM: "xterm", ...more },
      });
      let text = "";
      child.stdout.on("data", (data) => (text += data));
      child.once("error", () => resolve(undefined));
      child.once("close", () => resolve(text));
    });
  const shown = await onTerminal({});
  if (shown === undefined) return t.skip("script (util-linux) is not installed: no terminal");
  assert.match(shown, /\r[-\\|/] Waiting for the browser/);
  assert.match(shown, /\u001b\[31mError/);
  assert.doesNotMatch(await onTerminal({ NO_COLOR: "1" }), /\u001b\[\d+m/);
});
