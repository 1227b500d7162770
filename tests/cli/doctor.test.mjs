// gatepass doctor: what it looks at, what it says of each fault, and what it never shows.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer as createTlsServer } from "node:https";
import { join } from "node:path";
import { before, test } from "node:test";

import { makeCertificate } from "../support/certificate.mjs";
import { makeFolder } from "../support/folder.mjs";
import { installProgram, listen, startProvider } from "../support/program.mjs";

let gatepass;
before(() => {
  gatepass = installProgram("cli-doctor");
});

/** The findings, of which each that is not good must have a cause. */
async function look(env, ...args) {
  const { code, stdout, stderr } = await gatepass.run(["doctor", "--json", ...args], { env });
  assert.equal(stderr, "");
  const { good, findings } = JSON.parse(stdout);
  const bad = findings.filter(({ isGood }) => !isGood);
  for (const { what, cause } of bad) assert.ok(cause?.length > 20, `${what} has no cause`);
  assert.equal(good, bad.length === 0);
  return { code, findings, bad };
}

const service = (issuer) => ({
  GATEPASS_ISSUER: issuer,
  GATEPASS_AUDIENCE: "https://api.example",
  GATEPASS_CLIENT_ID: "rs",
  GATEPASS_CLIENT_SECRET: "rs-secret",
  GATEPASS_TIMEOUT: "1",
});

/** A port at which nothing listens. */
async function gone(t) {
  const { origin, server } = await listen(t, () => {});
  await new Promise((resolve) => server.close(resolve));
  return origin;
}

/** A server of https with a certificate that it signed itself. */
async function selfSigned(t) {
  const server = createTlsServer(makeCertificate());
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  return `https://localhost:${server.address().port}`;
}

const NAMES = /\.well-known\/openid-configuration$/;

/** A provider that answers at one path as it is told. */
const at = (path, answer) => async (t) => {
  const options = { answer: (url) => (url.endsWith(path) ? answer() : undefined) };
  return service((await startProvider(t, options)).issuer);
};

