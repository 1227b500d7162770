// Flags, environment and one file: what counts, and what is said of mistakes.

import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import { pathToFileURL } from "node:url";

import { installProgram } from "../support/program.mjs";

let gatepass;
let folder;
before(() => {
  gatepass = installProgram("cli-configuration");
  folder = gatepass.project;
});

const write = (name, content) => {
  const path = join(folder, name);
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content, null, 2));
  return path;
};

/** Whether `serve` would start with this. */
const check = (env, ...args) => gatepass.run(["serve", "--config-test", ...args], { env });
const GOOD = {
  GATEPASS_ISSUER: "https://as.example",
  GATEPASS_AUDIENCE: "https://api.example",
};

test("a configuration that is good is said to be good", async () => {
  const { code, stdout } = await check(GOOD);
  assert.deepEqual([code, stdout], [0, "The configuration is good.\n"]);
});

test("--config-test --json says the same to programs", async () => {
  const good = await check(GOOD, "--json");
  assert.deepEqual([good.code, JSON.parse(good.stdout)], [0, { good: true }]);
  const bad = await check({}, "--json", "--config", write("bad.json", '{\n  "port": "x"\n}'));
  assert.deepEqual([bad.code, bad.stderr], [2, ""]);
  const { good: isGood, problems } = JSON.parse(bad.stdout);
  assert.equal(isGood, false);
  assert.match(problems.join("\n"), /bad\.json:2:11: port must be/);
});

test("S2-27 what is missing is named, all of it, with exit code 2", async () => {
  const { code, stderr } = await check({});
  assert.equal(code, 2);
  assert.match(stderr, /issuer \(--issuer, GATEPASS_ISSUER\) is not set/);
  assert.match(stderr, /audience \(--audience, GATEPASS_AUDIENCE\) is not set/);
});

test("S0-08 any prefix makes names of the environment work unchanged", async () => {
  const env = {
    MLTF_ISSUER: "https://as.example",
    MLTF_AUDIENCE: "https://api.example",
  };
  assert.equal((await check(env, "--env-prefix", "MLTF_")).code, 0);
  assert.equal((await check({ ...env, GATEPASS_ENV_PREFIX: "MLTF_" })).code, 0);
  assert.equal((await check(env)).code, 2);
  // What is set to nothing is not set.
  const usual = { GATEPASS_ISSUER: env.MLTF_ISSUER, GATEPASS_AUDIENCE: env.MLTF_AUDIENCE };
  const empty = { GATEPASS_ENV_PREFIX: "", GATEPASS_SERVER: "" };
  assert.equal((await check({ ...usual, ...empty })).code, 0);
});

test("flags win over the environment, and the environment over the file", async () => {
  const config = write("order.json", {
    ...{ issuer: "https://as.example", audience: "a" },
    port: 70000,
  });
  const bad = await check({}, "--config", config);
  assert.match(bad.stderr, /order\.json:4:\d+: port must be a whole number from 0 to 65535/);
  assert.equal((await check({ GATEPASS_PORT: "1" }, "--config", config)).code, 0);
  const env = await check({ GATEPASS_PORT: "x" }, "--config", config);
  assert.match(env.stderr, /GATEPASS_PORT: port must be/);
  const flag = await check({ GATEPASS_PORT: "1" }, "--config", config, "--port", "y");
  assert.match(flag.stderr, /--port: port must be/);
});

test("S1-02 mistakes in the file are shown by line and column", async () => {
  const config = write(
    "lines.json",
    `{
  "issuer": "https://as.example",
  "audience": "api",
  "audiance": "api",
  "metrics": "perhaps",
  "routes": [
    { "path": "/a" },
    { "path": "b" },
    { "path": "/c", "methods": "GET" },
    { "path": "/d", "scope": "read" }
  ]
}`,
  );
  const { code, stderr } = await check({}, "--config", config);
  assert.equal(code, 2);
  const places = [...stderr.matchAll(/lines\.json:(\d+):(\d+)/g)].map((place) => place.slice(1, 3));
  assert.deepEqual(places, [
    ["4", "15"],
    ["5", "14"],
    ["8", "15"],
    ["9", "32"],
    ["10", "30"],
  ]);
});

