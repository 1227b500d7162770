// Several instances, and the proxies that ask them.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { before, test } from "node:test";

import { makeFolder } from "../support/folder.mjs";
import { installProgram, listen, startProvider } from "../support/program.mjs";
import { lacksRedis, startRedis } from "../support/redis.mjs";

let gatepass;
before(() => {
  gatepass = installProgram("cli-fleet");
});

const AUDIENCE = "https://api.example";

async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Hands requests to one server after the other, as a balancer does. */
async function balance(t, origins) {
  let turn = 0;
  const { origin } = await listen(t, async (request, response) => {
    const to = origins[turn++ % origins.length];
    const { authorization = "" } = request.headers;
    const answer = await fetch(to + request.url, { headers: { authorization } });
    response.writeHead(answer.status).end(Buffer.from(await answer.arrayBuffer()));
  });
  return origin;
}

test("S4-31 S4-28 instances share the provider's keys in a Redis, and give the same answers behind one balancer", async (t) => {
  if (lacksRedis) return t.skip(lacksRedis);
  const redis = await startRedis();
  t.after(() => redis.stop());
  const provider = await startProvider(t);
  const args = ["--issuer", provider.issuer, "--audience", AUDIENCE, "--metrics"];
  const env = { GATEPASS_REDIS: `redis://127.0.0.1:${redis.port}` };
  const first = await gatepass.serve(t, args, { env });
  const good = `Bearer ${await provider.accessToken()}`;
  const ask = (origin, authorization) =>
    fetch(`${origin}/auth/traefik`, {
      headers: { authorization, "x-forwarded-method": "GET", "x-forwarded-uri": "/" },
    });
  assert.equal((await ask(first.origin, good)).status, 200);
  assert.equal(provider.count("/jwks"), 1);
  // What was fetched is in the Redis when the next instance starts.
  const keys = () => spawnSync("redis-cli", ["-p", redis.port, "keys", "*"], { encoding: "utf8" });
  while (keys().stdout?.trim() === "") await new Promise((resolve) => setTimeout(resolve, 20));

  const second = await gatepass.serve(t, args, { env });
  const balancer = await balance(t, [first.origin, second.origin]);
  const plain = (authorization) =>
    fetch(`${balancer}/auth/envoy/x`, { headers: { authorization } }).then(({ status }) => status);
  const bad = `${good.slice(0, -8)}AAAAAAAA`;
  for (const [shown, status] of [
    [good, 200],
    [bad, 401],
  ]) {
    const statuses = [
      await plain(shown),
      await plain(shown),
      await plain(shown),
      await plain(shown),
    ];
    assert.deepEqual(statuses, [status, status, status, status]);
  }
  assert.equal(provider.count("/jwks"), 1, "the second one did not ask");

  // Without the Redis everything goes on.
  await redis.stop();
  assert.equal(await plain(good), 200);
  const third = await gatepass.serve(t, args, { env });
  assert.equal((await ask(third.origin, good)).status, 200);
});

