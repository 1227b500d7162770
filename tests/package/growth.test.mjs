// What many tokens leave behind in the memory of WebAssembly: nothing. A million of them with real
// signatures pass by in `npm run bench -- --memory`; here the host's crypto says yes at once.

import assert from "node:assert/strict";
import { join } from "node:path";
import { before, test } from "node:test";
import { pathToFileURL } from "node:url";

import { installPackage } from "../support/installed.mjs";
import { makeProvider } from "../support/provider.mjs";

const skip =
  process.env["GATEPASS_ENGINE"] === "js" &&
  "the translation's memory is an array that no script reaches";

const TOKENS = 100_000;
const WARM_UP = 5_000;

let createGuard;
let memory;
before(async () => {
  const { project } = installPackage("growth");
  const entry = join(project, "node_modules/gatepass/dist/guard.js");
  ({ createGuard } = await import(pathToFileURL(entry).href));
  // The memory is the module's own affair: it is seen where the module is made, at the first guard.
  const { instantiate } = WebAssembly;
  WebAssembly.instantiate = async (...args) => {
    const instance = await instantiate.apply(WebAssembly, args);
    ({ memory } = instance.exports);
    return instance;
  };
  await createGuard({ issuer: "https://login.example", audience: "api" });
  WebAssembly.instantiate = instantiate;
});

const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

/** By how many bytes it grows while tokens pass by whose signatures this is the answer to. */
async function growth(holder, answer, cache) {
  const provider = await makeProvider();
  const { issuer, audience, fetch } = provider;
  const guard = await createGuard({ issuer, audience, fetch, ...cache });
  const good = await provider.accessToken();
  await guard.verify(good);
  const [header, payload, signature] = good.split(".");
  const claims = JSON.parse(Buffer.from(payload, "base64url"));
  const { verify } = holder;
  holder.verify = answer;
  try {
    let before;
    for (let n = 0; n < WARM_UP + TOKENS; n++) {
      if (n === WARM_UP) before = memory.buffer.byteLength;
      const principal = await guard.verify(
        `${header}.${part({ ...claims, sub: `user-${n}` })}.${signature}`,
      );
      assert.equal(principal.subject, `user-${n}`);
    }
    return memory.buffer.byteLength - before;
  } finally {
    holder.verify = verify;
    guard.dispose();
  }
}

test(
  "S4-25 ten thousand answers of introspection are kept in less than 4 MB of WebAssembly",
  {
    skip,
  },
  async () => {
    const provider = await makeProvider();
    const { issuer, audience, fetch } = provider;
    const introspection = { clientId: "rs", clientSecret: "rs-secret", cache: { ttl: 300 } };
    const guard = await createGuard({ issuer, audience, fetch, introspection });
    const tokens = Array.from({ length: 10_000 }, () => provider.opaqueToken());
    for (const token of tokens) await guard.verify(token);
    const used = memory.buffer.byteLength;
    assert.ok(used < 4 * 1024 * 1024, `${used} bytes`);
    // They are all there.
    for (const token of tokens) assert.equal((await guard.verify(token)).subject, "alice");
    assert.equal(guard.tally().introspection.asked, 10_000);
    guard.dispose();
  },
);

test("wsm_25 a hundred thousand tokens leave nothing behind", { skip }, async () => {
  const nodeCrypto = process.getBuiltinModule("node:crypto");
  assert.ok((await growth(nodeCrypto, () => true, {})) < 1 << 20);
});

test("wsm_25 nor where WebCrypto is waited for", { skip }, async () => {
  const { getBuiltinModule } = process;
  process.getBuiltinModule = undefined;
  try {
    const subtle = Object.getPrototypeOf(crypto.subtle);
    assert.ok((await growth(subtle, async () => true, { cache: false })) < 1 << 20);
  } finally {
    process.getBuiltinModule = getBuiltinModule;
  }
});
