// Tokens of the program itself (client credentials), and what is shown of the wire.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";

import { makeFolder } from "../support/folder.mjs";
import { CLIENTS, startOidc } from "../support/oidc.mjs";
import { assertGolden, showAssertion, showPosted, showRequests } from "../support/golden.mjs";
import { installProgram, listen, startProvider } from "../support/program.mjs";

let gatepass;
before(() => {
  gatepass = installProgram("cli-program");
});

const makeHome = () => makeFolder("home");
const SECRET = "secret-of-the-job-0123456789";

/** A provider that answers client credentials as it is told. */
async function startTokens(t, { answers = [], metadata = {} } = {}) {
  const asked = [];
  let serial = 0;
  const provider = await startProvider(t, {
    answer: async (url, init) => {
      const { pathname } = new URL(url);
      if (pathname === "/.well-known/openid-configuration" && Object.keys(metadata).length > 0) {
        return Response.json({
          issuer: new URL(url).origin,
          token_endpoint: `${new URL(url).origin}/token`,
          ...metadata,
        });
      }
      if (pathname !== "/token") return undefined;
      asked.push({ headers: init.headers, form: new URLSearchParams(init.body) });
      const answer = answers.shift();
      if (answer) return answer;
      return Response.json({
        access_token: `token-${++serial}`,
        token_type: "Bearer",
        expires_in: 3600,
      });
    },
  });
  const env = {
    HOME: makeHome(),
    GATEPASS_ISSUER: provider.issuer,
    GATEPASS_CLIENT_ID: "job",
    GATEPASS_CLIENT_SECRET: SECRET,
    GATEPASS_FLOW: "client_credentials",
  };
  return { provider, asked, env };
}

test("S1-03 S1-13 a token of the program is kept until its end is near, and asked for again then", async (t) => {
  const { asked, env } = await startTokens(t);
  const stored = { ...env, GATEPASS_STORE: "file" };
  const token = () => gatepass.run(["token"], { env: stored });
  assert.equal((await token()).stdout, "token-1\n");
  assert.equal((await token()).stdout, "token-1\n");
  assert.equal(asked.length, 1);
  const file = join(env.HOME, ".gatepass/default/tokens.json");
  assert.equal((statSync(file).mode & 0o777).toString(8), "600");
  const saved = JSON.parse(readFileSync(file, "utf8"));
  assert.ok(!JSON.stringify(saved).includes(SECRET));
  const iso = (seconds) => new Date(Date.now() + 1000 * seconds).toISOString();
  for (const [left, next] of [
    [301, "token-1\n"],
    [299, "token-2\n"],
  ]) {
    const aged = { ...saved, issued_at: iso(left - 3600), expires_at: iso(left) };
    writeFileSync(file, JSON.stringify(aged));
    assert.equal((await token()).stdout, next);
  }
});

/** The tokens that were kept, the newest first. */
const kept = (env) => {
  const { others = [], ...newest } = JSON.parse(
    readFileSync(join(env.HOME, ".gatepass/default/tokens.json"), "utf8"),
  );
  return [newest, ...others];
};

