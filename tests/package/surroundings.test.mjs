// The guard of the installed package where its surroundings lack something, lie or misbehave.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { constants, createHash, generateKeyPairSync, privateDecrypt } from "node:crypto";
import { once } from "node:events";
import { copyFileSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { runInNewContext } from "node:vm";
import { gzipSync } from "node:zlib";

import { installPackage, testFile } from "../support/installed.mjs";
import { makeProvider } from "../support/provider.mjs";

let project;
let createGuard;
before(async () => {
  ({ project } = installPackage("surroundings"));
  copyFileSync(testFile("support/provider.mjs"), join(project, "provider.mjs"));
  const entry = join(project, "node_modules/gatepass/dist/guard.js");
  ({ createGuard } = await import(pathToFileURL(entry)));
});

async function world(more = {}, options = {}) {
  const provider = await makeProvider(options);
  const { issuer, audience, fetch } = provider;
  return { provider, guard: await createGuard({ issuer, audience, fetch, ...more }) };
}

const codeOf = (promise) =>
  promise.then(
    () => "accepted",
    (error) => error.code,
  );

/** Runs a program in a process of its own, which may break its globals. */
function run(source) {
  const file = join(project, "main.mjs");
  writeFileSync(file, source);
  const printed = execFileSync(process.execPath, [file], { encoding: "utf8", timeout: 300_000 });
  return JSON.parse(printed);
}

test("net_24 a set of keys that inflates beyond its limit is given up", async () => {
  const bomb = gzipSync(JSON.stringify({ keys: [], padding: "x".repeat(50_000_000) }));
  assert.ok(bomb.length < 100_000);
  let origin;
  const server = createServer((request, response) => {
    const isKeys = request.url === "/jwks";
    const metadata = JSON.stringify({ issuer: origin, jwks_uri: `${origin}/jwks` });
    response.writeHead(200, {
      "content-type": "application/json",
      ...(isKeys && { "content-encoding": "gzip" }),
    });
    response.end(isKeys ? bomb : metadata);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  origin = `http://127.0.0.1:${server.address().port}`;
  try {
    const guard = await createGuard({
      issuer: origin,
      audience: "api",
      dangerouslyAllowHttpLoopback: true,
    });
    const provider = await makeProvider({ issuer: origin, audience: "api" });
    const token = await provider.accessToken();
    assert.equal(await codeOf(guard.verify(token)), "response_too_large");
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

test("net_42 a fetch that throws, answers nonsense or never answers is a typed error", async () => {
  const provider = await makeProvider();
  const { issuer, audience } = provider;
  const token = await provider.accessToken();
  const { timeout } = AbortSignal;
  // The limit of a request comes early.
  AbortSignal.timeout = (millis) => timeout.call(AbortSignal, millis / 50);
  const awake = setInterval(() => {}, 1000);
  try {
    for (const [fetch, code] of [
      [
        () => {
          throw new Error("now");
        },
        "upstream_unreachable",
      ],
      [() => 5, "upstream_unreachable"],
      [() => new Promise(() => {}), "upstream_timeout"],
    ]) {
      const guard = await createGuard({ issuer, audience, fetch, timeout: 1 });
      assert.equal(await codeOf(guard.verify(token)), code);
    }
  } finally {
    AbortSignal.timeout = timeout;
    clearInterval(awake);
  }
});

test("wsm_17 an answer of another realm is an answer", async () => {
  const provider = await makeProvider();
  const foreign = async (url) => {
    const answer = await provider.fetch(url);
    const [text, type] = [await answer.text(), answer.headers.get("content-type")];
    // Objects that no class of this realm made, with the members of a response.
    return runInNewContext(
      `({
        status: 200, type: "basic", redirected: false, body: null,
        headers: { get: (name) => (name === "content-type" ? type : null) },
        arrayBuffer: async () => bytes,
      })`,
      { type, bytes: new TextEncoder().encode(text).buffer },
    );
  };
  const { issuer, audience } = provider;
  const guard = await createGuard({ issuer, audience, fetch: foreign });
  assert.equal((await guard.verify(await provider.accessToken())).subject, "alice");
});

test("wsm_20 an answer that was read before is none", async () => {
  const provider = await makeProvider();
  const { issuer, audience } = provider;
  const token = await provider.accessToken();
  for (const spoil of [
    async (answer) => void (await answer.text()),
    async (answer) => void answer.body.getReader(),
  ]) {
    const fetch = async (url) => {
      const answer = await provider.fetch(url);
      await spoil(answer);
      return answer;
    };
    const guard = await createGuard({ issuer, audience, fetch });
    assert.equal(await codeOf(guard.verify(token)), "upstream_unreachable");
  }
});

test("wsm_14 what the guard has no need of may be missing", () => {
  for (const missing of [
    "delete globalThis.navigator",
    "delete globalThis.performance",
    "delete process.getBuiltinModule; process.getBuiltinModule = undefined",
    "globalThis.process = undefined",
    "delete globalThis.setImmediate",
    "delete globalThis.FinalizationRegistry",
    "delete globalThis.localStorage; delete globalThis.indexedDB",
    "crypto.randomUUID = undefined",
  ]) {
    const subject = run(`
      import { makeProvider } from "./provider.mjs";
      const log = console.log;
      // Node's own classes are loaded when they are used first, and need some of it.
      await new Response(new Request("https://a.example").url).text();
      ${missing};
      const { createGuard } = await import("gatepass/guard");
      const { issuer, audience, fetch, accessToken } = await makeProvider();
      const guard = await createGuard({ issuer, audience, fetch });
      log(JSON.stringify((await guard.verify(await accessToken())).subject));
    `);
    assert.equal(subject, "alice", missing);
  }
});

test("wsm_18 wsm_19 a host that lacks an algorithm or throws never says yes", () => {
  const codes = run(`
    import { createGuard } from "gatepass/guard";
    import { makeProvider } from "./provider.mjs";
    // Without node:crypto, so that WebCrypto is asked.
    process.getBuiltinModule = undefined;
    const provider = await makeProvider({ alg: "Ed25519" });
    const { issuer, audience, fetch } = provider;
    const token = await provider.accessToken();
    const jwks = await (await fetch(issuer + "/jwks")).json();
    const { subtle } = crypto;
    // Where keys are given nothing else is waited for than what WebCrypto is asked.
    const codesOf = async (change) => [
      await codeOf(change, issuer),
      await codeOf(change, { issuer, jwks }),
    ];
    const codeOf = async (change, issuer) => {
      const originals = {};
      for (const [name, stand] of Object.entries(change)) {
        originals[name] = subtle[name];
        Object.defineProperty(subtle, name, { value: stand, configurable: true });
      }
      try {
        const guard = await createGuard({ issuer, audience, fetch });
        // The second one finds the key imported.
        const both = await Promise.all([guard.verify(token), guard.verify(token)]);
        return both.map(({ subject }) => subject).join();
      } catch (error) {
        return error.code;
      } finally {
        for (const name of Object.keys(change)) delete subtle[name];
      }
    };
    const unknown = async () => { throw new DOMException("no", "NotSupportedError") };
    const broken = async () => { throw new DOMException("no", "OperationError") };
    console.log(JSON.stringify([
      await codesOf({}),
      await codesOf({ importKey: unknown }),
      await codesOf({ importKey: broken }),
      await codesOf({ importKey: () => { throw new DOMException("no", "NotSupportedError") } }),
      await codesOf({ importKey: async () => undefined }),
      await codesOf({ importKey: async () => true }),
      await codesOf({ importKey: async () => ({}) }),
      await codesOf({ verify: broken }),
      await codesOf({ verify: () => { throw new Error("now") } }),
      await codesOf({ verify: async () => undefined }),
      await codesOf({ verify: async () => 1 }),
    ]));
  `);
  const signatureInvalid = Array.from({ length: 7 }, () => "signature_invalid");
  const expected = ["alice,alice", "unsupported_host", "key_unsuitable", "unsupported_host"];
  assert.deepEqual(
    codes,
    [...expected, ...signatureInvalid].map((code) => [code, code]),
  );
});

test("wsm_16 a clock that gives no time refuses everything", async () => {
  const { provider, guard } = await world();
  const token = await provider.accessToken();
  const now = Date.now;
  try {
    for (const time of [NaN, -1, 0, 1e18, Infinity, undefined]) {
      Date.now = () => time;
      assert.equal(await codeOf(guard.verify(token)), "time_invalid", String(time));
    }
  } finally {
    Date.now = now;
  }
  assert.equal(await codeOf(guard.verify(token)), "accepted");
});

test("cfg_09 only what the options have themselves counts", async () => {
  Object.prototype.audience = "polluted";
  Object.prototype.dangerouslyAllowHttpLoopback = true;
  try {
    const provider = await makeProvider();
    const { issuer, fetch } = provider;
    await assert.rejects(createGuard({ issuer, fetch }), { at: "audience" });
    const inherited = Object.create({ audience: "api", issuer });
    await assert.rejects(createGuard(inherited), { code: "config_invalid" });
    const http = createGuard({ issuer: "http://127.0.0.1:1", audience: "api" });
    assert.equal(await codeOf(http), "url_insecure");
    // A getter is asked once.
    let reads = 0;
    const options = {
      issuer,
      fetch,
      get audience() {
        reads++;
        return reads === 1 ? provider.audience : "another";
      },
    };
    const guard = await createGuard(options);
    assert.equal((await guard.verify(await provider.accessToken())).subject, "alice");
    // A proxy is what its traps say, and no more.
    const proxy = new Proxy({ issuer, audience: "api" }, { ownKeys: () => ["issuer"] });
    await assert.rejects(createGuard(proxy), { at: "audience" });
  } finally {
    delete Object.prototype.audience;
    delete Object.prototype.dangerouslyAllowHttpLoopback;
  }
});

test("cfg_10 a variable that is not set makes no open guard", async () => {
  const { issuer, audience, fetch } = await makeProvider();
  const env = {};
  for (const [options, at] of [
    [{ secret: env.SECRET }, "secret"],
    [{ audience: env.AUDIENCE }, "audience"],
    [{ issuer: env.ISSUER }, "issuer"],
    [{ introspection: { clientId: "rs", clientSecret: env.SECRET } }, "clientSecret"],
    [{ dpop: "require", dpopNonce: env.NONCE_SECRET ?? "" }, "dpopNonce"],
  ]) {
    const made = createGuard({ issuer, audience, fetch, ...options });
    await assert.rejects(made, { code: "config_invalid", at });
  }
});

test("leak_03 leak_05 nothing is written to the console, and no event names a token", () => {
  const [written, events, token] = run(`
    import { createGuard } from "gatepass/guard";
    import { makeProvider } from "./provider.mjs";
    const log = console.log;
    const written = [];
    for (const name of Object.keys(console)) {
      if (typeof console[name] === "function") console[name] = () => written.push(name);
    }
    process.stdout.write = new Proxy(process.stdout.write, {
      apply: (...call) => (written.push("stdout"), Reflect.apply(...call)),
    });
    const provider = await makeProvider();
    const { issuer, audience, fetch } = provider;
    const events = [];
    const onEvent = (event) => events.push(event);
    const guard = await createGuard({ issuer, audience, fetch, onEvent });
    const token = await provider.accessToken();
    await guard.verify(token);
    await guard.verify(token);
    await guard.verify(token.slice(0, -4) + "AAAA").catch(() => {});
    await guard.check(new Request(issuer, { headers: { authorization: "Bearer " + token } }));
    log(JSON.stringify([written, events, token]));
  `);
  assert.deepEqual(written.slice(0, -1), []);
  assert.ok(events.length >= 5);
  const text = JSON.stringify(events);
  for (const part of token.split(".")) assert.equal(text.includes(part), false);
  const hash = createHash("sha256").update(token).digest();
  for (const form of ["hex", "base64url"]) {
    assert.equal(text.includes(hash.toString(form).slice(0, 11)), false);
  }
});

test("leak_09 no key, no secret and no setting of a developer is in the package", () => {
  const dist = join(project, "node_modules/gatepass");
  const files = readdirSync(dist, { recursive: true, withFileTypes: true });
  let seen = 0;
  for (const file of files.filter((each) => each.isFile())) {
    const path = join(file.parentPath, file.name);
    assert.doesNotMatch(file.name, /^\.env|\.(pem|key|p12|map)$/, path);
    const text = readFileSync(path, "latin1");
    // A key is its text: the line above it alone stands in what reads one.
    assert.doesNotMatch(text, /PRIVATE KEY-----(\s|\\n)*[A-Za-z0-9+/]{16}/, path);
    for (const sign of ['"d":"', "S3CRET", "rs-secret"]) {
      assert.equal(text.includes(sign), false, `${path} holds ${sign}`);
    }
    seen++;
  }
  assert.ok(seen > 20);
});

/** EMSA-PSS of RFC 8017 section 9.1.1 with a hash for the mask of one's own. */
function encodePss(message, bits, maskHash) {
  const sha256 = (bytes) => createHash("sha256").update(bytes).digest();
  const salt = Buffer.alloc(32, 7);
  const hash = sha256(Buffer.concat([Buffer.alloc(8), sha256(message), salt]));
  const length = Math.ceil(bits / 8);
  const block = Buffer.alloc(length - hash.length - 1);
  block[block.length - salt.length - 1] = 1;
  salt.copy(block, block.length - salt.length);
  for (let at = 0, count = 0; at < block.length; count++) {
    const counter = Buffer.alloc(4);
    counter.writeUInt32BE(count);
    for (const byte of createHash(maskHash).update(hash).update(counter).digest()) {
      if (at < block.length) block[at++] ^= byte;
    }
  }
  block[0] &= 0xff >> (8 * length - bits);
  return Buffer.concat([block, hash, Buffer.from([0xbc])]);
}

test("sig_18 PS256 whose mask is made with SHA-1 is signature_invalid", async () => {
  const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const jwk = { ...publicKey.export({ format: "jwk" }), kid: "k1", alg: "PS256", use: "sig" };
  const provider = await makeProvider({
    answer: (url) => (url.endsWith("/jwks") ? Response.json({ keys: [jwk] }) : undefined),
  });
  const { issuer, audience, fetch } = provider;
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const iat = Math.floor(Date.now() / 1000);
  const claims = { iss: issuer, aud: audience, sub: "alice", client_id: "spa", jti: "1" };
  const header = { alg: "PS256", kid: "k1", typ: "at+jwt" };
  const input = `${part(header)}.${part({ ...claims, iat, exp: iat + 300 })}`;
  const sign = (maskHash) => {
    const block = encodePss(Buffer.from(input), 2047, maskHash);
    const padding = constants.RSA_NO_PADDING;
    return `${input}.${privateDecrypt({ key: privateKey, padding }, block).toString("base64url")}`;
  };
  const guard = await createGuard({ issuer, audience, fetch });
  assert.equal(await codeOf(guard.verify(sign("sha256"))), "accepted");
  assert.equal(await codeOf(guard.verify(sign("sha1"))), "signature_invalid");
});

test("cch_16 what is accepted as an issuer is what the web's own parser makes of it", async () => {
  for (const issuer of [
    "https://as.example",
    "https://as.example:8443/tenant",
    "https://[2001:db8::1]/a",
    "https://xn--bcher-kva.example",
    "https://bücher.example",
    "https://as.example:",
    "https://as.example:443",
    "https://as.example:0443",
    "https://user@as.example",
    "https://user:secret@as.example",
    "https://as.example\\tenant",
    "https:\\\\as.example",
    "https://as.ex\tample",
    "https://as.example/a\nb",
    "https://[fe80::1%25eth0]/",
    "https://as%2eexample",
    "https://AS.example",
    "https://as.example/%7e",
    "https://as.example/a/../b",
    "https://as.example/./b",
    "https://as.example//b",
    "https://0x7f.1",
    "https://2130706433",
    "https://as.example?x",
    "https://as.example#x",
    "https:as.example",
    "https:///as.example",
    "https://",
  ]) {
    const asked = [];
    const fetch = async (url) => {
      asked.push(url);
      return new Response(null, { status: 404 });
    };
    const made = createGuard({ issuer, audience: "api", fetch }).catch(({ code }) => code);
    const guard = await made;
    if (typeof guard === "string") {
      assert.ok(["config_invalid", "url_insecure", "metadata_invalid"].includes(guard), issuer);
      continue;
    }
    const provider = await makeProvider({ issuer, audience: "api" });
    await codeOf(guard.verify(await provider.accessToken()));
    assert.ok(asked.length >= 1, issuer);
    for (const url of asked) {
      const { origin, pathname, search, hash } = new URL(url);
      assert.equal(origin, new URL(issuer).origin, issuer);
      assert.ok(url.endsWith(pathname) && search === "" && hash === "", issuer);
    }
  }
});
