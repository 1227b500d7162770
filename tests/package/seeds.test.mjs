// What the five documents that gatepass grew from ask of the library. Each test begins with the rows
// that it is about; those about the command and the service are in tests/cli.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { before, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";

import { parse } from "yaml";

import { makeFolder } from "../support/folder.mjs";
import { assertGolden } from "../support/golden.mjs";
import { installPackage } from "../support/installed.mjs";
import { makeProvider } from "../support/provider.mjs";

const root = fileURLToPath(new URL("../../", import.meta.url));
const ISSUER = "https://as.example";
const API = "https://api.example";

let backend;
let project;
before(async () => {
  ({ project } = installPackage("seeds"));
  const file = join(project, "node_modules/gatepass/dist/backend.js");
  backend = await import(pathToFileURL(file).href);
});

const importGuard = () =>
  import(pathToFileURL(join(project, "node_modules/gatepass/dist/guard.js")).href);

/** A provider of tokens for programs, and what it was sent. */
function makeTokens(answer = {}) {
  const asked = [];
  return {
    asked,
    async fetch(url, init) {
      if (url.includes("/.well-known/")) {
        return Response.json({ issuer: ISSUER, token_endpoint: `${ISSUER}/token` });
      }
      asked.push({ form: new URLSearchParams(init.body), headers: init.headers });
      const access_token = `token-${asked.length}`;
      return Response.json({ access_token, token_type: "Bearer", expires_in: 300, ...answer });
    },
  };
}

const clientOf = ({ fetch }, more = {}) =>
  backend.createClient({
    issuer: ISSUER,
    clientId: "machine",
    clientAuth: { method: "client_secret_basic", clientSecret: "machine-S3CRET" },
    fetch,
    ...more,
  });

/** A client of a user who signed in. */
async function signedIn(options = {}, more = {}) {
  const provider = await makeProvider(options);
  const events = [];
  const client = await backend.createClient({
    issuer: provider.issuer,
    clientId: provider.clientId,
    redirectUri: provider.redirectUri,
    scope: "openid read",
    allowedOrigins: API,
    fetch: provider.fetch,
    onEvent: (event) => events.push(event),
    ...more,
  });
  const url = await client.signInUrl();
  await client.handleCallback(provider.signInAt(url));
  return { provider, client, events, url };
}

/** A server that tells what it was sent, until the process ends. */
async function listen(t, handler) {
  const server = createServer(handler);
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  return `http://127.0.0.1:${server.address().port}`;
}

test("S0-05 every request to a configured origin carries the token, none to another, and none after a redirect there", async (t) => {
  const seen = [];
  const note = (name) => (request, response) => {
    seen.push([name, request.url, request.headers.authorization?.split(" ")[0]]);
    if (request.url === "/away") response.writeHead(302, { location: `${foreign}/landed` });
    response.end();
  };
  const foreign = await listen(t, note("foreign"));
  const own = await listen(t, note("own"));
  const provider = makeTokens();
  const client = await clientOf(provider);
  const call = backend.wrapFetch(client.clientCredentials({ allowedOrigins: own }));
  await call(`${own}/a`);
  await call(`${own}/b`, { method: "POST", body: "x" });
  await call(`${foreign}/c`);
  await call(`${own}/away`);
  assert.deepEqual(seen, [
    ["own", "/a", "Bearer"],
    ["own", "/b", "Bearer"],
    ["foreign", "/c", undefined],
    ["own", "/away", "Bearer"],
    ["foreign", "/landed", undefined],
  ]);
  client.dispose();
});

test("S1-04 a host that sends requests itself gets the token by their address", async () => {
  const { client } = await signedIn();
  const token = await client.tokenFor(`${API}/x`);
  assert.equal(token, await client.accessToken());
  assert.equal(await client.tokenFor("https://other.example/"), undefined);
  client.dispose();
});