test("S1-01 tokens for two APIs are kept side by side: who uses them in turn asks for each of them once", async (t) => {
  const { asked, env } = await startTokens(t);
  const stored = { ...env, GATEPASS_STORE: "file" };
  const token = async (...args) => {
    const { code, stdout, stderr } = await gatepass.run(["token", ...args], { env: stored });
    assert.equal(code, 0, stderr);
    return stdout.trim();
  };
  const asks = [
    ["--audience", "https://a.example"],
    ["--audience", "https://b.example"],
    ["--audience", "https://a.example", "--scopes", "read"],
    ["--resources", "https://a.example/"],
    ["--params", "tenant=acme"],
    ["--headers", "x-tenant=acme"],
    ["--client-id", "other-job"],
    [],
  ];
  const first = [];
  for (const args of asks) first.push(await token(...args));
  assert.equal(new Set(first).size, asks.length);
  for (const [at, args] of asks.entries()) assert.equal(await token(...args), first[at]);
  assert.equal(asked.length, asks.length);
  // The newest stands where any tokens.json has its token.
  assert.deepEqual(
    kept(env).map((one) => one.access_token),
    first.toReversed(),
  );
  // What was asked for may hold a secret.
  const text = JSON.stringify(kept(env));
  for (const said of ["acme", "a.example", SECRET]) assert.ok(!text.includes(said), said);

  const status = await gatepass.run(["status", "--json"], { env: stored });
  const { signed_in, tokens } = JSON.parse(status.stdout);
  assert.deepEqual([signed_in, tokens], [true, asks.length - 1], "the other client's is not ours");
  // Without the flow a user is meant, whose login this is not.
  const user = await gatepass.run(["token"], { env: { ...stored, GATEPASS_FLOW: "code" } });
  assert.deepEqual([user.code, user.stdout], [3, ""], user.stderr);
});

test("S1-01 a token that an API refused gives way, and those for other APIs stay", async (t) => {
  const { asked, env } = await startTokens(t);
  const stored = { ...env, GATEPASS_STORE: "file" };
  const api = await listen(t, (request, response) => {
    response.writeHead(request.headers.authorization === "Bearer token-1" ? 401 : 200).end();
  });
  const token = async (audience) =>
    (await gatepass.run(["token", "--audience", audience], { env: stored })).stdout.trim();
  assert.deepEqual([await token("a"), await token("b")], ["token-1", "token-2"]);
  const args = ["request", `${api.origin}/x`, "--audience", "a"];
  assert.equal((await gatepass.run(args, { env: stored })).code, 0);
  assert.deepEqual([await token("a"), await token("b")], ["token-3", "token-2"]);
  assert.equal(asked.length, 3);
});

test("S1-01 no more than sixteen tokens are kept, and none that is over", async (t) => {
  const { asked, env } = await startTokens(t);
  const stored = { ...env, GATEPASS_STORE: "file" };
  const token = async (audience) =>
    (await gatepass.run(["token", "--audience", audience], { env: stored })).stdout.trim();
  for (let at = 1; at <= 17; at++) assert.equal(await token(`api-${at}`), `token-${at}`);
  assert.equal(kept(env).length, 16);
  assert.equal(await token("api-2"), "token-2");
  assert.equal(await token("api-1"), "token-18", "the oldest gave way");
  assert.equal(asked.length, 18);
  const past = new Date(Date.now() - 1000).toISOString();
  const [newest, ...others] = kept(env);
  const aged = others.map((one, at) => (at < 5 ? one : { ...one, expires_at: past }));
  const file = join(env.HOME, ".gatepass/default/tokens.json");
  // Whatever else stands among them is no token.
  writeFileSync(file, JSON.stringify({ ...newest, others: [...aged, null, 1, { scope: "x" }] }));
  assert.equal(await token("another"), "token-19");
  assert.equal(kept(env).length, 7);
  writeFileSync(file, JSON.stringify({ ...newest, others: "none" }));
  assert.equal(await token("api-1"), "token-18");
});

test("S1-01 S1-07 processes that need tokens for two APIs at once ask for each of them once", async (t) => {
  const { asked, env } = await startTokens(t);
  const stored = { ...env, GATEPASS_STORE: "file" };
  const run = (at) =>
    gatepass.run(["token", "--audience", at % 2 === 0 ? "a" : "b"], { env: stored });
  const runs = await Promise.all(Array.from({ length: 10 }, (_, at) => run(at)));
  assert.equal(asked.length, 2, runs[0].stderr);
  assert.deepEqual(
    new Set(runs.map(({ stdout }, at) => `${at % 2} ${stdout}`)).size,
    2,
    "each got the one that it asked for",
  );
});