test("what no service, no file and no guard could use is shown by line and column", async () => {
  for (const [line, said] of [
    ['"basePath": "x y"', /basePath must be a plain path that begins with \/\./],
    ['"servers": {}', /servers names none; give each a name, or leave it out\./],
    ['"storePath": "\\u0000"', /storePath must be a path that a file can have\./],
    ['"guard": { "fetch": {} }', /fetch: config_invalid: /],
  ]) {
    const config = write(
      "useless.json",
      `{\n  "issuer": "https://as.example",\n  "audience": "api",\n  ${line}\n}`,
    );
    const { code, stderr } = await check({}, "--config", config);
    assert.equal(code, 2, line);
    assert.match(stderr, said);
    assert.match(stderr, /useless\.json:4:\d+: /);
    assert.doesNotMatch(stderr, /\n\s+at /);
  }
});

test("addresses of servers and methods that could never fit are shown by line and column", async () => {
  const config = write(
    "never.json",
    `{
  "issuer": "https://as.example",
  "audience": "api",
  "servers": {
    "a": {
      "urls": ["https://a.example/*", "nonsense", 5]
    },
    "b": { "urls": "https://b.example/" }
  },
  "routes": [
    { "path": "/a", "methods": ["GET", "get"] },
    { "path": "/b", "methods": ["\${METHOD}"] }
  ]
}`,
  );
  const run = (METHOD) => check({ METHOD }, "--config", config, "--server", "a");
  const { code, stderr } = await run("PUT");
  assert.equal(code, 2);
  const lines = stderr.trim().split("\n");
  const shown = lines.map((line) => /never\.json:(\d+:\d+: .{20})/.exec(line)?.[1]);
  assert.deepEqual(shown, [
    "6:39: an address of urls m",
    "6:51: an address of urls m",
    "8:20: urls must be a list ",
    "11:40: a method must be wri",
  ]);
  assert.match(
    (await run("put")).stderr,
    /never\.json:12:33: a method must be written as it is sent/,
  );
});

test("S0-05 a token that is none is refused by every command, and not repeated", async () => {
  const env = { ...GOOD, GATEPASS_ACCESS_TOKEN: "hunter2 hunter3" };
  for (const args of [
    ["status"],
    ["token"],
    ["exec", "--", "true"],
    ["request", "https://api.example/"],
    ["doctor", "--config-test"],
    ["serve", "--config-test"],
    ["login"],
  ]) {
    const { code, stdout, stderr } = await gatepass.run(args, { env });
    assert.deepEqual([code, stdout], [2, ""], args.join(" "));
    assert.match(stderr, /GATEPASS_ACCESS_TOKEN: that is not a token \(RFC 6750 section 2\.1\)\./);
    assert.doesNotMatch(stderr, /hunter/);
  }
  const good = await gatepass.run(["status"], {
    env: { GATEPASS_ACCESS_TOKEN: "a.b-c_d~e+f/g==" },
  });
  assert.equal(good.code, 0, good.stderr);
});

test("a file that is not JSON is shown by its place and never repeated", async () => {
  for (const [text, place] of [
    ['{\n  "issuer": hunter2\n}', "2:13"],
    ['{"a": 1, "a": 2}', "1:10"],
    ['{"a": 1} hunter2', "1:10"],
    ["[]", "1:1"],
    ['{"a": "hunter2', "1:7"],
  ]) {
    const { code, stderr } = await check({}, "--config", write("broken.json", text));
    assert.equal(code, 2, text);
    assert.ok(stderr.includes(`broken.json:${place}`), stderr);
    assert.doesNotMatch(stderr, /hunter2/);
  }
});

test("a file with a byte-order mark is read, and its columns are those that an editor shows", async () => {
  const marked = (text) => write("marked.json", `\ufeff${text}`);
  const good = await check(GOOD, "--config", marked('{"metrics": true}\r\n'));
  assert.equal(good.code, 0, good.stderr);
  for (const [text, place] of [
    ['{"metrics": hunter2}', "1:13"],
    ['{"metrics": "perhaps"}', "1:13"],
    ['{\r\n  "metrics": "perhaps"\r\n}', "2:14"],
    ["\ufeff{}", "1:1"],
  ]) {
    const { code, stderr } = await check(GOOD, "--config", marked(text));
    assert.equal(code, 2, text);
    assert.ok(stderr.includes(`marked.json:${place}: `), stderr);
  }
});

test("a secret in a file with a byte-order mark is the text behind it", async () => {
  for (const text of ["\ufeffa-token\r\n", "\ufeffa-token"]) {
    const env = { GATEPASS_ACCESS_TOKEN_FILE: write("marked.txt", text) };
    const { code, stdout, stderr } = await gatepass.run(["token"], { env });
    assert.deepEqual([code, stdout, stderr], [0, "a-token\n", ""]);
  }
  const env = { ...GOOD, GATEPASS_TOKEN_FILE: write("marked.txt", "\ufeff\n") };
  const { code, stderr } = await check(env, "--mode", "static");
  assert.equal(code, 2);
  assert.match(stderr, /marked\.txt is empty/);
});