test("S1-08 with mutual TLS only the name is sent, through the fetch that has the certificate", async () => {
  const provider = makeTokens();
  const client = await clientOf(provider, { clientAuth: { method: "tls_client_auth" } });
  await client.clientCredentials().accessToken();
  const [{ form, headers }] = provider.asked;
  assert.deepEqual(Object.fromEntries(form), {
    grant_type: "client_credentials",
    client_id: "machine",
  });
  assert.equal(headers.authorization, undefined);
  client.dispose();
});

test("S1-17 a lifetime that is written as text counts, and a missing one means until it is refused", async () => {
  const before = Math.floor(Date.now() / 1000);
  const { client } = await signedIn({ expiresIn: "300" });
  const { expiresAt } = client.state();
  assert.ok(expiresAt >= before + 300 && expiresAt <= Math.ceil(Date.now() / 1000) + 300);
  client.dispose();
  const { client: other, provider } = await signedIn({ expiresIn: undefined });
  await other.accessToken();
  assert.equal(provider.count("/token"), 1);
  other.dispose();
  const forever = makeTokens({ expires_in: undefined });
  const machine = await clientOf(forever);
  const source = machine.clientCredentials();
  assert.equal(await source.accessToken(), await source.accessToken());
  const next = await source.tokenAfter(401, 'Bearer error="invalid_token"', "token-1");
  assert.equal(next, "token-2");
  machine.dispose();
});

test("S1-18 S1-20 state and events tell everything but tokens", async () => {
  const { client, events } = await signedIn();
  const { signedIn: isIn, subject, scope, canRefresh, expiresAt } = client.state();
  assert.deepEqual([isIn, subject, scope, canRefresh], [true, "alice", "openid read", true]);
  assert.ok(expiresAt > Date.now() / 1000);
  const told = JSON.stringify([client.state(), events]);
  assert.ok(!told.includes(await client.accessToken()));
  const purposes = events.filter(({ type }) => type === "request").map(({ purpose }) => purpose);
  assert.deepEqual(purposes, ["discovery", "keys", "token"]);
  assert.ok(events.some(({ type }) => type === "signed_in"));
  client.dispose();
});

const s256 = (verifier) => createHash("sha256").update(verifier).digest("base64url");