test("S1-01 S0-06 logout removes all tokens of its client, and leaves those of another one", async (t) => {
  const { env } = await startTokens(t);
  const stored = { ...env, GATEPASS_STORE: "file" };
  const other = { ...stored, GATEPASS_CLIENT_ID: "other-job" };
  const file = join(env.HOME, ".gatepass/default/tokens.json");
  const run = async (args, settings) => {
    const { code, stderr } = await gatepass.run(args, { env: settings });
    assert.equal(code, 0, stderr);
  };
  for (const audience of ["a", "b"]) await run(["token", "--audience", audience], stored);
  await run(["token"], other);
  for (const audience of ["c", "d"]) await run(["token", "--audience", audience], stored);
  await run(["logout"], stored);
  assert.deepEqual(
    kept(env).map(({ client_id }) => client_id),
    ["other-job"],
  );
  assert.equal((statSync(file).mode & 0o777).toString(8), "600");
  const again = await gatepass.run(["logout"], { env: stored });
  assert.equal(again.code, 3, "it is another client's");
  assert.match(again.stderr, /belongs to another client/);
  await run(["logout"], other);
  assert.ok(!existsSync(file));
});

test("S1-01 where a store has little room, the tokens that were asked for last are kept", async () => {
  const { textOf } = await import(
    join(gatepass.project, "node_modules/gatepass/dist/cli/own-token.js")
  );
  const token = (at) => ({ access_token: String(at).repeat(400), asked_for: `${at}` });
  const tokens = [1, 2, 3].map(token);
  const read = (room) => {
    const text = textOf(tokens, room);
    const { others = [], ...newest } = JSON.parse(text);
    return { length: text.length, tokens: [newest, ...others] };
  };
  // The entry of a keyring in Windows.
  const small = read(1280);
  assert.ok(small.length <= 1280);
  assert.deepEqual(small.tokens, tokens.slice(0, 2));
  assert.deepEqual(read(10_000).tokens, tokens);
  assert.deepEqual(read(10).tokens, tokens.slice(0, 1), "the newest in any case");
});

test("S1-10 without being told to keep it, the program's own token is not written anywhere", async (t) => {
  const { asked, env } = await startTokens(t);
  await gatepass.run(["token"], { env });
  await gatepass.run(["token"], { env });
  assert.equal(asked.length, 2);
  assert.ok(!existsSync(join(env.HOME, ".gatepass")));
});

test("S1-07 twenty processes that need the program's token ask for one", async (t) => {
  const { asked, env } = await startTokens(t);
  const stored = { ...env, GATEPASS_STORE: "file" };
  const runs = await Promise.all(
    Array.from({ length: 20 }, () => gatepass.run(["token"], { env: stored })),
  );
  assert.deepEqual([...new Set(runs.map(({ stdout }) => stdout))], ["token-1\n"]);
  assert.equal(asked.length, 1);
});

test("S1-11 S1-12 scopes, audience, resources, parameters and headers of the file are sent", async (t) => {
  const { asked, env, provider } = await startTokens(t);
  const config = join(env.HOME, "config.json");
  writeFileSync(
    config,
    JSON.stringify({
      servers: {
        graph: {
          urls: ["https://api.example/*"],
          tokenUrl: `${provider.issuer}/token`,
          clientId: "job",
          clientSecret: { env: "JOB_SECRET" },
          flow: "client_credentials",
          scopes: ["read", "write"],
          audience: "https://graph.example",
          resources: ["https://a.example/", "https://b.example/"],
          params: { tenant: "${TENANT}" },
          headers: { "x-api-version": "2" },
        },
      },
    }),
  );
  const { HOME } = env;
  const { code, stderr } = await gatepass.run(["token", "--config", config], {
    env: { HOME, JOB_SECRET: SECRET, TENANT: "acme" },
  });
  assert.equal(code, 0, stderr);
  const [{ form, headers }] = asked;
  assert.equal(form.get("grant_type"), "client_credentials");
  assert.equal(form.get("scope"), "read write");
  assert.equal(form.get("audience"), "https://graph.example");
  assert.deepEqual(form.getAll("resource"), ["https://a.example/", "https://b.example/"]);
  assert.equal(form.get("tenant"), "acme");
  assert.equal(headers["x-api-version"], "2");
  assert.equal(headers.authorization, `Basic ${btoa(`job:${SECRET}`)}`);
  const own = await gatepass.run(["token", "--headers", "Authorization=x"], { env });
  assert.equal(own.code, 2);
  assert.match(own.stderr, /header Authorization is not for you to set/);
});

