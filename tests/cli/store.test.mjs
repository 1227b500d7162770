// What is kept between two runs: whose it is, and who can reach it.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { before, test } from "node:test";

import { age, iso, loginsOf, makeHome, read } from "../support/login.mjs";
import { lacks } from "../support/needed.mjs";
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

test("S0-14 a login for another audience or resource is left alone by what uses tokens, and ended by logout", async (t) => {
  const provider = await startProvider(t);
  const [a, b] = ["https://a.example/", "https://b.example/"];
  for (const [made, used] of [
    [{ GATEPASS_AUDIENCE: a }, {}],
    [{ GATEPASS_AUDIENCE: a }, { GATEPASS_AUDIENCE: b }],
    [{ GATEPASS_RESOURCES: a }, { GATEPASS_RESOURCES: b }],
    [{}, { GATEPASS_RESOURCES: b }],
  ]) {
    const { settings, tokens } = await logIn(t, provider, made);
    const none = { GATEPASS_AUDIENCE: "", GATEPASS_RESOURCES: "" };
    const env = { ...settings, ...none, ...used };
    const asked = provider.count("/token");
    for (const isOld of [false, true]) {
      if (isOld) age(tokens);
      const kept = readFileSync(tokens, "utf8");
      for (const args of [["token"], ["exec", "--", "true"], ["request", "http://127.0.0.1:1/"]]) {
        const { code, stdout, stderr } = await gatepass.run(args, { env });
        assert.deepEqual([code, stdout], [3, ""], stderr);
        assert.match(
          stderr,
          /holds a login for (\S+|no API in particular) where one for .* it was/,
        );
        assert.match(stderr, /Give the --audience and --resources that it was made with/);
      }
      assert.equal(readFileSync(tokens, "utf8"), kept);
    }
    assert.deepEqual([provider.count("/token"), provider.isAlive()], [asked, true]);
    // A set has no order, and one place is a list of one.
    const same = { ...JSON.parse(readFileSync(tokens, "utf8")) };
    if (used.GATEPASS_RESOURCES === b && made.GATEPASS_RESOURCES === a) {
      for (const [resource, wanted] of [
        [[a, b], `${b} ${a}`],
        [b, b],
      ]) {
        writeFileSync(tokens, JSON.stringify({ ...same, resource }));
        const both = { ...env, GATEPASS_RESOURCES: wanted };
        const { code, stderr } = await gatepass.run(["token"], { env: both });
        assert.equal(code, 0, stderr);
        Object.assign(same, JSON.parse(readFileSync(tokens, "utf8")), { resource: [a] });
      }
      writeFileSync(tokens, JSON.stringify(same));
    }
    // As it says: with those it is used, and renewed.
    const renewed = await gatepass.run(["token"], { env: settings });
    assert.equal(renewed.code, 0, renewed.stderr);
    const revoked = provider.count("/revoke");
    const { stdout } = await gatepass.run(["logout", "--json"], { env });
    assert.deepEqual(JSON.parse(stdout), {
      signed_in: false,
      was_signed_in: true,
      revoked: true,
    });
    assert.deepEqual([provider.count("/revoke"), provider.isAlive()], [revoked + 2, false]);
    assert.ok(!existsSync(tokens));
  }
});