test("S2-32 the challenge is that of RFC 7636 for the verifier that is sent later", async () => {
  // Appendix B, of what we compare with.
  const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
  assert.equal(s256(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
  const { client, provider, url } = await signedIn();
  const { init } = provider.requests.find(({ url }) => url.endsWith("/token"));
  const sent = new URLSearchParams(init.body).get("code_verifier");
  assert.equal(url.searchParams.get("code_challenge"), s256(sent));
  client.dispose();
});

test("S2-33 a verifier is 32 random bytes in 43 characters of base64url, another one each time", async () => {
  const seen = new Set();
  for (let at = 0; at < 5; at++) {
    const { client, provider } = await signedIn();
    const { init } = provider.requests.find(({ url }) => url.endsWith("/token"));
    const verifier = new URLSearchParams(init.body).get("code_verifier");
    assert.match(verifier, /^[A-Za-z0-9_-]{43}$/);
    assert.equal(Buffer.from(verifier, "base64url").length, 32);
    seen.add(verifier);
    client.dispose();
  }
  assert.equal(seen.size, 5);
});

test("S2-34 the method is S256, also where a provider offers plain, and none where it offers no S256", async () => {
  for (const [methods, code] of [
    [["plain", "S256"], undefined],
    [undefined, undefined],
    [["plain"], "pkce_unsupported"],
  ]) {
    const document = {
      issuer: ISSUER,
      authorization_endpoint: `${ISSUER}/authorize`,
      token_endpoint: `${ISSUER}/token`,
      jwks_uri: `${ISSUER}/jwks`,
      code_challenge_methods_supported: methods,
    };
    const client = await backend.createClient({
      issuer: ISSUER,
      clientId: "spa",
      redirectUri: "https://app.example/callback",
      fetch: async () => Response.json(document),
    });
    const begun = client.signInUrl();
    if (code === undefined) {
      assert.equal((await begun).searchParams.get("code_challenge_method"), "S256");
    } else await assert.rejects(begun, { code });
    client.dispose();
  }
});

test("S3-04 S3-08 a token of the program is asked for at its first use, kept, and asked for again near its end", async (t) => {
  t.mock.timers.enable({ apis: ["Date"], now: Date.now() });
  const provider = makeTokens();
  const client = await clientOf(provider, { refreshSkew: 60 });
  assert.equal(provider.asked.length, 0);
  const source = client.clientCredentials();
  assert.equal(await source.accessToken(), "token-1");
  t.mock.timers.tick(239_000);
  assert.equal(await source.accessToken(), "token-1");
  t.mock.timers.tick(2000);
  assert.equal(await source.accessToken(), "token-2");
  client.dispose();
});

test("S3-05 S3-10 S3-11 S3-15 fifty requests that are refused together make one new token, and each is sent once more", async () => {
  const provider = makeTokens();
  const client = await clientOf(provider);
  const sent = [];
  const call = backend.wrapFetch(client.clientCredentials({ resource: API }), async (request) => {
    const shown = request.headers.get("authorization");
    sent.push(shown);
    const headers = { "www-authenticate": 'Bearer error="invalid_token"' };
    return shown === "Bearer token-1" ? new Response("", { status: 401, headers }) : new Response();
  });
  const answers = await Promise.all(Array.from({ length: 50 }, () => call(`${API}/x`)));
  assert.ok(answers.every(({ status }) => status === 200));
  assert.equal(provider.asked.length, 2);
  assert.equal(sent.filter((shown) => shown === "Bearer token-1").length, 50);
  assert.equal(sent.filter((shown) => shown === "Bearer token-2").length, 50);
  // What a new token cannot help is told, and not tried again.
  const poor = backend.wrapFetch(client.clientCredentials({ resource: API }), async () => {
    const headers = { "www-authenticate": 'Bearer error="insufficient_scope", scope="admin"' };
    return new Response("", { status: 403, headers });
  });
  await assert.rejects(poor(`${API}/x`), { code: "scope_insufficient" });
  assert.equal(provider.asked.length, 2);
  client.dispose();
});

/** The folders that .gitignore names: everything in them is made by a command. */
const MADE = ["node_modules", "target", "dist", "pkg"];

/** Everything else below a folder, but for what a version control keeps for itself. */
function sourcesBelow(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (MADE.includes(entry.name) || entry.name === ".git") return [];
    return entry.isDirectory() ? sourcesBelow(path) : [path];
  });
}

test("S3-12 each change is built and tested from nothing by npm test, and nothing that is generated is in the tree", () => {
  const workflow = parse(readFileSync(join(root, ".github/workflows/check.yml"), "utf8"));
  // Of every branch, and of whoever proposes a change.
  assert.deepEqual(workflow.on, { push: null, pull_request: null });
  const steps = Object.values(workflow.jobs).flatMap((job) => job.steps);
  assert.match(steps[0].uses, /^actions\/checkout@/);
  assert.ok(steps.some(({ run }) => run === "npm test"));
  assert.ok(steps.every((step) => !step["continue-on-error"] && !/cache/.test(step.uses ?? "")));

  // What npm test runs when no suite is named.
  const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  assert.equal(scripts.test, "node tools/test.mjs");
  const [, list] = /const SUITES = \[\n([^]*?)\n\];/.exec(
    readFileSync(join(root, "tools/test.mjs"), "utf8"),
  );
  const always = list
    .split(/\n {2}\},\n/)
    .filter((suite) => !suite.includes("onlyByName"))
    .map((suite) => /name: "([\w-]+)"/.exec(suite)?.[1]);
  for (const name of ["clippy", "clippy-wasm", "rust", "build", "package", "types", "publint"]) {
    assert.ok(always.includes(name), name);
  }

  const ignored = readFileSync(join(root, ".gitignore"), "utf8").split("\n");
  for (const folder of MADE) {
    assert.ok(ignored.includes(`/${folder}/`) || ignored.includes(`${folder}/`), folder);
  }
  const mark = new RegExp(
    ["@", "code ", "automatically "].map((one) => `${one}generated`).join("|"),
    "i",
  );
  for (const path of sourcesBelow(root)) {
    assert.doesNotMatch(path, /\.(?:wasm|tgz|d\.cts|map)$|_bg\.|\.pb\./, path);
    if (/\.(?:rs|ts|mjs|js)$/.test(path))
      assert.doesNotMatch(readFileSync(path, "utf8"), mark, path);
  }
});