test("S1-16 the secret goes into the header or the body, as the provider wants or as one says", async (t) => {
  for (const [methods, said, isPost] of [
    [undefined, undefined, false],
    [["client_secret_basic", "client_secret_post"], undefined, false],
    [["client_secret_post"], undefined, true],
    [["client_secret_basic", "client_secret_post"], "client_secret_post", true],
  ]) {
    const metadata = methods ? { token_endpoint_auth_methods_supported: methods } : {};
    const { asked, env } = await startTokens(t, { metadata });
    const { code, stderr } = await gatepass.run(["token"], {
      env: { ...env, ...(said && { GATEPASS_CLIENT_AUTH: said }) },
    });
    assert.equal(code, 0, stderr);
    const [{ form, headers }] = asked;
    assert.equal(form.get("client_secret"), isPost ? SECRET : null);
    assert.equal(headers.authorization !== undefined, !isPost);
  }
});

test("S1-06 a provider that is busy is asked again, and one that says no is not", async (t) => {
  const busy = () =>
    Response.json({ error: "busy" }, { status: 503, headers: { "retry-after": "0" } });
  const again = await startTokens(t, { answers: [busy(), busy()] });
  const good = await gatepass.run(["token"], { env: again.env });
  assert.deepEqual([good.code, again.asked.length], [0, 3], good.stderr);
  const unavailable = Response.json({ error: "temporarily_unavailable" }, { status: 400 });
  const other = await startTokens(t, { answers: [unavailable] });
  assert.equal((await gatepass.run(["token"], { env: other.env })).code, 1);
  // In whatever words: it refuses nobody.
  const slow = () =>
    Response.json({ error: "slow_down" }, { status: 429, headers: { "retry-after": "0" } });
  const never = await startTokens(t, { answers: [slow(), slow(), slow()] });
  const late = await gatepass.run(["token"], { env: never.env });
  assert.deepEqual([late.code, never.asked.length], [1, 3], late.stderr);
  for (const error of ["invalid_client", "invalid_grant"]) {
    const refusal = Response.json({ error }, { status: error === "invalid_client" ? 401 : 400 });
    const once = await startTokens(t, { answers: [refusal] });
    const bad = await gatepass.run(["token"], { env: once.env });
    assert.deepEqual([bad.code, once.asked.length], [5, 1], bad.stderr);
  }
});

test("S1-23 what the provider said of a refusal is told, with its status and what came, and no secret", async (t) => {
  const refusal = Response.json(
    { error: "invalid_scope", error_description: "No scope of yours" },
    { status: 400, headers: { "x-request-id": "req-7" } },
  );
  const { env } = await startTokens(t, { answers: [refusal] });
  const { code, stderr } = await gatepass.run(["token"], { env });
  assert.equal(code, 5);
  assert.match(stderr, /HTTP 400: invalid_scope: No scope of yours: request req-7/);
  const page = () => new Response(`<h1>Bad gateway</h1> ${SECRET}`, { status: 502 });
  const broken = await startTokens(t, { answers: [page(), page(), page()] });
  const failed = await gatepass.run(["token"], { env: broken.env });
  assert.equal(failed.code, 1);
  assert.match(failed.stderr, /HTTP 502: .*Bad gateway/);
  assert.ok(!failed.stderr.includes(SECRET) && !stderr.includes(SECRET));
});

