// What is kept between two runs: whose it is, and who can reach it.

import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { before, test } from "node:test";

import { iso, loginsOf, makeHome, read } from "../support/login.mjs";
import { installProgram, startProvider } from "../support/program.mjs";

let gatepass;
let logIn;
before(() => {
  gatepass = installProgram("cli-store");
  ({ logIn } = loginsOf(gatepass));
});

/** Settings under which the login of `settings` is somebody else's, and what that one is told. */
const OTHERS = [
  ["another client", () => ({ GATEPASS_CLIENT_ID: "other" })],
  ["another provider", (other) => ({ GATEPASS_ISSUER: other.issuer })],
  [
    "another provider, by its endpoints",
    (other) => ({
      GATEPASS_ISSUER: "",
      GATEPASS_AUTH_URL: `${other.issuer}/authorize`,
      GATEPASS_TOKEN_URL: `${other.issuer}/token`,
    }),
  ],
  [
    "the program itself",
    () => ({ GATEPASS_FLOW: "client_credentials", GATEPASS_CLIENT_SECRET: "s" }),
  ],
];

test("S0-14 logout leaves the login of another client or provider alone, and says so", async (t) => {
  const provider = await startProvider(t);
  const other = await startProvider(t);
  const { settings, tokens } = await logIn(t, provider);
  const kept = readFileSync(tokens, "utf8");
  for (const [name, change] of OTHERS) {
    const env = { ...settings, ...change(other) };
    const { code, stdout, stderr } = await gatepass.run(["logout"], { env });
    assert.deepEqual([code, stdout], [3, ""], `${name}: ${stderr}`);
    assert.match(
      stderr,
      /Not logged in: .* (?:belongs to another client or provider|holds the login of a user), and was left alone\. .*log out with the settings it was made with/,
    );
    assert.doesNotMatch(stderr, /Logged out/);
    assert.equal(readFileSync(tokens, "utf8"), kept, name);
  }
  assert.deepEqual([provider.count("/revoke"), other.count("/revoke")], [0, 0]);
  const own = await gatepass.run(["logout"], { env: settings });
  assert.equal(own.code, 0, own.stderr);
  assert.ok(!existsSync(tokens));
  assert.equal(provider.count("/revoke"), 2);
});

test("S0-14 logout ends one's own login also while a provider that is known by its endpoints publishes nothing", async (t) => {
  let isDown = false;
  const provider = await startProvider(t, {
    answer: () => (isDown ? new Response("", { status: 503 }) : undefined),
  });
  const { settings, tokens } = await logIn(t, provider);
  isDown = true;
  const env = {
    ...settings,
    GATEPASS_ISSUER: "",
    GATEPASS_AUTH_URL: `${provider.issuer}/authorize`,
    GATEPASS_TOKEN_URL: `${provider.issuer}/token`,
  };
  const { code, stderr } = await gatepass.run(["logout"], { env });
  assert.equal(code, 0, stderr);
  assert.ok(!existsSync(tokens));
});

test("logout without settings removes nothing, because nobody could end the tokens", async (t) => {
  const provider = await startProvider(t);
  const { env, settings, tokens } = await logIn(t, provider);
  const bare = await gatepass.run(["logout"], { env: { ...env, GATEPASS_STORE: "file" } });
  assert.equal(bare.code, 2);
  assert.match(bare.stderr, /OAuth2 is not configured/);
  assert.ok(existsSync(tokens));
  assert.equal((await gatepass.run(["status"], { env: settings })).code, 0);
});

test("S2-22 login does not take the place of somebody else's login, and says what to do", async (t) => {
  const provider = await startProvider(t);
  const other = await startProvider(t);
  const { settings, tokens, home } = await logIn(t, provider);
  const kept = readFileSync(tokens, "utf8");
  for (const [name, change] of OTHERS.slice(0, 3)) {
    const env = { ...settings, ...change(other) };
    for (const way of [[], ["--device"]]) {
      const { code, stderr } = await gatepass.run(["login", "--port", "0", ...way], { env });
      assert.equal(code, 2, `${name}: ${stderr}`);
      assert.match(
        stderr,
        /tokens\.json belongs to another client or provider, which would be lost/,
      );
      assert.match(stderr, /Give another --store-path, .* --server/);
      assert.equal(readFileSync(tokens, "utf8"), kept, name);
    }
  }
  // As it says: somewhere else it goes.
  const place = join(home, "elsewhere/tokens.json");
  const env = { ...settings, GATEPASS_ISSUER: other.issuer };
  const args = ["login", "--port", "0", "--store-path", place];
  const second = gatepass.start(t, args, { env });
  const [, url] = await second.said(/^ {2}(http\S+)$/m);
  await fetch(other.signInAt(url));
  assert.equal((await second.exited).code, 0);
  assert.equal(read(place).issuer, other.issuer);
  assert.equal(readFileSync(tokens, "utf8"), kept);
  // One's own login may be renewed by another one.
  const again = gatepass.start(t, ["login", "--port", "0"], { env: settings });
  const [, mine] = await again.said(/^ {2}(http\S+)$/m);
  await fetch(provider.signInAt(mine));
  assert.equal((await again.exited).code, 0);
  assert.notEqual(read(tokens).access_token, JSON.parse(kept).access_token);
});