test("pairs may stand on lines that end as Windows writes them", async () => {
  const test = (text) => {
    const env = {
      GATEPASS_ISSUER: "https://as.example",
      GATEPASS_CLIENT_ID: "me",
      GATEPASS_HEADERS_FILE: write("headers.txt", text),
    };
    return gatepass.run(["doctor", "--config-test"], { env });
  };
  const { code, stderr } = await test("x-one=1\r\nx-two=2\r\n");
  assert.equal(code, 0, stderr);
  for (const text of ["x-one=1\rx-two=2", "x-one=1\r\nx-two\r\n"]) {
    const { code, stderr } = await test(text);
    assert.equal(code, 2, JSON.stringify(text));
    assert.match(stderr, /GATEPASS_HEADERS_FILE: headers must be NAME=VALUE, one a line/);
  }
});

test("S4-16 a mode that looks at no claims takes no rules about them", async () => {
  const config = write("rules.json", { routes: [{ path: "/a", scopes: ["read"] }] });
  const free = write("free.json", { routes: [{ path: "/a", methods: ["GET"] }] });
  const token = write("tokens.txt", "a-token\n");
  for (const [mode, more] of [
    ["none", []],
    ["static", ["--token-file", token]],
  ]) {
    const args = ["--mode", mode, ...more];
    const said = `Error: mode ${mode} knows no scopes and no roles.\n`;
    for (const needy of [
      ["--config", config],
      ["--required-scopes", "read"],
    ]) {
      const { code, stderr } = await check({}, ...args, ...needy);
      assert.deepEqual([code, stderr], [2, said], needy.join(" "));
    }
    const { code, stderr } = await check({}, ...args, "--config", free);
    assert.equal(code, 0, stderr);
  }
});

test("S2-16 parts of the upstream's address that would be left out are named, and not repeated", async () => {
  for (const [upstream, parts] of [
    ["http://u:p4ss@127.0.0.1:1/base?q4ery#fr4g", "user name or password, no query, no fragment"],
    ["http://:p4ss@127.0.0.1:1/", "user name or password"],
    ["http://127.0.0.1:1/?q4ery", "query"],
    ["http://127.0.0.1:1/#fr4g", "fragment"],
  ]) {
    const { code, stderr } = await check(GOOD, "--upstream", upstream);
    assert.deepEqual([code, stderr], [2, `Error: --upstream: upstream takes no ${parts}.\n`]);
  }
  const { code, stderr } = await check(GOOD, "--upstream", "http://127.0.0.1:1/base");
  assert.equal(code, 0, stderr);
});

test("a file is never taken from the working directory", async () => {
  mkdirSync(join(folder, "gatepass"), { recursive: true });
  write("gatepass.json", "not JSON");
  write("config.json", "not JSON");
  write("gatepass/config.json", "not JSON");
  assert.equal((await check(GOOD)).code, 0);
  const { code } = await check({ ...GOOD, XDG_CONFIG_HOME: folder });
  assert.equal(code, 2, "there it is read");
  // Nor where there is no home, or one that would be there.
  mkdirSync(join(folder, ".config/gatepass"), { recursive: true });
  write(".config/gatepass/config.json", "not JSON");
  for (const HOME of ["", "."]) {
    const { code, stderr } = await check({ ...GOOD, HOME });
    assert.equal(code, 0, stderr);
  }
  assert.equal((await check({ ...GOOD, HOME: folder })).code, 2, "there it is read");
});

test("S4-16 ${NAME} in the file stands for the environment", async () => {
  const file = {
    issuer: "https://${HOST_OF_AS}",
    audience: "https://api.example",
    clientId: "mockforge",
    clientSecret: "${OAUTH_CLIENT_SECRET}",
    routes: [
      {
        path: "/api/*",
        methods: ["GET", "POST", "PUT", "DELETE"],
        required: true,
      },
    ],
  };
  const config = write("expand.json", file);
  const env = { HOST_OF_AS: "as.example", OAUTH_CLIENT_SECRET: "s3cret" };
  assert.equal((await check(env, "--config", config)).code, 0);
  const { code, stderr } = await check({ HOST_OF_AS: "as.example" }, "--config", config);
  assert.equal(code, 2);
  assert.match(stderr, /expand\.json:5:19: the environment has no OAUTH_CLIENT_SECRET/);
});