test("S1-14 --debug shows requests and answers, and none of the secrets in them", async (t) => {
  const token = `tok_${"x".repeat(40)}`;
  const secrets = [token, SECRET, btoa(`job:${SECRET}`)];
  for (const auth of ["client_secret_basic", "client_secret_post"]) {
    const answer = Response.json({ access_token: token, token_type: "Bearer", expires_in: 60 });
    const { env } = await startTokens(t, { answers: [answer] });
    const { stdout, stderr } = await gatepass.run(["token", "--debug"], {
      env: { ...env, GATEPASS_CLIENT_AUTH: auth },
    });
    assert.equal(stdout, `${token}\n`);
    assert.match(stderr, /^> POST http:\/\/127\.0\.0\.1:\d+\/token$/m);
    assert.match(stderr, /^< 200/m);
    assert.match(stderr, /"access_token":"\*\*\*[0-9a-f]{4}"/);
    for (const secret of secrets) assert.ok(!stderr.includes(secret), auth);
  }
});

test("S1-19 the requests for a token, letter by letter", async (t) => {
  const { asked, env } = await startTokens(t);
  await gatepass.run(["token", "--scopes", "read"], { env });
  await gatepass.run(["token", "--scopes", "read", "--client-auth", "client_secret_post"], { env });
  const lines = asked.map(({ headers, form }) => {
    const shown = ["authorization", "accept", "content-type"].flatMap((name) =>
      headers[name] === undefined ? [] : [`${name}: ${headers[name]}`],
    );
    return ["POST /token", ...shown, "", form.toString(), ""].join("\n");
  });
  assertGolden("wire-client-credentials", lines.join("\n"));
});

test("S1-19 the requests of a client that signs with its secret, letter by letter", async (t) => {
  const { asked, env, provider } = await startTokens(t);
  const args = ["token", "--scopes", "read", "--client-auth", "client_secret_jwt"];
  for (const serial of [1, 2]) {
    const { code, stdout, stderr } = await gatepass.run(args, {
      env: { ...env, GATEPASS_CLIENT_SECRET: `${SECRET}-and-more` },
    });
    assert.deepEqual([code, stdout], [0, `token-${serial}\n`], stderr);
  }
  const [first, second] = asked.map(({ form }) => form.get("client_assertion"));
  assert.notEqual(first, second, "each request has its own");
  const [header, claims, signature] = first.split(".");
  const hmac = createHmac("sha256", `${SECRET}-and-more`).update(`${header}.${claims}`);
  assert.equal(signature, hmac.digest("base64url"));
  const [posted] = showPosted(provider);
  assertGolden("wire-client-secret-jwt", `${posted}\n\n${showAssertion(first)}\n`);
});

test("S1-19 the requests by which the provider is found, letter by letter", async (t) => {
  const seen = [];
  const openid = "/.well-known/openid-configuration";
  for (const [title, path, published, settings] of [
    ["its issuer is given", "", openid, (o) => ({ ISSUER: o })],
    [
      "an issuer with a path, whose metadata is that of RFC 8414",
      "/tenant",
      "/.well-known/oauth-authorization-server/tenant",
      (o) => ({ ISSUER: `${o}/tenant` }),
    ],
    [
      "its endpoints are given, and it publishes what it is",
      "/realms/a",
      `/realms/a${openid}`,
      (o) => ({ AUTH_URL: `${o}/realms/a/authorize`, TOKEN_URL: `${o}/realms/a/token` }),
    ],
    [
      "its endpoint is given, and it publishes nothing",
      "",
      undefined,
      (o) => ({ TOKEN_URL: `${o}/token` }),
    ],
    ["a service names it", "", openid, (o) => ({ ENDPOINT: o })],
  ]) {
    const provider = await startProvider(t, {
      answer: (url) => {
        const { origin, pathname } = new URL(url);
        const issuer = origin + path;
        switch (pathname) {
          case `${path}/token`:
            return Response.json({ access_token: "a", token_type: "Bearer", expires_in: 60 });
          case published:
            return Response.json({
              issuer,
              authorization_endpoint: `${issuer}/authorize`,
              token_endpoint: `${issuer}/token`,
            });
          case "/.well-known/oauth-protected-resource":
            return Response.json({ resource: origin, authorization_servers: [issuer] });
          default:
            return new Response("", { status: 404 });
        }
      },
    });
    const own = Object.entries(settings(provider.issuer));
    const { code, stderr } = await gatepass.run(["token"], {
      env: {
        HOME: makeHome(),
        GATEPASS_CLIENT_ID: "job",
        GATEPASS_CLIENT_SECRET: SECRET,
        GATEPASS_FLOW: "client_credentials",
        ...Object.fromEntries(own.map(([name, value]) => [`GATEPASS_${name}`, value])),
      },
    });
    assert.equal(code, 0, `${title}: ${stderr}`);
    seen.push(`# ${title}`, ...showRequests(provider.requests));
  }
  assertGolden("wire-discovery", `${seen.join("\n\n")}\n`);
});