test("S3-06 a server tells of itself in both well-known places, and an API tells whose tokens it takes", async () => {
  const issuer = `${ISSUER}/tenant`;
  const places = {
    openid: `${issuer}/.well-known/openid-configuration`,
    oauth: `${ISSUER}/.well-known/oauth-authorization-server/tenant`,
  };
  for (const place of Object.values(places)) {
    const asked = [];
    const client = await backend.createClient({
      issuer,
      clientId: "machine",
      clientAuth: { method: "client_secret_basic", clientSecret: "machine-S3CRET" },
      async fetch(url) {
        asked.push(url);
        if (url === place) return Response.json({ issuer, token_endpoint: `${issuer}/token` });
        if (url !== `${issuer}/token`) return new Response("", { status: 404 });
        return Response.json({ access_token: "a", token_type: "Bearer", expires_in: 60 });
      },
    });
    assert.equal(await client.clientCredentials().accessToken(), "a");
    assert.ok(asked.includes(place) && asked.every((url) => url.startsWith(ISSUER)), place);
    client.dispose();
  }

  // An API says with its 401 where it tells whose tokens it takes.
  const resource = `${API}/mcp`;
  const { createGuard } = await importGuard();
  const guard = await createGuard({ issuer, audience: resource, resource, resourceMetadata: {} });
  const { response } = await guard.check(new Request(resource));
  assert.equal(response.status, 401);
  const [, told] = /resource_metadata="([^"]+)"/.exec(response.headers.get("www-authenticate"));
  const found = await backend.discoverResource({
    resource,
    async fetch(url) {
      assert.equal(url, told);
      return guard.metadata(new Request(url));
    },
  });
  assert.deepEqual(found.authorizationServers, [issuer]);
  guard.dispose();
});

test("S0-07 a command of any program can require a login: without one it is login_required", async () => {
  const provider = await makeProvider();
  const { issuer, clientId, redirectUri, fetch } = provider;
  const client = await backend.createClient({ issuer, clientId, redirectUri, fetch });
  const error = await client.accessToken().catch((thrown) => thrown);
  assert.ok(error instanceof backend.GatepassError);
  assert.deepEqual([error.code, error.retryable], ["login_required", false]);
  assert.equal(provider.requests.length, 0);
  client.dispose();
});

