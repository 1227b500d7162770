// Tokens of the program itself (client credentials), and what is shown of the wire.

import assert from "node:assert/strict";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";

import { makeFolder } from "../support/folder.mjs";
import { CLIENTS, startOidc } from "../support/oidc.mjs";
import { assertGolden } from "../support/golden.mjs";
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
    { status: 400 },
  );
  const { env } = await startTokens(t, { answers: [refusal] });
  const { code, stderr } = await gatepass.run(["token"], { env });
  assert.equal(code, 5);
  assert.match(stderr, /HTTP 400: invalid_scope: No scope of yours/);
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
  const login = await gatepass.run(["login"], { env });
  assert.equal(login.code, 0);
  assert.match(login.stderr, /no login is needed/);
});

test("S0-18 S1-24 selftest runs every flow with a provider of its own", async () => {
  const { code, stdout } = await gatepass.run(["selftest", "--json"]);
  assert.equal(code, 0, stdout);
  const { steps } = JSON.parse(stdout);
  assert.ok(steps.length >= 5);
  assert.ok(steps.every(({ ok }) => ok));
  for (const flow of [/code flow/, /device flow/, /client credentials/, /introspection/]) {
    assert.ok(steps.some(({ name }) => flow.test(name)));
  }
});