test("S1-01 of several servers the one is used whose addresses fit the request", async (t) => {
  const one = await startTokens(t);
  const two = await startTokens(t);
  const shown = [];
  const api = await listen(t, (request, response) => {
    shown.push(request.headers.authorization);
    response.end("yes");
  });
  const server = ({ provider }, path) => ({
    urls: [`${api.origin}${path}`],
    issuer: provider.issuer,
    clientId: "job",
    clientSecret: { env: "JOB_SECRET" },
    flow: "client_credentials",
  });
  const config = join(one.env.HOME, "config.json");
  const servers = { first: server(one, "/one/*"), second: server(two, "/two/*") };
  writeFileSync(config, JSON.stringify({ servers }));
  const env = { HOME: one.env.HOME, JOB_SECRET: SECRET };
  for (const path of ["/one/a", "/two/b"]) {
    const run = await gatepass.run(["request", api.origin + path, "--config", config], { env });
    assert.equal(run.code, 0, run.stderr);
  }
  assert.deepEqual([one.asked.length, two.asked.length], [1, 1]);
  assert.deepEqual(shown, ["Bearer token-1", "Bearer token-1"]);
  const neither = await gatepass.run(["request", `${api.origin}/x`, "--config", config], { env });
  assert.equal(neither.code, 2);
  assert.match(neither.stderr, /--server with one of: first, second/);
});

test("S0-11 an address of one's own stands in for the published one also where discovery fails", async (t) => {
  const big = { note: "x".repeat(300 * 1024) };
  for (const [name, fails, more] of [
    ["not at all", () => undefined, {}],
    ["once", (turn) => (turn === 1 ? new Response("", { status: 503 }) : undefined), {}],
    ["always", () => new Response("", { status: 503 }), {}],
    ["not, and is long", () => undefined, big],
  ]) {
    let turn = 0;
    const published = await startProvider(t, {
      answer: async (url) => {
        if (!url.includes("/.well-known/")) return undefined;
        const failure = fails(++turn);
        if (failure) return failure;
        const { origin } = new URL(url);
        return Response.json({ issuer: origin, token_endpoint: `${origin}/token`, ...more });
      },
    });
    const { asked, env, provider } = await startTokens(t);
    const { code, stderr } = await gatepass.run(["token"], {
      env: {
        ...env,
        GATEPASS_ISSUER: published.issuer,
        GATEPASS_TOKEN_URL: `${provider.issuer}/token`,
      },
    });
    assert.equal(
      published.count("/token"),
      0,
      `discovery fails ${name}: the secret went elsewhere`,
    );
    assert.deepEqual([code, asked.length], name === "always" ? [1, 0] : [0, 1], stderr);
  }
});