test("a Redis that is none, or whose package is missing, is a mistake of the configuration", async (t) => {
  const provider = await startProvider(t);
  const args = ["serve", "--issuer", provider.issuer, "--audience", AUDIENCE];
  const { code, stderr } = await gatepass.run(args, { env: { GATEPASS_REDIS: "http://x" } });
  assert.equal(code, 2);
  assert.match(stderr, /GATEPASS_REDIS: redis must begin with redis:\/\//);
});

/** Starts a proxy and waits until it answers. */
async function startProxy(t, program, args, port) {
  const child = spawn(program, args, { stdio: "ignore" });
  t.after(() => child.kill());
  for (;;) {
    try {
      await fetch(`http://127.0.0.1:${port}/`);
      return `http://127.0.0.1:${port}`;
    } catch {
      if (child.exitCode !== null) throw new Error(`${program} ended with ${child.exitCode}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** The guarded service, a server that tells who it was asked by, and a good token. */
async function startBehind(t) {
  const provider = await startProvider(t);
  const args = ["--issuer", provider.issuer, "--audience", AUDIENCE];
  const service = await gatepass.serve(t, args);
  const upstream = await listen(t, (request, response) =>
    response.end(`${request.method} ${request.url} ${request.headers["x-auth-subject"] ?? ""}`),
  );
  return { service, upstream, authorization: `Bearer ${await provider.accessToken()}` };
}

async function assertGuarded(origin, authorization) {
  const none = await fetch(`${origin}/api/users?x=1`);
  assert.equal(none.status, 401);
  assert.match(none.headers.get("www-authenticate"), /^Bearer/);
  const good = await fetch(`${origin}/api/users?x=1`, {
    headers: { authorization, "x-auth-subject": "root" },
  });
  assert.equal(good.status, 200);
  assert.equal(await good.text(), "GET /api/users?x=1 alice");
  const bad = await fetch(`${origin}/api/users`, { headers: { authorization: "Bearer x" } });
  assert.equal(bad.status, 401);
}

const lacks = (program, ...args) =>
  spawnSync(program, args).error !== undefined && `${program} is not installed`;

test("nginx asks the service about each request (auth_request)", async (t) => {
  const missing = lacks("nginx", "-v");
  if (missing) return t.skip(missing);
  const { service, upstream, authorization } = await startBehind(t);
  const folder = makeFolder("nginx");
  const port = await freePort();
  const conf = join(folder, "nginx.conf");
  writeFileSync(
    conf,
    `daemon off; pid ${folder}/pid; error_log ${folder}/error.log; events {}
http {
  access_log off;
  client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/f; uwsgi_temp_path ${folder}/u; scgi_temp_path ${folder}/s;
  server {
    listen 127.0.0.1:${port};
    location / {
      auth_request /auth;
      auth_request_set $subject $upstream_http_x_auth_subject;
      auth_request_set $challenge $upstream_http_www_authenticate;
      proxy_set_header X-Auth-Subject $subject;
      proxy_pass ${upstream.origin};
      add_header WWW-Authenticate $challenge always;
    }
    location = /auth {
      internal;
      proxy_pass ${service.origin}/auth/nginx;
      proxy_pass_request_body off;
      proxy_set_header Content-Length "";
      proxy_set_header X-Original-URI $request_uri;
      proxy_set_header X-Original-Method $request_method;
    }
  }
}
`,
  );
  const origin = await startProxy(t, "nginx", ["-e", `${folder}/error.log`, "-c", conf], port);
  await assertGuarded(origin, authorization);
});

test("Traefik asks the service about each request (ForwardAuth)", async (t) => {
  const missing = lacks("traefik", "version");
  if (missing) return t.skip(missing);
  const { service, upstream, authorization } = await startBehind(t);
  const folder = makeFolder("traefik");
  const port = await freePort();
  writeFileSync(
    join(folder, "dynamic.yml"),
    JSON.stringify({
      http: {
        routers: { all: { rule: "PathPrefix(`/`)", middlewares: ["auth"], service: "upstream" } },
        middlewares: {
          auth: {
            forwardAuth: {
              address: `${service.origin}/auth/traefik`,
              authResponseHeaders: ["X-Auth-Subject"],
            },
          },
        },
        services: { upstream: { loadBalancer: { servers: [{ url: upstream.origin }] } } },
      },
    }),
  );
  const args = [
    `--entrypoints.web.address=127.0.0.1:${port}`,
    `--providers.file.filename=${join(folder, "dynamic.yml")}`,
  ];
  await assertGuarded(await startProxy(t, "traefik", args, port), authorization);
});

test("Envoy asks the service about each request (ext_authz)", async (t) => {
  const missing = lacks("envoy", "--version");
  if (missing) return t.skip(missing);
  const { service, upstream, authorization } = await startBehind(t);
  const folder = makeFolder("envoy");
  const port = await freePort();
  const address = (origin) => {
    const { hostname, port: own } = new URL(origin);
    return { socket_address: { address: hostname, port_value: Number(own) } };
  };
  const cluster = (name, origin) => ({
    name,
    type: "STATIC",
    load_assignment: {
      cluster_name: name,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: address(origin) } }] }],
    },
  });
  const type = (name) => `type.googleapis.com/envoy.extensions.filters.${name}`;
  const config = {
    static_resources: {
      listeners: [
        {
          address: address(`http://127.0.0.1:${port}`),
          filter_chains: [
            {
              filters: [
                {
                  name: "http",
                  typed_config: {
                    "@type": type("network.http_connection_manager.v3.HttpConnectionManager"),
                    stat_prefix: "http",
                    route_config: {
                      virtual_hosts: [
                        {
                          name: "all",
                          domains: ["*"],
                          routes: [{ match: { prefix: "/" }, route: { cluster: "upstream" } }],
                        },
                      ],
                    },
                    http_filters: [
                      {
                        name: "authz",
                        typed_config: {
                          "@type": type("http.ext_authz.v3.ExtAuthz"),
                          http_service: {
                            server_uri: { uri: service.origin, cluster: "gatepass", timeout: "5s" },
                            path_prefix: "/auth/envoy",
                            authorization_response: {
                              allowed_upstream_headers: { patterns: [{ prefix: "x-auth-" }] },
                            },
                          },
                        },
                      },
                      {
                        name: "router",
                        typed_config: { "@type": type("http.router.v3.Router") },
                      },
                    ],
                  },
                },
              ],
            },
          ],
        },
      ],
      clusters: [cluster("upstream", upstream.origin), cluster("gatepass", service.origin)],
    },
  };
  const file = join(folder, "envoy.json");
  writeFileSync(file, JSON.stringify(config));
  const args = ["-c", file, "--use-dynamic-base-id", "--log-level", "off"];
  await assertGuarded(await startProxy(t, "envoy", args, port), authorization);
});