test("a login that somebody else made while the browser was open stays", async (t) => {
  const provider = await startProvider(t);
  const { env, tokens } = makeHome();
  const settings = {
    ...env,
    GATEPASS_ISSUER: provider.issuer,
    GATEPASS_CLIENT_ID: provider.clientId,
    GATEPASS_STORE: "file",
  };
  const login = gatepass.start(t, ["login", "--port", "0"], { env: settings });
  const [, url] = await login.said(/^ {2}(http\S+)$/m);
  const kept = JSON.stringify({ access_token: "a", client_id: "other", expires_at: iso(3600e3) });
  mkdirSync(dirname(tokens), { recursive: true, mode: 0o700 });
  writeFileSync(tokens, kept, { mode: 0o600 });
  await fetch(provider.signInAt(url));
  const { code, stderr } = await login.exited;
  assert.equal(code, 2, stderr);
  assert.match(stderr, /belongs to another client or provider/);
  assert.equal(readFileSync(tokens, "utf8"), kept);
});

test("the program's own token does not take the place of a user's login, but of another such token", async (t) => {
  const provider = await startProvider(t, {
    answer: (url, init) =>
      url.endsWith("/token") && String(init.body).includes("client_credentials")
        ? Response.json({ access_token: "own", token_type: "Bearer", expires_in: 3600 })
        : undefined,
  });
  const { settings, tokens } = await logIn(t, provider);
  const kept = readFileSync(tokens, "utf8");
  const program = {
    ...settings,
    GATEPASS_FLOW: "client_credentials",
    GATEPASS_CLIENT_SECRET: "a-secret-of-the-program",
  };
  const refused = await gatepass.run(["token"], { env: program });
  assert.equal(refused.code, 2);
  assert.match(refused.stderr, /holds the login of a user, which would be lost/);
  assert.equal(readFileSync(tokens, "utf8"), kept);
  assert.equal((await gatepass.run(["logout"], { env: settings })).code, 0);
  for (const id of ["job", "other-job"]) {
    const run = await gatepass.run(["token"], { env: { ...program, GATEPASS_CLIENT_ID: id } });
    assert.deepEqual([run.code, run.stdout], [0, "own\n"], run.stderr);
    assert.equal(read(tokens).client_id, id);
  }
});

test("tokens that cannot be read are neither removed nor replaced", async (t) => {
  const provider = await startProvider(t);
  const { settings, tokens } = await logIn(t, provider);
  writeFileSync(tokens, "{ not a token }");
  for (const command of ["login", "logout", "status"]) {
    const { code, stderr } = await gatepass.run([command], { env: settings });
    assert.equal(code, 2, stderr);
    assert.match(stderr, /holds no tokens that can be read\. Remove what is there/);
  }
  assert.equal(readFileSync(tokens, "utf8"), "{ not a token }");
});

test("S2-22 a folder that others can read is narrowed where it holds nothing but the tokens", async (t) => {
  const provider = await startProvider(t);
  const { settings, tokens, home } = await logIn(t, provider);
  const folder = dirname(tokens);
  const mode = (path) => (statSync(path).mode & 0o777).toString(8);
  const run = async (args, env = settings) => {
    const { code, stderr } = await gatepass.run(args, { env });
    assert.equal(code, 0, stderr);
  };
  for (const command of ["token", "status"]) {
    chmodSync(folder, 0o755);
    await run([command]);
    assert.equal(mode(folder), "700", command);
  }
  // Before there is anything in it.
  const fresh = join(home, "fresh");
  mkdirSync(fresh, { mode: 0o755 });
  chmodSync(fresh, 0o755);
  const place = { ...settings, GATEPASS_STORE_PATH: join(fresh, "tokens.json") };
  const login = gatepass.start(t, ["login", "--port", "0"], { env: place });
  const [, url] = await login.said(/^ {2}(http\S+)$/m);
  await fetch(provider.signInAt(url));
  assert.equal((await login.exited).code, 0);
  assert.deepEqual([mode(fresh), mode(join(fresh, "tokens.json"))], ["700", "600"]);
  // What else lies there is not ours to hide, and neither is a home.
  writeFileSync(join(fresh, "page.html"), "");
  chmodSync(fresh, 0o755);
  await run(["token"], place);
  assert.deepEqual([mode(fresh), mode(join(fresh, "tokens.json"))], ["755", "600"]);
});