/** What is wrong, in which finding that shows, and the cause that is told. */
const FAULTS = [
  ["no keys", at("/jwks", () => Response.json({ keys: [] })), "keys", /no keys yet/],
  [
    "keys that are none",
    at("/jwks", () => new Response("<p>", { status: 404 })),
    "keys",
    /no list of keys/,
  ],
  [
    "introspection that is forbidden",
    at("/introspect", () => new Response("", { status: 403 })),
    "introspection",
    /may not introspect/,
  ],
  [
    "introspection that is elsewhere",
    at("/introspect", () => new Response("", { status: 404 })),
    "introspection",
    /no such endpoint/,
  ],
  [
    "introspection that is broken",
    at("/introspect", () => new Response("", { status: 502 })),
    "introspection",
    /overloaded or broken/,
  ],
  [
    "introspection that says yes to everything",
    at("/introspect", () => Response.json({ active: true })),
    "introspection",
    /nobody issued/,
  ],
  [
    "introspection that is none",
    at("/introspect", () => new Response("<p>")),
    "introspection",
    /RFC 7662/,
  ],
  [
    "wrong credentials",
    at("/introspect", () => Response.json({ error: "invalid_client" }, { status: 401 })),
    "introspection",
    /Client id or secret are wrong/,
  ],
  [
    "metadata without an endpoint for introspection",
    async (t) => {
      const provider = await startProvider(t, {
        answer: (url) =>
          NAMES.test(url)
            ? Response.json({ issuer: new URL(url).origin, jwks_uri: url.replace(NAMES, "jwks") })
            : undefined,
      });
      return service(provider.issuer);
    },
    "introspection",
    /introspectionUrl \(--introspection-url/,
  ],
  [
    "another issuer",
    async (t) => service(`${(await startProvider(t)).issuer}/`),
    "discovery",
    /set exactly that, letter by letter/,
  ],
  [
    "a provider that publishes nothing",
    async (t) => {
      const { origin } = await listen(t, (_, response) => response.writeHead(404).end());
      return service(origin);
    },
    "discovery",
    /not the provider's address/,
  ],
  ["a port where nothing listens", async (t) => service(await gone(t)), "discovery", /wrong port/],
  [
    "a name that nobody has",
    async () => service("https://login.nobody.invalid"),
    "discovery",
    /cannot be resolved/,
  ],
  [
    "a provider that does not answer",
    async (t) => service((await listen(t, () => {})).origin),
    "discovery",
    /No answer in time/,
  ],
  [
    "a certificate that nobody vouches for",
    async (t) => service(await selfSigned(t)),
    "discovery",
    /NODE_EXTRA_CA_CERTS/,
  ],
  [
    "http where https is meant",
    async (t) => service((await startProvider(t)).issuer.replace("http:", "https:")),
    "discovery",
    /http is spoken there/,
  ],
  [
    "plain http to another machine",
    async () => service("http://login.example"),
    "discovery",
    /everybody to read/,
  ],
  [
    "no audience",
    async (t) => ({ ...service((await startProvider(t)).issuer), GATEPASS_AUDIENCE: "" }),
    "configuration",
    /Give it as a flag, in the environment or in the file/,
  ],
  [
    "another prefix",
    async () => ({ MLTF_CLIENT_ID: "x" }),
    "configuration",
    /has MLTF_CLIENT_ID: --env-prefix MLTF_ reads it/,
  ],
  [
    "no prefix",
    async () => ({ ISSUER: "https://login.example" }),
    "configuration",
    /has ISSUER, which counts with the prefix only: GATEPASS_ISSUER/,
  ],
  [
    "a value that is none",
    async (t) => ({ ...service((await startProvider(t)).issuer), GATEPASS_PORT: "x" }),
    "configuration",
    /Put it right where it stands/,
  ],
];

for (const [name, make, what, cause] of FAULTS) {
  test(`S4-44 doctor says what is probably behind it: ${name}`, async (t) => {
    const env = await make(t);
    const { code, bad } = await look(env);
    const found = bad.find((finding) => finding.what === what);
    assert.ok(found, `found: ${JSON.stringify(bad)}`);
    assert.match(found.cause, cause);
    assert.equal(code, what === "configuration" || name.startsWith("plain http") ? 2 : 1);
  });
}

/** The variables of the seeds' documents, whose job they are, and what doctor must find at the provider. */
const JOBS = [
  [
    "S0-10 the job tool",
    "MLTF_",
    (issuer) => ({
      MLTF_CLIENT_ID: "your_client_id",
      MLTF_AUTH_URL: `${issuer}/authorize`,
      MLTF_TOKEN_URL: `${issuer}/token`,
      MLTF_SCOPES: "read write",
    }),
  ],
  [
    "S1-03 the GraphQL tool",
    "GATEPASS_",
    (issuer) => ({
      GATEPASS_ISSUER: issuer,
      GATEPASS_CLIENT_ID: "my-job",
      GATEPASS_CLIENT_SECRET: "s3cret",
      GATEPASS_FLOW: "client_credentials",
    }),
  ],
  [
    "S2-04 the gateway",
    "FMCP_OAUTH_",
    (issuer) => ({
      FMCP_OAUTH_AUTH_ENDPOINT: `${issuer}/authorize`,
      FMCP_OAUTH_TOKEN_ENDPOINT: `${issuer}/token`,
      FMCP_OAUTH_CLIENT_ID: "your_client_id",
      FMCP_OAUTH_REDIRECT_URI: "http://localhost:8088/callback",
      FMCP_OAUTH_STORE_PATH: "~/.fluidmcp/oauth/tokens.json",
    }),
  ],
  [
    "S3-17 the gRPC client",
    "FLYTE_",
    (issuer) => ({
      FLYTE_ENDPOINT: issuer,
      FLYTE_CLIENT_ID: "my-job",
      FLYTE_CLIENT_SECRET: "s3cret",
    }),
  ],
  [
    "S4-44 the plugin",
    "GATEPASS_",
    (issuer) => ({
      AUTH_SERVER_URL: issuer,
      OAUTH_CLIENT_ID: "rs",
      OAUTH_CLIENT_SECRET: "rs-secret",
    }),
  ],
];

/** Everything that the provider has, but what the plugin asks as itself. */
const PATHS = ["authorize", "token", "device", "introspect", "revoke", "me", "logout", "par"];
const MEMBERS = {
  authorization: "authorize",
  token: "token",
  device_authorization: "device",
  introspection: "introspect",
  revocation: "revoke",
  userinfo: "me",
  end_session: "logout",
  pushed_authorization_request: "par",
};

for (const [name, prefix, variables] of JOBS) {
  test(`${name}: doctor knows its variables, asks every endpoint without credentials, and names one that is down`, async (t) => {
    let dead;
    let metadata;
    const strangers = [];
    const stranger = await listen(t, (request, response) => {
      strangers.push(request.url);
      response.end();
    });
    const provider = await startProvider(t, {
      answer: (url) => {
        const { origin, pathname } = new URL(url);
        if (NAMES.test(url)) {
          metadata = Object.fromEntries(
            Object.entries(MEMBERS).map(([member, path]) => [
              `${member}_endpoint`,
              `${path === "revoke" && dead ? dead : origin}/${path}`,
            ]),
          );
          return Response.json({ issuer: origin, jwks_uri: `${origin}/jwks`, ...metadata });
        }
        // A page that sends its visitors on: nobody goes there.
        return pathname === "/authorize"
          ? new Response(null, { status: 302, headers: { location: `${stranger.origin}/login` } })
          : undefined;
      },
    });
    const env = variables(provider.issuer);
    const isPlugin = prefix === "GATEPASS_" && "AUTH_SERVER_URL" in env;
    const good = await look(env, "--env-prefix", prefix);
    assert.deepEqual([good.code, good.bad], [0, []]);
    for (const path of PATHS) {
      const said = `${provider.issuer}/${path} answered with status `;
      assert.ok(
        good.findings.some(({ found }) => found.startsWith(said)),
        path,
      );
    }
    for (const what of ["discovery", "clock", "keys"]) {
      assert.ok(
        good.findings.some((finding) => finding.what === what),
        what,
      );
    }
    assert.deepEqual(strangers, []);
    for (const { url, init } of provider.requests) {
      if (isPlugin && url.endsWith("/introspect")) continue;
      assert.equal(init.method, "GET", url);
      assert.ok(!("authorization" in init.headers) && !("cookie" in init.headers), url);
      assert.equal(init.body, "");
    }

    dead = await gone(t);
    const { code, bad } = await look(env, "--env-prefix", prefix);
    assert.deepEqual(
      bad.map(({ what, found, cause }) => [what, found, cause]),
      [
        [
          "revocation endpoint",
          `${dead}/revoke does not answer`,
          "Nothing listens there: a wrong port, or the provider is down.",
        ],
      ],
    );
    assert.equal(code, 1);
  });
}

test("S4-44 doctor waits for an endpoint as long as is said", async (t) => {
  const provider = await startProvider(t, {
    before: (url) => (url.endsWith("/token") ? new Promise(() => {}) : undefined),
  });
  const env = { GATEPASS_ISSUER: provider.issuer, GATEPASS_CLIENT_ID: "x" };
  const begun = Date.now();
  const { bad } = await look(env, "--timeout", "1");
  assert.deepEqual(
    bad.map(({ what, cause }) => [what, cause]),
    [["token endpoint", "No answer in time: a firewall, or the provider is overloaded."]],
  );
  assert.ok(Date.now() - begun < 5000);
});

test("a provider of which only endpoints are known is looked at by these, and needs no metadata", async (t) => {
  const { origin } = await listen(t, (_, response) => response.writeHead(404).end());
  const env = {
    MLTF_CLIENT_ID: "x",
    MLTF_AUTH_URL: `${origin}/authorize`,
    MLTF_TOKEN_URL: `${await gone(t)}/token`,
    MLTF_DEVICE_URL: `${origin}/device`,
  };
  const { bad, findings } = await look(env, "--env-prefix", "MLTF_");
  assert.deepEqual(
    bad.map(({ what }) => what),
    ["token endpoint"],
  );
  const device = findings.find(({ what }) => what === "device endpoint");
  assert.equal(device.found, `${origin}/device answered with status 404`);
  assert.ok(findings.some(({ what }) => what === "clock"));
});

test("a token that one brings oneself needs no provider, issuer or audience", async () => {
  const env = { FMCP_OAUTH_ACCESS_TOKEN: "own.token" };
  const { code, findings } = await look(env, "--env-prefix", "FMCP_OAUTH_");
  assert.equal(code, 0);
  assert.ok(!JSON.stringify(findings).includes("own.token"));
});

test("DEV-20 doctor and --debug show no value that may be a secret, by whatever name it goes", async (t) => {
  const provider = await startProvider(t, {
    answer: (url) =>
      url.endsWith("/token")
        ? Response.json({ access_token: "t-0123456789", token_type: "Bearer", expires_in: 60 })
        : undefined,
  });
  const secrets = {
    header: "h34der-s3cret",
    param: "p4ram s3cret",
    redis: "r3dis-s3cret",
    url: "url-s3cret",
    query: "query-s3cret",
  };
  const env = {
    GATEPASS_ISSUER: provider.issuer,
    GATEPASS_CLIENT_ID: "job",
    GATEPASS_CLIENT_SECRET: "client-s3cret",
    GATEPASS_FLOW: "client_credentials",
    GATEPASS_HEADERS: `X-Api-Key=${secrets.header}`,
    GATEPASS_PARAMS: `api_key=${secrets.param}`,
    GATEPASS_REDIS: `redis://user:${secrets.redis}@127.0.0.1:1`,
    GATEPASS_UPSTREAM: `http://user:${secrets.url}@127.0.0.1:1/`,
  };
  const odd = `https://user:${secrets.url}@as.example/?client_secret=${secrets.query}`;
  const all = ["client-s3cret", ...Object.values(secrets), "p4ram%20s3cret", "p4ram+s3cret"];
  for (const more of [[], ["--json"], ["--debug"]]) {
    const args = more[0] === "--debug" ? ["token", ...more] : ["doctor", ...more];
    // The core refuses such an address, so doctor alone meets it.
    const extra = args[0] === "doctor" ? { GATEPASS_REVOCATION_URL: odd } : {};
    const { stdout, stderr } = await gatepass.run(args, { env: { ...env, ...extra } });
    for (const secret of all) assert.ok(!(stdout + stderr).includes(secret), `${args}: ${secret}`);
    if (args[0] === "token") {
      assert.equal(stdout, "t-0123456789\n");
      assert.match(stderr, /^> x-api-key: \*\*\*[\da-f]{4}$/m);
      assert.match(stderr, /\bapi_key=\*\*\*[\da-f]{4}\b/);
    } else if (more.length === 0) {
      assert.match(stdout, /headers: X-Api-Key=\*\*\* \(GATEPASS_HEADERS\)/);
      assert.match(stdout, /params: api_key=\*\*\* \(GATEPASS_PARAMS\)/);
      assert.match(stdout, /upstream: http:\/\/\*\*\*@127\.0\.0\.1:1\//);
      assert.match(stdout, /A name or password stands in the address/);
    }
  }
  const sent = provider.requests.findLast(({ url }) => url.endsWith("/token"));
  assert.equal(sent.init.headers["x-api-key"], secrets.header, "it is sent all the same");
});

test("DEV-20 doctor hides a secret with commas in it as a whole, also in a list", async (t) => {
  const provider = await startProvider(t);
  const secret = "S3CRETa,S3CRETb";
  const env = {
    GATEPASS_ISSUER: provider.issuer,
    GATEPASS_CLIENT_ID: "job",
    GATEPASS_TOKEN_URL: `${provider.issuer}/t?client_secret=${secret}`,
    GATEPASS_UPSTREAM: `http://user:${secret}@host/a`,
    GATEPASS_RESOURCES: `https://api.example/?token=${secret} https://user:${secret}@api.example/b`,
  };
  const { stdout, stderr } = await gatepass.run(["doctor"], { env });
  assert.doesNotMatch(stdout + stderr, /S3CRET/);
  assert.match(stdout, /tokenUrl: http:\S+\/t\?client_secret=\*\*\*[\da-f]{4} \(/);
  assert.match(stdout, /upstream: http:\/\/\*\*\*@host\/a \(/);
  assert.match(
    stdout,
    /resources: https:\/\/api\.example\/\?token=\*\*\*[\da-f]{4},https:\/\/\*\*\*@api\.example\/b \(/,
  );
});

test("doctor --config-test says by line and column what is wrong with the settings of a login, and asks nobody", async (t) => {
  const provider = await startProvider(t);
  const folder = makeFolder("config-test");
  const check = (settings, ...args) => {
    const config = join(folder, "config.json");
    writeFileSync(config, JSON.stringify(settings, null, 2));
    return gatepass.run(["doctor", "--config-test", "--config", config, ...args]);
  };
  const login = { issuer: provider.issuer, clientId: "x", scopes: ["read"] };
  const good = await check(login);
  assert.deepEqual([good.code, good.stdout, good.stderr], [0, "The configuration is good.\n", ""]);
  assert.equal((await check({ ...login, headers: { "x-a": "Zürich\t1" } })).code, 0);
  const json = await check(login, "--json");
  assert.deepEqual([json.code, JSON.parse(json.stdout)], [0, { good: true }]);
  for (const [settings, said] of [
    [{ ...login, refreshSkew: "x" }, /config\.json:7:18: refreshSkew must be/],
    [{ ...login, scops: [] }, /config\.json:7:12: there is no setting "scops"/],
    [{ ...login, redirectUri: "https://app.example/" }, /config\.json:7:18: redirectUri must be/],
    [{ ...login, headers: { cookie: "a=b" } }, /config\.json:7:14: the header cookie/],
    [{ ...login, headers: { "x-a": "100 €" } }, /config\.json:7:14: the header x-a has a char/],
    [{ ...login, headers: ["x-a=a\u0001"] }, /config\.json:7:14: the header x-a has a char/],
    [{ ...login, clientSecret: "${MISSING}" }, /config\.json:7:19: the environment has no MISSING/],
    [{ ...login, resources: ["not absolute"] }, /config\.json:7:16/],
    [{ ...login, issuer: "http://login.example" }, /config\.json:2:13/],
    [{ clientId: "x", flow: "device" }, /tokenUrl \(--token-url, GATEPASS_TOKEN_URL\) is not set/],
    [{ issuer: provider.issuer, flow: "code" }, /clientId \(--client-id, GATEPASS_CLIENT_ID\)/],
    [{ issuer: provider.issuer, clientSecret: "${HOME}", clientId: "x" }, /audience .* is not set/],
  ]) {
    const { code, stdout, stderr } = await check(settings);
    assert.deepEqual([code, stdout], [2, ""], JSON.stringify(settings));
    assert.match(stderr, said);
    assert.match(stderr, /^(?:Error: .*\n)+$/);
  }
  assert.deepEqual(provider.requests, []);
});

test("on a terminal doctor and selftest have colours, and a file that they are written to has none", async () => {
  const folder = makeFolder("colours");
  const onTerminal = (command) =>
    new Promise((resolve, reject) => {
      const child = spawn("script", ["-qec", command, "/dev/null"], {
        env: { PATH: process.env["PATH"], HOME: folder, TERM: "xterm" },
      });
      let text = "";
      child.stdout.on("data", (data) => (text += data));
      child.once("error", reject);
      child.once("close", () => resolve(text));
    });
  for (const name of ["doctor", "selftest"]) {
    const command = [process.execPath, gatepass.program, name].join(" ");
    assert.match(await onTerminal(command), /^\u001b\[32mok {2}\u001b\[0m /m);
    const file = join(folder, name);
    await onTerminal(`${command} > ${file}`);
    assert.match(readFileSync(file, "utf8"), /^ok {3}/m);
    assert.doesNotMatch(readFileSync(file, "utf8"), /\u001b/);
  }
});