test("S2-26 an API is told by an event of what somebody should see to, once, and of no token", async () => {
  const { createGuard } = await importGuard();
  const provider = await makeProvider({ api: "rs:rs-secret" });
  const events = [];
  const guard = await createGuard({
    issuer: provider.issuer,
    audience: API,
    fetch: provider.fetch,
    introspection: { clientId: "rs", clientSecret: "an-old-secret" },
    onEvent: (event) => events.push(event),
  });
  const token = provider.opaqueToken();
  const authorization = `Bearer ${token}`;
  for (let times = 0; times < 3; times++) {
    const { refusal } = await guard.check(new Request(API, { headers: { authorization } }));
    assert.equal(refusal.status, 503);
  }
  const alerts = events.filter(({ type }) => type === "alert");
  assert.deepEqual(
    alerts.map(({ code }) => code),
    ["credentials_refused"],
  );
  assert.match(alerts[0].hint, /refuses this program's own credentials/);
  const told = JSON.stringify(events);
  assert.ok(!told.includes(token) && !told.includes("an-old-secret"));
  guard.dispose();
});

/** What stands in a table of Cargo.toml. */
function dependenciesOf(manifest, table) {
  const [, lines] = manifest.split(`\n[${table}]\n`)[1].match(/^([^]*?)(?:\n\[|$)/);
  return [...lines.matchAll(/^([\w-]+) = /gm)].map(([, name]) => name);
}

test("S3-19 no HTTP client is in what is shipped, and what is in it is on a list", () => {
  const manifest = readFileSync(join(root, "Cargo.toml"), "utf8");
  const wasm = `target.'cfg(target_arch = "wasm32")'.dependencies`;
  const native = `target.'cfg(not(target_arch = "wasm32"))'.dependencies`;
  assert.deepEqual(dependenciesOf(manifest, "dependencies"), [
    ...["base64", "serde", "sha2", "subtle", "zeroize"],
  ]);
  assert.deepEqual(dependenciesOf(manifest, wasm), [
    ...["getrandom", "js-sys", "serde-wasm-bindgen", "talc", "wasm-bindgen"],
    ...["wasm-bindgen-futures", "web-sys"],
  ]);
  assert.deepEqual(dependenciesOf(manifest, native), [
    ...["ed25519-dalek", "hmac", "p256", "p384", "p521", "rsa", "sha2"],
  ]);
  // Each is explained where the house is.
  const architecture = readFileSync(join(root, "ARCHITECTURE.md"), "utf8");
  const [explained] = /\nLibraries: [^]*?\n\n/.exec(architecture);
  for (const name of ["base64", "sha2", "subtle", "zeroize", "wasm-bindgen", "rsa"]) {
    assert.ok(explained.includes(name), name);
  }
  const { dependencies: npm } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  assert.equal(npm, undefined);
});

test("S3-19 what is shipped is looked up in the lists of known vulnerabilities, and what cannot be is skipped by name", () => {
  const workflow = parse(readFileSync(join(root, ".github/workflows/check.yml"), "utf8"));
  const steps = Object.values(workflow.jobs).flatMap((job) => job.steps);
  assert.ok(steps.some(({ run }) => run === "npm run audit"));
  const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  assert.equal(scripts.audit, "node tools/audit.mjs");
  // Programs in place of npm and cargo: the registries' answers are not ours to test.
  const bin = makeFolder("audit");
  const pretend = (name, script) => {
    const file = join(bin, name);
    writeFileSync(file, `#!/bin/sh\n${script}\n`);
    chmodSync(file, 0o755);
  };
  const report = (prod, total) =>
    JSON.stringify({ metadata: { dependencies: { prod }, vulnerabilities: { total } } });
  const audit = (npm, cargo) => {
    pretend("npm", `echo '${npm}'`);
    pretend("cargo", `[ "$2" = --version ] || { ${cargo}; }`);
    const env = { ...process.env, PATH: `${bin}:${process.env["PATH"]}` };
    const program = join(root, "tools/audit.mjs");
    const { status, stdout, stderr } = spawnSync(process.execPath, [program], {
      env,
      encoding: "utf8",
    });
    return [status, stdout + stderr];
  };
  const good = report(1, 0);
  for (const [npm, cargo, code, said] of [
    [good, "exit 0", 0, /npm audit +no dependencies, no vulnerabilities\n +cargo audit +no vuln/],
    [report(2, 0), "exit 0", 1, /has 1 dependencies, and should have none/],
    [report(1, 1), "exit 0", 1, /npm audit knows 1 vulnerabilities/],
    ['{"error":{"summary":"no such list"}}', "exit 0", 0, /npm audit +skipped: no such list/],
    [good, "echo RUSTSEC-2000-0001; exit 1", 1, /RUSTSEC-2000-0001\s+cargo audit found something/],
    [good, "echo could not: failed to fetch >&2; exit 1", 0, /cargo audit +skipped: the list of/],
    [good, "case $* in *--ignore*RUSTSEC-2023-0071*) exit 0;; esac; exit 1", 0, /no vuln/],
  ]) {
    const [status, text] = audit(npm, cargo);
    assert.equal(status, code, text);
    assert.match(text, said);
  }
  pretend("cargo", "exit 101");
  const env = { ...process.env, PATH: `${bin}:${process.env["PATH"]}` };
  pretend("npm", `echo '${good}'`);
  const without = spawnSync(process.execPath, [join(root, "tools/audit.mjs")], { env });
  assert.equal(without.status, 0);
  assert.match(String(without.stdout), /cargo audit +skipped: cargo-audit is not installed/);
});

/** Everything that programs can import. A name that goes, or comes, is a change of version. */
const PUBLIC = {
  index: ["GatepassError", "createClient", "engine", "relayCallback", "wrapFetch"],
  backend: [
    ...["GatepassError", "clientCredentials", "createClient", "createCookieSessions"],
    ...["createLogoutReceiver", "discoverResource", "engine", "registerClient"],
    ...["relayCallback", "wrapFetch"],
  ],
  guard: [
    ...["GatepassError", "cacheApiSharedCache", "createGuard", "engine"],
    ...["kvSharedCache", "redisSharedCache"],
  ],
  primitives: [
    ...["GatepassError", "authorizationUrl", "checkClaims", "createPkce", "decodeJwt", "discover"],
    ...["engine", "exchangeCode", "parseCallback", "refreshTokens"],
  ],
  callback: ["relayCallback"],
  presets: ["auth0", "cognito", "entra", "google", "keycloak", "okta"],
};

test("S3-20 everything that is public is reached through the package's entries alone, name by name", async () => {
  const { exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  assert.ok(Object.keys(exports).every((path) => !path.includes("*")));
  assert.ok(!Object.keys(exports).some((path) => /\/(?:lib|cli|server|load)\//.test(path)));
  for (const [entry, names] of Object.entries(PUBLIC)) {
    const file = join(project, `node_modules/gatepass/dist/${entry}.js`);
    assert.deepEqual(Object.keys(await import(pathToFileURL(file).href)), names, entry);
  }
});

/** The public names of a module of the crate and of those below it, `path::Name`, one a line. */
function publicNames(file, path) {
  const source = readFileSync(join(root, file), "utf8");
  const names = [];
  const below = /\/(?:mod|lib)\.rs$/.test(file) ? join(file, "..") : file.replace(/\.rs$/, "");
  for (const [, name] of source.matchAll(/^pub mod (\w+);/gm)) {
    // The boundary to JavaScript is no part of what programs in Rust see.
    if (name === "wasm") continue;
    const [child] = [join(below, `${name}.rs`), join(below, name, "mod.rs")].filter((one) =>
      existsSync(join(root, one)),
    );
    names.push(...publicNames(child, `${path}::${name}`));
  }
  for (const [, one, list] of source.matchAll(/^pub use [\w:]+::(?:(\w+)|\{([^}]*)\});/gm)) {
    const listed = one ?? list;
    names.push(
      ...listed
        .split(/[\s,]+/)
        .filter(Boolean)
        .map((name) => `${path}::${name}`),
    );
  }
  const item = /^pub (?:const fn|async fn|fn|struct|enum|trait|type|const|static) (\w+)/gm;
  names.push(...[...source.matchAll(item)].map(([, name]) => `${path}::${name}`));
  return names;
}

test("S3-20 the crate is reached through the modules of its root alone, name by name", () => {
  // What is public in a module that is private can only be reached where it is named again.
  assert.doesNotMatch(readFileSync(join(root, "src/lib.rs"), "utf8"), /^pub use .*\*;/m);
  const names = publicNames("src/lib.rs", "gatepass").sort();
  assert.ok(names.includes("gatepass::client::ClientConfig"));
  assert.ok(names.includes("gatepass::guard::Principal"));
  assert.equal(new Set(names).size, names.length);
  assertGolden("crate", `${names.join("\n")}\n`, "package");
});

/** The list of what the documents ask for lies beside the vectors of tests/support/vectors.mjs. */
const requirements = join(
  process.env["GATEPASS_VECTORS"] ?? join(root, "../shared/vectors"),
  "../requirements/seed-rows.md",
);

/** Rows that have no test, why, and what README says of them where it does. */
const LEFT_OUT = {
  "S1-15": [
    "what the document leaves out of its first version; its other kinds of login are here",
    "token sources that are not HTTP",
  ],
  "S1-21": [
    "a flag at run time would keep what nobody uses",
    "There are no feature flags at run time",
  ],
  "S4-07": ["Python's packages are not JavaScript's"],
  "S4-43": ["/metrics tells the provider's time from one's own", "a benchmark command"],
};

/** Rows of which tests show a part, and why not all. */
const LEFT_OUT_IN_PART = {
  "S3-19":
    "crates are looked up where cargo-audit and its list are; npm run audit says so otherwise",
  "S3-20":
    "cargo-semver-checks compares with a published crate, of which there is none: names are compared",
  "S4-14":
    "a second is for a machine of one's own: npm run bench:serve shows it, a test allows five",
  "S4-23": "figures are shown by npm run bench:serve, never by timed tests",
  "S4-24": "figures are shown by npm run bench:serve, never by timed tests",
  "S4-26": "figures are shown by npm run bench:serve, never by timed tests",
};

/** With which rows the names of tests begin: `S4-18 S4-21 ...`, or `s3_18_s3_17_...` in Rust. */
function rowsOfTests() {
  const names = ["tests", "src", "tools"]
    .flatMap((folder) => sourcesBelow(join(root, folder)))
    .flatMap((path) => {
      const source = /\.(?:mjs|rs)$/.test(path) ? readFileSync(path, "utf8") : "";
      const pattern = path.endsWith(".rs")
        ? /#\[test\]\s+fn ((?:s\d_\d\d_)+)/g
        : /^ *test\(\s*["`]((?:[A-Z]+\d?-\d\d )+)/gm;
      return [...source.matchAll(pattern)].map(([, rows]) => rows);
    });
  const rows = names.flatMap((name) => name.match(/S\d[-_]\d\d/gi) ?? []);
  return new Set(rows.map((row) => row.toUpperCase().replace("_", "-")));
}

test("each row of the documents has a test whose name begins with it, or stands here with the reason why not", (t) => {
  if (!existsSync(requirements)) return t.skip(`no ${requirements}: set GATEPASS_VECTORS`);
  const text = readFileSync(requirements, "utf8");
  const rows = new Map(
    [...text.matchAll(/^\| (S\d-\d\d) \|.*\| ([MSCX]) \|$/gm)].map(([, id, must]) => [id, must]),
  );
  assert.equal(rows.size, 145);
  const tested = rowsOfTests();
  const missing = [...rows.keys()].filter((id) => !tested.has(id));
  assert.deepEqual(missing, Object.keys(LEFT_OUT));
  for (const id of Object.keys(LEFT_OUT_IN_PART)) assert.ok(tested.has(id), id);
  // Only what could be done, or is out of reach by its nature.
  for (const id of missing) assert.match(rows.get(id), /[CX]/, id);
  const readme = readFileSync(join(root, "README.md"), "utf8").replace(/\s+/g, " ");
  for (const [id, [, said]] of Object.entries(LEFT_OUT)) {
    if (said !== undefined) assert.ok(readme.includes(said), id);
  }
  assert.deepEqual(
    [...tested].filter((id) => !rows.has(id)),
    [],
    "rows that no document has",
  );
});

test("S4-45 the licences are the same two", () => {
  const { license } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  assert.equal(license, "MIT OR Apache-2.0");
  assert.match(readFileSync(join(root, "Cargo.toml"), "utf8"), /^license = "MIT OR Apache-2\.0"$/m);
  assert.match(readFileSync(join(root, "LICENSE-MIT"), "utf8"), /Permission is hereby granted/);
  assert.match(readFileSync(join(root, "LICENSE-APACHE"), "utf8"), /Version 2\.0, January 2004/);
});