test("S1-05 S0-09 a secret comes from a variable, a file or a command, never from the file itself", async () => {
  const base = {
    issuer: "https://as.example",
    audience: "api",
    clientId: "me",
    mode: "introspect",
  };
  const secret = write("secret.txt", "s3cret\n");
  const withSecret = (clientSecret) => write("secret.json", { ...base, clientSecret });
  for (const source of [
    { env: "NAME" },
    { file: "secret.txt" },
    { command: [process.execPath, "-e", "console.log('s3cret')"] },
    "${NAME}",
  ]) {
    const { code, stderr } = await check({ NAME: "x" }, "--config", withSecret(source));
    assert.equal(code, 0, stderr);
  }
  for (const source of [
    "s3cret",
    { env: "OTHER" },
    { file: "none.txt" },
    { command: ["false"] },
    {},
    1,
  ]) {
    const { code, stderr } = await check({ NAME: "x" }, "--config", withSecret(source));
    assert.equal(code, 2, JSON.stringify(source));
    assert.match(stderr, /secret\.json:6:19|none\.txt/);
    assert.doesNotMatch(stderr, /s3cret/);
  }
  const own = { GATEPASS_CLIENT_ID: "me", GATEPASS_MODE: "introspect" };
  const fromFile = { ...GOOD, ...own, GATEPASS_CLIENT_SECRET_FILE: secret };
  assert.equal((await check(fromFile)).code, 0);
  const both = await check({ ...fromFile, GATEPASS_CLIENT_SECRET: "s3cret" });
  assert.match(both.stderr, /GATEPASS_CLIENT_SECRET and GATEPASS_CLIENT_SECRET_FILE are both set/);
  assert.equal((await check({ ...GOOD, ...own }, "--client-secret-file", secret)).code, 0);
  const asFlag = await check({ ...GOOD, ...own }, "--client-secret", "s3cret");
  assert.equal(asFlag.code, 2, "other users of the machine can read flags");
});

test("S4-32 a secret file that cannot be read is named, and what it holds is not", async () => {
  const empty = write("empty.txt", "\n");
  for (const file of [empty, join(folder, "nowhere"), folder]) {
    const { code, stderr } = await check({
      ...GOOD,
      GATEPASS_CLIENT_SECRET_FILE: file,
    });
    assert.equal(code, 2);
    assert.match(stderr, /GATEPASS_CLIENT_SECRET_FILE: /);
  }
});

test("S1-01 several servers are told apart by name", async () => {
  const config = write("servers.json", {
    audience: "https://api.example",
    servers: {
      one: {
        issuer: "https://one.example",
        urls: ["https://api.one.example/*"],
      },
      two: { issuer: "http://two.example" },
    },
  });
  assert.equal((await check({}, "--config", config, "--server", "one")).code, 0);
  const two = await check({}, "--config", config, "--server", "two");
  assert.match(
    two.stderr,
    /servers\.json:11:17: issuer: /,
    "http is refused by the core, with its place",
  );
  const none = await check({}, "--config", config);
  assert.match(none.stderr, /Which server\? Give --server with one of: one, two\./);
  const three = await check({}, "--config", config, "--server", "three");
  assert.match(three.stderr, /There is no server "three" in .*; there are: one, two\./);
});

test("S2-09 S2-10 S2-11 S2-12 providers that everybody knows need their name only", async () => {
  const audience = ["--audience", "api"];
  for (const [args, missing] of [
    [["--provider", "auth0"], "domain"],
    [["--provider", "okta"], "domain"],
    [["--provider", "entra"], "tenant"],
  ]) {
    const { code, stderr } = await check({}, ...args, ...audience);
    assert.equal(code, 2);
    assert.match(stderr, new RegExp(`needs ${missing} `));
    const value = missing === "tenant" ? "2fd4e1c6-0000-4000-8000-000000000000" : "your.example";
    assert.equal((await check({}, ...args, `--${missing}`, value, ...audience)).code, 0);
  }
  assert.equal((await check({}, "--provider", "google", ...audience)).code, 0);
});