test("S0-14 logout says that nothing was revoked where the provider was not told", async (t) => {
  let hides = false;
  const provider = await startProvider(t, {
    answer: async (url) => {
      if (!hides || !url.includes("/.well-known/")) return undefined;
      hides = false;
      const response = await provider.fetch(url);
      const { revocation_endpoint: _, ...metadata } = await response.json();
      return Response.json(metadata);
    },
  });
  const { settings, tokens } = await logIn(t, provider);
  hides = true;
  const { stdout, stderr } = await gatepass.run(["logout", "--json"], { env: settings });
  assert.equal(JSON.parse(stdout).revoked, false);
  assert.match(stderr, /may live on at the provider, which takes none back/);
  assert.ok(!existsSync(tokens));
  assert.equal(provider.count("/revoke"), 0);
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

test("an answer without a body, and a life that no calendar has, are told and kept like any other", async (t) => {
  let answer = () => new Response(null, { status: 204 });
  const provider = await startProvider(t, {
    answer: (url) => (url.endsWith("/token") ? answer() : undefined),
  });
  const { env, tokens } = makeHome();
  const settings = {
    ...env,
    GATEPASS_ISSUER: provider.issuer,
    GATEPASS_CLIENT_ID: "job",
    GATEPASS_CLIENT_SECRET: "a-secret-of-the-program",
    GATEPASS_FLOW: "client_credentials",
    GATEPASS_STORE: "file",
  };
  const empty = await gatepass.run(["token", "--json"], { env: settings });
  assert.deepEqual([empty.code, JSON.parse(empty.stdout).error], [1, "upstream_status"]);
  for (const expires_in of [1e15, 1e300]) {
    answer = () => Response.json({ access_token: "own", token_type: "Bearer", expires_in });
    const { code, stdout, stderr } = await gatepass.run(["token"], { env: settings });
    assert.deepEqual([code, stdout], [0, "own\n"], stderr);
    const years = (Date.parse(read(tokens).expires_at) - Date.now()) / (366 * 24 * 3600e3);
    assert.ok(years > 9.9 && years <= 10, read(tokens).expires_at);
    writeFileSync(tokens, JSON.stringify({ ...read(tokens), expires_at: iso(-1000) }));
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

test("tokens with a member that is not what it should be are left alone until a login or a logout", async (t) => {
  const provider = await startProvider(t);
  const { settings, tokens } = await logIn(t, provider);
  const { access_token, refresh_token } = read(tokens);
  const kept = JSON.stringify({ access_token, refresh_token, scope: ["read"] });
  writeFileSync(tokens, kept);
  for (const args of [["token"], ["request", "http://127.0.0.1:1/"]]) {
    const { code, stderr } = await gatepass.run(args, { env: settings });
    assert.equal(code, 2, stderr);
    assert.match(stderr, /holds no tokens that can be read\. Remove what is there/);
  }
  const stopped = gatepass.start(t, ["login", "--port", "0"], { env: settings });
  await stopped.said(/^ {2}(http\S+)$/m);
  stopped.child.kill("SIGKILL");
  await stopped.exited;
  assert.equal(readFileSync(tokens, "utf8"), kept, "nobody has signed in yet");
  const out = await gatepass.run(["logout", "--json"], { env: settings });
  assert.equal(JSON.parse(out.stdout).revoked, false);
  assert.match(out.stderr, /may live on at the provider: what is kept of them cannot be read/);
  assert.ok(!existsSync(tokens));
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

test("S2-22 a folder that others can write is refused before anybody signs in", async (t) => {
  const provider = await startProvider(t);
  const { settings, home } = await logIn(t, provider);
  const folder = join(home, "shared");
  mkdirSync(folder);
  const env = { ...settings, GATEPASS_STORE_PATH: join(folder, "tokens.json") };
  for (const mode of [0o775, 0o777]) {
    chmodSync(folder, mode);
    const { code, stdout, stderr } = await gatepass.run(["login", "--port", "0"], { env });
    assert.deepEqual([code, stdout], [2, ""], stderr);
    assert.match(
      stderr,
      /shared can be written by others \(077[57]\); gatepass status --fix-perms/,
    );
    assert.doesNotMatch(stderr, /^ {2}http/m);
    // What is advised helps, also where nothing is kept yet.
    await gatepass.run(["status", "--fix-perms"], { env });
    const login = gatepass.start(t, ["login", "--port", "0"], { env });
    const [, url] = await login.said(/^ {2}(http\S+)$/m);
    await fetch(provider.signInAt(url));
    assert.equal((await login.exited).code, 0);
    assert.equal((statSync(folder).mode & 0o777).toString(8), "700");
    rmSync(env.GATEPASS_STORE_PATH);
  }
});

test("S2-22 --fix-perms takes from a folder with other things in it what others may write, and no more", async (t) => {
  const provider = await startProvider(t);
  const { settings, tokens } = await logIn(t, provider);
  const folder = dirname(tokens);
  const mode = (path) => (statSync(path).mode & 0o7777).toString(8);
  const other = join(folder, "other.txt");
  writeFileSync(other, "", { mode: 0o644 });
  const fix = () => gatepass.run(["status", "--fix-perms"], { env: settings });
  for (const [before, after] of [
    [0o755, "755"],
    [0o777, "755"],
    [0o775, "755"],
    [0o2770, "2750"],
  ]) {
    chmodSync(folder, before);
    chmodSync(tokens, 0o644);
    const { code, stderr } = await fix();
    assert.equal(code, 0, stderr);
    assert.deepEqual([mode(folder), mode(tokens), mode(other)], [after, "600", "644"]);
  }
  // As /tmp: everybody's, which is not ours to take away.
  chmodSync(folder, 0o1777);
  const { code, stderr } = await fix();
  assert.equal(code, 2);
  assert.match(
    stderr,
    /can be written by others \(0777\) and is not yours to narrow; give another --store-path\.\n$/,
  );
  assert.deepEqual([mode(folder), mode(tokens)], ["1777", "600"]);
});

/** Runs the command behind a line of bash, such as a limit for the size of files. */
async function behind(line, args, env) {
  const script = `${line} "$@"`;
  const child = spawn("bash", ["-c", script, "bash", process.execPath, gatepass.program, ...args], {
    env: { ...env, NO_COLOR: "1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (data) => (stdout += data));
  child.stderr.on("data", (data) => (stderr += data));
  const [code] = await once(child, "close");
  return { code, stdout, stderr };
}

/** As on a disk that is nearly full: no file may be longer than 1024 bytes. */
const LITTLE_ROOM = "ulimit -f 1; exec";
/** As on a disk that is full. */
const NO_ROOM = "ulimit -f 0; exec";
const noBash = lacks("bash");

test(
  "S0-15 where new tokens cannot be kept the refresh token is not sent, and the login stays",
  { skip: noBash },
  async (t) => {
    const provider = await startProvider(t);
    const { settings, tokens } = await logIn(t, provider);
    age(tokens);
    const kept = readFileSync(tokens, "utf8");
    const asked = provider.count("/token");
    const { code, stdout, stderr } = await behind(LITTLE_ROOM, ["token"], settings);
    assert.deepEqual([code, stdout], [1, ""]);
    assert.match(
      stderr,
      /Token refresh failed: .*tokens\.json cannot be written \(EFBIG\)\.\n.*The login is kept/,
    );
    assert.equal(provider.count("/token"), asked);
    assert.equal(readFileSync(tokens, "utf8"), kept);
    assert.deepEqual(readdirSync(dirname(tokens)), ["tokens.json"]);
    const { code: later, stderr: why } = await gatepass.run(["token"], { env: settings });
    assert.equal(later, 0, why);
  },
);

test(
  "a token that is good for a while is handed out where a new one cannot be kept, and one hears of it",
  { skip: noBash },
  async (t) => {
    const provider = await startProvider(t);
    const { settings, tokens } = await logIn(t, provider);
    const { access_token } = read(tokens);
    const times = { issued_at: iso(-600e3), expires_at: iso(100e3) };
    writeFileSync(tokens, JSON.stringify({ ...read(tokens), ...times }));
    const { code, stdout, stderr } = await behind(LITTLE_ROOM, ["token"], settings);
    assert.deepEqual([code, stdout], [0, `${access_token}\n`], stderr);
    assert.match(stderr, /^Not renewed: .*tokens\.json cannot be written \(EFBIG\)\.$/m);
  },
);

test(
  "where no lock can be written a good token is handed out all the same, and a login ends",
  { skip: noBash },
  async (t) => {
    const provider = await startProvider(t);
    const { settings, tokens } = await logIn(t, provider);
    const { access_token } = read(tokens);
    const [asked, revoked] = [provider.count("/token"), provider.count("/revoke")];
    const token = await behind(NO_ROOM, ["token"], settings);
    assert.deepEqual([token.code, token.stdout], [0, `${access_token}\n`], token.stderr);
    assert.deepEqual(readdirSync(dirname(tokens)), ["tokens.json"]);
    const logout = await behind(NO_ROOM, ["logout", "--json"], settings);
    assert.equal(logout.code, 0, logout.stderr);
    assert.equal(JSON.parse(logout.stdout).revoked, true);
    assert.deepEqual(readdirSync(dirname(tokens)), []);
    assert.equal(provider.count("/revoke"), revoked + 2);
    assert.equal(provider.count("/token"), asked);
  },
);

test("S0-15 a text that does not fit leaves the one that is there", { skip: noBash }, async () => {
  const { env, tokens } = makeHome();
  mkdirSync(dirname(tokens), { recursive: true, mode: 0o700 });
  writeFileSync(tokens, "before", { mode: 0o600 });
  const vault = JSON.stringify(join(gatepass.project, "node_modules/gatepass/dist/cli/vault.js"));
  const given = JSON.stringify({ store: "file", storePath: tokens });
  const script = `
    const { openVault } = await import(${vault});
    const vault = await openVault({ text: (name) => (${given})[name] });
    try {
      vault.write("x".repeat(1534));
    } catch ({ exitCode, message }) {
      console.log(exitCode, message);
    }`;
  const child = spawn(
    "bash",
    ["-c", `${LITTLE_ROOM} "$@"`, "bash", process.execPath, "--input-type=module", "-e", script],
    { env },
  );
  let said = "";
  child.stdout.on("data", (data) => (said += data));
  await once(child, "close");
  assert.equal(said, `1 ${tokens} cannot be written (EFBIG).\n`);
  assert.equal(readFileSync(tokens, "utf8"), "before");
  assert.deepEqual(readdirSync(dirname(tokens)), ["tokens.json"]);
});

test(
  "login tries whether tokens can be kept before it shows an address",
  { skip: noBash },
  async (t) => {
    const provider = await startProvider(t);
    const { env } = makeHome();
    const settings = {
      ...env,
      GATEPASS_ISSUER: provider.issuer,
      GATEPASS_CLIENT_ID: provider.clientId,
      GATEPASS_STORE: "file",
    };
    for (const way of [["--no-browser"], ["--device"]]) {
      const args = ["login", "--json", "--port", "0", ...way];
      const { code, stdout, stderr } = await behind(LITTLE_ROOM, args, settings);
      assert.deepEqual([code, stderr], [1, ""]);
      const { error, exit_code, problems } = JSON.parse(stdout);
      assert.deepEqual([error, exit_code], ["storage_unavailable", 1]);
      assert.match(problems.join(), /tokens\.json cannot be written \(EFBIG\)/);
    }
    assert.equal(provider.count("/token"), 0);
  },
);

test("what the system says of a file is told with the file's name, and not by a stack", async (t) => {
  const provider = await startProvider(t);
  const { env, home } = makeHome();
  const file = join(home, "a-file");
  writeFileSync(file, "");
  const settings = {
    ...env,
    GATEPASS_ISSUER: provider.issuer,
    GATEPASS_CLIENT_ID: provider.clientId,
    GATEPASS_STORE: "file",
    GATEPASS_STORE_PATH: join(file, "folder/tokens.json"),
  };
  const program = {
    ...settings,
    GATEPASS_FLOW: "client_credentials",
    GATEPASS_CLIENT_SECRET: "a-secret-of-the-program",
  };
  for (const [args, given] of [
    [["status"], settings],
    [["token"], settings],
    [["login", "--port", "0"], settings],
    [["logout"], settings],
    [["token"], program],
  ]) {
    const plain = await gatepass.run(args, { env: given });
    assert.deepEqual([plain.code, plain.stdout], [1, ""], args.join(" "));
    assert.match(
      plain.stderr,
      /^Error: .*a-file\/folder\/tokens\.json cannot be read \(ENOTDIR\)\.\n$/,
    );
    const json = await gatepass.run([...args, "--json"], { env: given });
    assert.deepEqual([json.code, json.stderr], [1, ""]);
    assert.equal(JSON.parse(json.stdout).error, "storage_unavailable");
  }
});

test("without a home no tokens are kept in the working directory, and --store-path says where", async (t) => {
  const own = { access_token: "own", token_type: "Bearer", expires_in: 3600 };
  const provider = await startProvider(t, {
    answer: (url) => (url.endsWith("/token") ? Response.json(own) : undefined),
  });
  const { home } = makeHome();
  const settings = {
    HOME: "",
    GATEPASS_ISSUER: provider.issuer,
    GATEPASS_CLIENT_ID: provider.clientId,
    GATEPASS_CLIENT_SECRET: "a-secret-of-the-program",
    GATEPASS_FLOW: "client_credentials",
  };
  for (const path of [undefined, "~/tokens.json"]) {
    const env = { ...settings, ...(path && { GATEPASS_STORE_PATH: path }) };
    const { code, stderr } = await gatepass.run(["status", "--store", "file"], { env, cwd: home });
    assert.equal(code, 2, stderr);
    assert.match(stderr, /^Error: There is no home folder .*\nError: Say where with storePath /);
  }
  assert.equal((await gatepass.run(["token"], { env: settings, cwd: home })).code, 0);
  assert.deepEqual(readdirSync(home), ["bin"]);
  const args = ["token", "--store", "file", "--store-path", "tokens.json"];
  const { code, stderr } = await gatepass.run(args, { env: settings, cwd: home });
  assert.equal(code, 0, stderr);
  assert.ok(existsSync(join(home, "tokens.json")));
});

test(
  "a relative place in a working directory that is gone is told by its name",
  { skip: noBash },
  async () => {
    const gone = 'cd "$(mktemp -d)" && rmdir "$PWD" && exec';
    const args = ["status", "--store-path", "x/tokens.json"];
    const { code, stdout, stderr } = await behind(gone, args, makeHome().env);
    assert.deepEqual([code, stdout], [1, ""]);
    assert.equal(stderr, "Error: x/tokens.json cannot be read (ENOENT).\n");
  },
);

test("a lock or a folder that cannot be made is told with its name", async () => {
  const load = (file) => import(join(gatepass.project, "node_modules/gatepass/dist/cli", file));
  const [{ alone }, { openVault }] = await Promise.all([load("process-lock.js"), load("vault.js")]);
  const { home } = makeHome();
  const file = join(home, "a-file");
  writeFileSync(file, "");
  const lock = join(file, "tokens.json.lock");
  await assert.rejects(
    alone(lock, 1000, async () => {}),
    { name: "Failure", exitCode: 1, message: `${lock} cannot be written (ENOTDIR).` },
  );
  const given = { store: "file", storePath: join(file, "folder/tokens.json") };
  const vault = await openVault({ text: (name) => given[name] });
  const expected = {
    name: "Failure",
    exitCode: 1,
    message: `${join(file, "folder")} cannot be written (ENOTDIR).`,
  };
  assert.throws(() => vault.write("x"), expected);
  const { prove } = vault;
  assert.throws(() => prove(), { name: "Failure", exitCode: 1 });
});

test(
  "an output that is full is a failure with a name",
  { skip: noBash || (!existsSync("/dev/full") && "there is no /dev/full") },
  async () => {
    const env = { ...makeHome().env, GATEPASS_ACCESS_TOKEN: "a-token" };
    const line = 'full() { exec "$@" > /dev/full; }; full';
    const { code, stderr } = await behind(line, ["token"], env);
    assert.deepEqual([code, stderr], [1, "Error: Standard output cannot be written (ENOSPC).\n"]);
  },
);

test("exec says so where the system refuses to begin a program", async () => {
  const { env: own, home } = makeHome();
  const file = join(home, "token");
  writeFileSync(file, "a".repeat(1_040_000));
  const env = { ...own, GATEPASS_ACCESS_TOKEN_FILE: file };
  const { code, stdout, stderr } = await gatepass.run(["exec", "--", "true"], { env });
  assert.deepEqual([code, stdout], [1, ""]);
  assert.match(stderr, /^Error: The program cannot be run \(E2BIG\)\.\n$/);
});
