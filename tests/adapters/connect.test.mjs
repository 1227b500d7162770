// The interceptors for Connect, gRPC and gRPC-Web, by their example: a real server, real transports.

import assert from "node:assert/strict";
import { before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { join } from "node:path";

import { installExample, listeningProvider, startExample } from "../support/example.mjs";
import { importInstalled } from "../support/installed.mjs";

const PACKAGES = ["@bufbuild/protobuf", "@connectrpc/connect", "@connectrpc/connect-node"];

let project;
let createClient;
let example;
let transports;
let Code;
before(async () => {
  project = installExample("connect", PACKAGES);
  ({ createClient } = await importInstalled(project, "gatepass"));
  ({ Code } = await importInstalled(project, "@connectrpc/connect"));
  transports = await importInstalled(project, "@connectrpc/connect-node");
  example = await import(pathToFileURL(join(project, "client.mjs")).href);
});

/** Somebody who is signed in, and the service. */
async function open(t, options = {}) {
  const provider = await listeningProvider(t);
  const url = await startExample(t, process.execPath, ["server.mjs"], { cwd: project, provider });
  const client = await createClient({
    issuer: provider.issuer,
    clientId: "spa",
    redirectUri: "https://app.example/callback",
    scope: "openid read",
    allowedOrigins: [url],
    dangerouslyAllowHttpLoopback: true,
    ...options,
  });
  t.after(() => client.dispose());
  return { provider, url, client, signIn: async () => signIn(client, provider) };
}

async function signIn(client, provider) {
  await client.handleCallback(provider.signInAt(await client.signInUrl()));
}

const KINDS = {
  Connect: (url) => ["createConnectTransport", { httpVersion: "2", baseUrl: url }],
  gRPC: (url) => ["createGrpcTransport", { baseUrl: url }],
  "gRPC-Web": (url) => ["createGrpcWebTransport", { httpVersion: "2", baseUrl: url }],
};

const collect = async (stream) => {
  const all = [];
  for await (const { value } of stream) all.push(value);
  return all;
};

for (const [kind, of] of Object.entries(KINDS)) {
  test(`S3-21 ${kind}: the token goes along, and is renewed once for all who are refused`, async (t) => {
    const { provider, url, client, signIn } = await open(t);
    await signIn();
    const [create, more] = of(url);
    const rpc = example.greeter(example.makeTransport(transports[create], client, url, more));
    let vary;
    const onHeader = (header) => (vary = header.get("vary"));
    assert.equal((await rpc.greet({ value: "hello" }, { onHeader })).value, "hello, alice");
    assert.equal(vary, "Authorization");
    const counted = ["n one", "n two", "n three"];
    assert.deepEqual(await collect(rpc.count({ value: "n" })), counted);
    assert.equal(provider.count("/token"), 1);

    // The service will not have this token any more, whatever the client believes.
    const used = await client.accessToken();
    const refused = { tokenFor: lie(client, used), refresh: () => client.refresh() };
    const other = example.greeter(example.makeTransport(transports[create], refused, url, more));
    const answers = await Promise.all([
      other.greet({ value: "a" }),
      other.greet({ value: "b" }),
      collect(other.count({ value: "c" })),
    ]);
    assert.deepEqual(
      [answers[0].value, answers[1].value, answers[2]],
      ["a, alice", "b, alice", ["c one", "c two", "c three"]],
    );
    assert.equal(provider.count("/token"), 2);
  });

  test(`${kind}: what renewing cannot help is told`, async (t) => {
    const { provider, url, client, signIn } = await open(t);
    const [create, more] = of(url);
    const rpc = example.greeter(example.makeTransport(transports[create], client, url, more));
    const fails = async (call) => {
      const error = await call.then(
        () => undefined,
        (error) => error,
      );
      return [Code[error.code], error.cause?.code];
    };
    assert.deepEqual(await fails(rpc.greet({ value: "x" })), ["Unauthenticated", "login_required"]);
    assert.deepEqual(await fails(collect(rpc.count({ value: "x" }))), [
      "Unauthenticated",
      "login_required",
    ]);
    await signIn();
    const weak = await provider.accessToken({ scope: "other" });
    const header = (value) => ({ headers: { authorization: value } });
    const refusal = await rpc.greet({ value: "x" }, header(`Bearer ${weak}`)).catch((e) => e);
    assert.equal(refusal.code, Code.PermissionDenied);
    assert.match(refusal.metadata.get("www-authenticate"), /error="insufficient_scope"/);
    const garbage = await rpc.greet({ value: "x" }, header("Bearer x")).catch((e) => e);
    assert.equal(garbage.code, Code.Unauthenticated);
    // A header of the program's own was not replaced, and nothing was renewed for it.
    assert.equal(provider.count("/token"), 1);
  });
}

/** A client that shows a token that the service refuses, until it was renewed. */
function lie(client, used) {
  const refused = `${used.slice(0, -6)}AAAAAA`;
  return async (url) => {
    const token = await client.tokenFor(url);
    return token === used ? refused : token;
  };
}

test("a client whose tokens need proofs is refused, whoever made it", async (t) => {
  const { authorized } = await importInstalled(project, "gatepass/connect");
  const backend = await importInstalled(project, "gatepass/backend");
  const key = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, [
    "sign",
    "verify",
  ]);
  for (const create of [createClient, backend.createClient]) {
    for (const dpop of [true, {}, { key }, false, undefined]) {
      const client = await create({ issuer: "https://as.example", clientId: "spa", dpop });
      t.after(() => client.dispose());
      if (dpop) {
        const expected = { name: "GatepassError", code: "config_invalid", at: "dpop" };
        assert.throws(() => authorized(client), expected);
      } else {
        assert.equal(typeof authorized(client), "function");
      }
    }
  }
});

test("other origins get no token", async (t) => {
  const { url, client, signIn } = await open(t, { allowedOrigins: ["https://api.example"] });
  await signIn();
  const [create, more] = KINDS.Connect(url);
  const rpc = example.greeter(example.makeTransport(transports[create], client, url, more));
  const error = await rpc.greet({ value: "x" }).catch((error) => error);
  assert.equal(error.code, Code.Unauthenticated);
  assert.equal(error.metadata.get("www-authenticate"), "Bearer");
});
