// What stays in the linear memory of the installed package: nothing of a session that is over, and
// nothing of a million requests.

import assert from "node:assert/strict";
import { before, test } from "node:test";

import { importInstalled, installPackage } from "../support/installed.mjs";
import { makeProvider } from "../support/provider.mjs";

/** The memory of every module that was made since. */
const memories = [];
const isTranslated = process.env["GATEPASS_ENGINE"] === "js";

let client;
let guard;
before(async () => {
  const { instantiate } = WebAssembly;
  WebAssembly.instantiate = async (...given) => {
    const made = await instantiate(...given);
    memories.push((made.instance ?? made).exports.memory);
    return made;
  };
  const { project } = installPackage("memory");
  client = await importInstalled(project, "gatepass");
  guard = await importInstalled(project, "gatepass/guard");
});

/** Whether a text stands anywhere in memory. */
const stands = (text) =>
  memories.some(({ buffer }) => Buffer.from(buffer).includes(Buffer.from(text)));

const size = () => memories.reduce((sum, { buffer }) => sum + buffer.byteLength, 0);

const WHY = "the translation's memory is an array that no script reaches";

test("leak_08 no copy of a token is left in memory after signing out", async (t) => {
  if (isTranslated) return t.skip(WHY);
  const secrets = new Set();
  const provider = await makeProvider();
  const fetch = async (url, init) => {
    const form = new URLSearchParams(init?.body ?? "");
    for (const name of ["code", "code_verifier"]) {
      if (form.get(name)) secrets.add(form.get(name));
    }
    const response = await provider.fetch(url, init);
    if (url.endsWith("/token")) {
      const { access_token, id_token, refresh_token } = await response.clone().json();
      for (const token of [access_token, id_token, refresh_token]) secrets.add(token);
    }
    return response;
  };
  const { issuer, clientId, redirectUri } = provider;
  const allowedOrigins = "https://api.example";
  const options = { issuer, clientId, redirectUri, fetch, allowedOrigins };
  const it = await client.createClient(options);
  await it.handleCallback(provider.signInAt(await it.signInUrl()));
  await it.userinfo();
  await it.refresh();
  await it.accessToken();
  await it.tokenFor("https://api.example/x");
  assert.equal(it.state().signedIn, true);
  // The looking itself works: what lives is found.
  const tokens = [...secrets].filter((secret) => secret.startsWith("refresh-"));
  assert.equal(tokens.length, 2);
  assert.ok(stands(tokens[1]));

  await it.signOutUrl();
  assert.ok(secrets.size >= 8);
  for (const secret of secrets) {
    assert.ok(!stands(secret), `${secret.slice(0, 12)} stands in memory`);
    // Nor its end, should its beginning have been overwritten.
    if (secret.length > 60) assert.ok(!stands(secret.slice(-40)), "its end stands in memory");
  }
  it.dispose();
});

test("wsm_25 a million requests leave the memory as it was", async (t) => {
  if (isTranslated) return t.skip(WHY);
  const provider = await makeProvider();
  const { issuer, audience, fetch } = provider;
  const api = await guard.createGuard({ issuer, audience, fetch });
  const token = await provider.accessToken();
  const work = async (count) => {
    for (let done = 0; done < count; done += 1) {
      const { subject } = await api.verify(token);
      if (subject !== "alice") assert.fail("it was refused");
    }
  };
  const refused = async (count) => {
    for (let done = 0; done < count; done += 1) {
      await api.verify(`${token.slice(0, -8)}${String(done).padStart(8, "A")}`).then(
        () => assert.fail("it was accepted"),
        () => {},
      );
    }
  };
  await work(20_000);
  await refused(500);
  const warm = size();
  await work(1_000_000);
  await refused(2000);
  const grown = size() - warm;
  assert.ok(grown < 1024 * 1024, `${grown} bytes more`);
  api.dispose();
});