test("S1-02 S2-09 of a known provider and an issuer the one that was given nearer counts", async () => {
  const known = { provider: "auth0", domain: "no domain" };
  const own = { issuer: "https://as.example" };
  const audience = "api";
  const flags = ["--provider", known.provider, "--domain", known.domain];
  const env = { GATEPASS_PROVIDER: known.provider, GATEPASS_DOMAIN: known.domain };
  const [OWN, KNOWN] = [0, 2];
  for (const [file, variables, args, whose] of [
    [own, {}, flags, KNOWN],
    [own, env, [], KNOWN],
    [{ ...own, servers: { a: known } }, {}, [], KNOWN],
    [{ ...own, ...known, domain: "as.example", servers: { a: known } }, {}, [], KNOWN],
    [{ ...own, ...known }, {}, [], OWN],
    [known, {}, ["--issuer", own.issuer], OWN],
    [known, { GATEPASS_ISSUER: own.issuer }, [], OWN],
    [{ ...known, servers: { a: own } }, {}, [], OWN],
    [{ servers: { a: known } }, { GATEPASS_ISSUER: own.issuer }, [], OWN],
    // A part of another provider's address is none of this one's.
    [{ ...own, ...known }, { GATEPASS_TENANT: "common" }, [], OWN],
    [{ ...own, ...known, servers: { a: { tenant: "x" } } }, {}, [], OWN],
    [{ ...own, provider: "google" }, { GATEPASS_DOMAIN: known.domain }, [], OWN],
  ]) {
    const config = write("nearer.json", { audience, ...file });
    const { code, stderr } = await check(variables, "--config", config, ...args);
    assert.equal(code, whose, `${JSON.stringify(file)} ${args.join(" ")}: ${stderr}`);
    // By the one that is no domain one sees which it was.
    if (whose === KNOWN) assert.match(stderr, /provider auth0: issuer: /);
  }
});

test("of another provider's places none is taken for the one that was named nearer", async () => {
  const places = {
    authUrl: "https://other.example/authorize",
    tokenUrl: "https://other.example/token",
    deviceUrl: "https://other.example/device",
    revocationUrl: "https://other.example/revoke",
    jwksUrl: "https://other.example/keys",
    introspectionUrl: "https://other.example/introspect",
    endpoint: "https://other.example",
  };
  const config = write("places.json", { ...places, audience: "api", clientId: "cli" });
  const explain = async (...args) => {
    const { stdout } = await gatepass.run([
      "doctor",
      "--config",
      config,
      "--timeout",
      "1",
      ...args,
    ]);
    return stdout;
  };
  assert.match(await explain("--issuer", "https://as.invalid"), /other\.example/);
  const own = ["--provider", "auth0", "--domain", "as.invalid"];
  const nearer = await explain(...own);
  assert.match(nearer, /https:\/\/as\.invalid\//);
  assert.doesNotMatch(nearer, /other\.example/);
  // What is given as near as the provider is its.
  const mine = "https://mine.example/token";
  assert.match(await explain(...own, "--token-url", mine), /https:\/\/mine\.example\/token/);
});

test("what the core refuses is shown where it stands", async () => {
  const config = write(
    "core.json",
    '{\n  "issuer": "https://as.example",\n  "audience": "api",\n  "guard": {\n    "clockTolerance": 1000\n  }\n}',
  );
  const { code, stderr } = await check({}, "--config", config);
  assert.equal(code, 2);
  assert.match(stderr, /core\.json:5:23: clockTolerance: /);
});

test("every switch can be said with no- before it, also in a Node that knows nothing of that", async () => {
  // As parseArgs was before Node 20.16.
  const before = write(
    "before.mjs",
    `import { syncBuiltinESMExports } from "node:module";
    import util from "node:util";
    const { parseArgs } = util;
    util.parseArgs = ({ allowNegative: _, ...rest }) => parseArgs(rest);
    syncBuiltinESMExports();`,
  );
  for (const NODE_OPTIONS of ["", `--import=${pathToFileURL(before).href}`]) {
    const env = { ...GOOD, NODE_OPTIONS };
    // The last one counts.
    const plain = await check(env, "--no-metrics", "--json", "--no-json");
    assert.deepEqual([plain.code, plain.stdout], [0, "The configuration is good.\n"]);
    const json = await check(env, "--no-json", "--json");
    assert.deepEqual([json.code, JSON.parse(json.stdout)], [0, { good: true }]);
    const { stderr } = await gatepass.run(["login", "--no-browser"], { env });
    assert.match(stderr, /clientId .* is not set/);
    const unknown = await check(env, "--no-audiance");
    assert.match(unknown.stderr, /^Error: Unknown option '--no-audiance'/);
  }
});

test("unknown flags and commands are named", async () => {
  const flag = await check(GOOD, "--audiance", "x");
  assert.equal(flag.code, 2);
  assert.match(flag.stderr, /--audiance/);
  const command = await gatepass.run(["srve"]);
  assert.deepEqual([command.code, command.stdout], [2, ""]);
  assert.match(command.stderr, /There is no command "srve"/);
});
