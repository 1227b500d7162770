// The schema of the file of settings, with a validator of its own standing.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";
import { fileURLToPath } from "node:url";

import Ajv2020 from "ajv/dist/2020.js";

import { installProgram } from "../support/program.mjs";

const FILE = fileURLToPath(new URL("../../schema.json", import.meta.url));

let gatepass;
let validate;
before(async () => {
  gatepass = installProgram("cli-schema");
  const { schema } = await import(
    join(gatepass.project, "node_modules/gatepass/dist/cli/schema.js")
  );
  const text = `${JSON.stringify(schema(), null, 2)}\n`;
  if (process.env["GOLDEN"] === "write") writeFileSync(FILE, text);
  assert.deepEqual(JSON.parse(readFileSync(FILE, "utf8")), JSON.parse(text));
  validate = new Ajv2020.default({ strict: true, strictTypes: false, allErrors: true }).compile(
    JSON.parse(readFileSync(join(gatepass.project, "node_modules/gatepass/schema.json"), "utf8")),
  );
});

/** What the schema and the program itself say of a file. */
async function judge(settings) {
  const file = join(gatepass.project, "judged.json");
  writeFileSync(file, JSON.stringify(settings));
  const { code, stderr } = await gatepass.run(["serve", "--config-test", "--config", file], {
    env: { SECRET: "a secret of the tests", ISSUER: "https://as.example", METHOD: "PUT" },
  });
  return { bySchema: validate(settings), byProgram: code === 0, stderr };
}

const GOOD = {
  issuer: "https://as.example",
  audience: "https://api.example",
  clientId: "rs",
  clientSecret: "${SECRET}",
};

test("S1-02 the schema that is shipped takes what the program takes", async () => {
  for (const settings of [
    GOOD,
    { ...GOOD, issuer: "${ISSUER}", clientSecret: { env: "SECRET" } },
    { ...GOOD, clientSecret: { command: ["echo", "x"] }, port: 0, metrics: true },
    { ...GOOD, audience: ["a", "b"], routes: [{ path: "/x/*", methods: ["GET"], scopes: "read" }] },
    { ...GOOD, $schema: "./schema.json", guard: { clockTolerance: 10 } },
    { ...GOOD, routes: [{ path: "/x", methods: ["M-SEARCH", "${METHOD}"] }] },
    { ...GOOD, servers: { one: { urls: ["https://a.example", "http://127.0.0.1:8080/a/*/b"] } } },
  ]) {
    const { bySchema, byProgram, stderr } = await judge(settings);
    assert.ok(bySchema, JSON.stringify(validate.errors));
    assert.ok(byProgram, stderr);
  }
});

test("S1-02 the schema refuses what the program refuses, by line and column", async () => {
  for (const settings of [
    { ...GOOD, clientSecret: "in plain sight" },
    { ...GOOD, audiance: "x" },
    { ...GOOD, port: 70_000 },
    { ...GOOD, metrics: "maybe" },
    { ...GOOD, issuer: "as.example" },
    { ...GOOD, routes: [{ path: "x" }] },
    { ...GOOD, routes: [{ path: "/x", scope: "read" }] },
    { servers: { one: { port: 1 } }, ...GOOD },
    { ...GOOD, routes: [{ path: "/x", methods: ["GET", "get"] }] },
    { ...GOOD, routes: [{ path: "/x", methods: [] }] },
    ...[
      "https://a.example/*",
      [],
      ["nonsense"],
      [5],
      ["/path"],
      ["ftp://a.example/"],
      ["https://*.example/"],
      ["https://a.example/?a=b"],
    ].map((urls) => ({ ...GOOD, servers: { one: { urls } } })),
  ]) {
    const { bySchema, byProgram, stderr } = await judge(settings);
    assert.deepEqual([bySchema, byProgram], [false, false], JSON.stringify(settings));
    assert.match(stderr, /judged\.json:\d+:\d+: /);
  }
});
