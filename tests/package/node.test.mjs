// The installed package in a Node process of its own, without any set-up.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";

import { installPackage, testFile } from "../support/installed.mjs";
import { EXPECTED_FETCH } from "./fetch-scenario.mjs";
import { EXPECTED } from "./scenario.mjs";

let project;
before(() => {
  ({ project } = installPackage("node"));
  copyFileSync(testFile("package/scenario.mjs"), join(project, "scenario.mjs"));
  copyFileSync(testFile("package/fetch-scenario.mjs"), join(project, "fetch-scenario.mjs"));
  copyFileSync(testFile("support/provider.mjs"), join(project, "provider.mjs"));
});

function run(source) {
  const file = join(project, "main.mjs");
  writeFileSync(file, source);
  return JSON.parse(execFileSync(process.execPath, [file], { encoding: "utf8", timeout: 60_000 }));
}

test("a sign-in and a guarded API work in Node", () => {
  const result = run(`
    import * as gatepass from "gatepass";
    import * as guarding from "gatepass/guard";
    import { scenario } from "./scenario.mjs";
    import { makeProvider } from "./provider.mjs";
    console.log(JSON.stringify(await scenario(gatepass, guarding, makeProvider)));
  `);
  assert.deepEqual(result, EXPECTED);
});

test("requests to an API carry the token, renew it once and surface what renewing cannot help", () => {
  const result = run(`
    import { createClient } from "gatepass";
    import { fetchScenario } from "./fetch-scenario.mjs";
    import { makeProvider } from "./provider.mjs";
    console.log(JSON.stringify(await fetchScenario(createClient, makeProvider)));
  `);
  assert.deepEqual(result, EXPECTED_FETCH);
});

test("wsm_15 nothing runs at load: no clock, no randomness, no compilation", () => {
  const result = run(`
    const used = [];
    const watch = (object, name) => {
      const original = object[name];
      object[name] = (...args) => (used.push(name), original.apply(object, args));
    };
    watch(Date, "now");
    watch(crypto, "getRandomValues");
    watch(WebAssembly, "instantiate");
    watch(WebAssembly, "compile");
    await import("gatepass");
    await import("gatepass/guard");
    console.log(JSON.stringify(used));
  `);
  assert.deepEqual(result, []);
});

test("cfg_08 options are read once: changing them afterwards has no effect", () => {
  const result = run(`
    import { createGuard } from "gatepass/guard";
    const options = { issuer: "https://as.example", audience: ["api"] };
    const making = createGuard(options);
    options.audience.length = 0;
    Object.prototype.requiredScopes = ["x"];
    const guard = await making;
    const other = await createGuard({ issuer: "https://as.example", audience: "api" });
    delete Object.prototype.requiredScopes;
    const { refusal } = await guard.check({ headers: new Headers() });
    const of = await other.check({ headers: new Headers() });
    console.log(JSON.stringify([refusal.code, of.refusal.code]));
  `);
  assert.deepEqual(result, ["credential_missing", "credential_missing"]);
});

test("what JSON cannot say is refused by name", () => {
  const result = run(`
    import { createClient } from "gatepass";
    const base = { issuer: "https://as.example", clientId: "spa" };
    const at = (more) => createClient({ ...base, ...more }).then(() => "accepted", (e) => e.code + " " + e.at);
    console.log(JSON.stringify([
      await at({ scope: () => "openid" }), await at({ timeout: NaN }), await at({ timeout: Infinity }),
      await at({ timeout: 5n }), await at({ scope: Symbol("x") }), await at({ scope: null }),
      await at({ scope: undefined }), await at({ fetch: "fetch" }), await at({ onEvent: {} }),
      await at({ transactionStore: {} }),
    ]));
  `);
  const invalid = (name) => `config_invalid ${name}`;
  assert.deepEqual(result, [
    invalid("scope"),
    invalid("timeout"),
    invalid("timeout"),
    invalid("timeout"),
    invalid("scope"),
    invalid("scope"),
    "accepted",
    invalid("fetch"),
    invalid("onEvent"),
    invalid("transactionStore"),
  ]);
});
