// What the five documents that gatepass grew from ask of the library. Each test begins with the rows
// that it is about; those about the command and the service are in tests/cli.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { before, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";

import { installPackage } from "../support/installed.mjs";
import { makeProvider } from "../support/provider.mjs";

const root = fileURLToPath(new URL("../../", import.meta.url));
const ISSUER = "https://as.example";
const API = "https://api.example";

let backend;
before(async () => {
  const { project } = installPackage("seeds");
  const file = join(project, "node_modules/gatepass/dist/backend.js");
  backend = await import(pathToFileURL(file).href);
});

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
  assert.deepEqual(purposes, ["discovery", "token", "keys"]);
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

/** All sources of tests, to be searched. */
function sourcesOfTests() {
  const texts = [];
  const walk = (folder) => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) walk(path);
      else if (/\.(rs|mjs)$/.test(entry.name) && !path.endsWith("seeds.test.mjs")) {
        texts.push(readFileSync(path, "utf8"));
      }
    }
  };
  walk(join(root, "tests"));
  walk(join(root, "src"));
  return texts.join("\n");
}

/** The rules of RFC 9700 for clients, each with the test that holds it. */
const RULES = {
  "2.1 redirect URIs are compared exactly": "cbk_43_return_to_stays_on_the_own_origin",
  "2.1.1 PKCE with S256": "req_02_the_challenge_is_the_hash_of_the_verifier_that_is_sent_later",
  "2.1.1 a provider without S256 gets no request":
    "req_05_a_provider_that_rules_out_s256_gets_no_request",
  "2.1.2 no implicit grant": "req_09_the_response_type_is_code_and_cannot_be_another",
  "2.2.1 tokens bound to their sender": "a request carries the token as DPoP",
  "2.3 tokens for one audience":
    "none to another, and none after a redirect there|other origins get no token",
  "2.4 no password grant": "everything of the page's entry is here too",
  "2.6 metadata is of the issuer that was asked":
    "net_06_another_issuer_in_the_metadata_is_refused_and_nothing_of_it_used",
  "4.4 mix-up: iss in the response": "cbk_12_another_iss_is_iss_mismatch",
  "4.7 state and nonce against CSRF":
    "req_07_state_nonce_and_challenge_have_43_characters_and_never_repeat",
  "4.14 refresh tokens are used once": "S1-07 twenty processes that need a refresh make one",
  "4.2 nothing of the callback leaks": "DEV-17 the page shows nothing of the callback",
};

test("S0-17 each rule of RFC 9700 for clients has a test that is there", () => {
  const sources = sourcesOfTests();
  for (const [rule, name] of Object.entries(RULES)) {
    assert.ok(
      name.split("|").some((one) => sources.includes(one)),
      `${rule}: ${name}`,
    );
  }
});

test("S3-12 crate, WebAssembly and package are built and tested by what CI runs, and nothing that is generated is in the tree", async () => {
  const suites = readFileSync(join(root, "tools/test.mjs"), "utf8");
  for (const name of ["rust", "build", "package", "clippy-wasm", "boundary-node"]) {
    assert.ok(suites.includes(`name: "${name}"`), name);
  }
  const ignored = readFileSync(join(root, ".gitignore"), "utf8");
  for (const folder of ["dist", "target", "node_modules"])
    assert.match(ignored, new RegExp(folder));
});

test("S3-19 no HTTP client and no runtime of one is in what is shipped", () => {
  const manifest = readFileSync(join(root, "Cargo.toml"), "utf8");
  const [, dependencies] = /\n\[dependencies\]\n([^]*?)\n\[/.exec(manifest);
  assert.doesNotMatch(dependencies, /reqwest|hyper|tokio|urlencoding/);
  const { dependencies: npm } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  assert.equal(npm, undefined);
});

test("S3-20 everything that is public is reached through the package's entries alone", async () => {
  const { exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  assert.ok(Object.keys(exports).every((path) => !path.includes("*")));
  assert.ok(!Object.keys(exports).some((path) => /\/(?:lib|cli|server|load)\//.test(path)));
  for (const name of ["createClient", "clientCredentials", "wrapFetch", "GatepassError"]) {
    assert.equal(typeof backend[name], "function", name);
  }
});