test("S3-17 a service that does not say at the moment who issues its tokens is not asked for them itself", async (t) => {
  const { asked, env, provider } = await startTokens(t);
  let document;
  const service = await startProvider(t, {
    answer: (url) => (url.includes("oauth-protected-resource") ? document() : undefined),
  });
  const settings = { ...env, GATEPASS_ISSUER: "", GATEPASS_ENDPOINT: service.issuer };
  document = () => new Response("", { status: 503 });
  const away = await gatepass.run(["token"], { env: settings });
  assert.equal(away.code, 1);
  assert.match(away.stderr, /oauth-protected-resource could not be read \(HTTP 503\)/);
  document = () =>
    Response.json({ resource: service.issuer, authorization_servers: [provider.issuer] });
  assert.equal((await gatepass.run(["token"], { env: settings })).code, 0);
  assert.deepEqual([service.count("/token"), asked.length], [0, 1]);
  // Nearer than the file's own provider, it is another one, or names it.
  const config = join(gatepass.project, "farther.json");
  writeFileSync(config, JSON.stringify({ issuer: service.issuer }));
  const nearer = { ...settings, GATEPASS_ENDPOINT: provider.issuer, GATEPASS_CONFIG: config };
  const { code, stderr } = await gatepass.run(["token"], { env: nearer });
  assert.equal(code, 0, stderr);
  assert.deepEqual([service.count("/token"), asked.length], [0, 2]);
});

test("S3-17 S3-13 S3-16 S3-06 the variables of the gRPC client's documentation work, with its form of an endpoint", async (t) => {
  const { asked, env, provider } = await startTokens(t);
  const settings = {
    HOME: env.HOME,
    FLYTE_ENDPOINT: provider.issuer,
    FLYTE_CLIENT_ID: "your_id",
    FLYTE_CLIENT_SECRET: "your_secret",
    FLYTE_FLOW: "client_credentials",
  };
  const { code, stderr, stdout } = await gatepass.run(["token", "--env-prefix", "FLYTE_"], {
    env: settings,
  });
  assert.equal(code, 0, stderr);
  assert.equal(stdout, "token-1\n");
  assert.equal(asked[0].form.has("scope"), false);
  assert.equal(asked[0].form.has("audience"), false);
  const dns = await gatepass.run(["doctor", "--env-prefix", "FLYTE_", "--json"], {
    env: { ...settings, FLYTE_ENDPOINT: "ftp://flyte.example.com" },
  });
  assert.ok(dns.code !== 0);
  const bad = await gatepass.run(["token", "--env-prefix", "FLYTE_"], {
    env: { ...settings, FLYTE_ENDPOINT: "unix:///run/flyte.sock" },
  });
  assert.equal(bad.code, 2);
  assert.match(bad.stderr, /FLYTE_ENDPOINT: endpoint must be https:\/\/HOST or dns:\/\/\//);
  const { originOfEndpoint } = await import(
    join(gatepass.project, "node_modules/gatepass/dist/cli/provider.js")
  );
  assert.equal(originOfEndpoint("dns:///flyte.example.com:443"), "https://flyte.example.com");
});

test("the real provider gives the program a token, and login says that none is needed", async (t) => {
  const oidc = await startOidc(t);
  const { id, secret } = CLIENTS.program;
  const env = {
    HOME: makeHome(),
    GATEPASS_ISSUER: oidc.origin,
    GATEPASS_CLIENT_ID: id,
    GATEPASS_CLIENT_SECRET: secret,
    GATEPASS_FLOW: "client_credentials",
  };
  const token = await gatepass.run(["token"], { env });
  assert.equal(token.code, 0, token.stderr);
  assert.match(token.stdout, /^\S{20,}\n$/);
  const login = await gatepass.run(["login", "--json"], { env });
  assert.equal(login.code, 0);
  assert.equal(typeof JSON.parse(login.stdout), "object");
  assert.match(login.stderr, /no login is needed/);
});

test("S0-18 S1-24 selftest runs every flow with a provider of its own", async () => {
  const { code, stdout } = await gatepass.run(["selftest", "--json"]);
  assert.equal(code, 0, stdout);
  const { steps } = JSON.parse(stdout);
  assert.ok(steps.length >= 8);
  assert.ok(steps.every(({ ok }) => ok));
  for (const flow of [
    ...[/code flow/, /device flow/, /client credentials/, /introspection/],
    ...[/UserInfo/, /token exchange/, /DPoP/],
  ]) {
    assert.ok(steps.some(({ name }) => flow.test(name)));
  }
});
