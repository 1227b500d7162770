// What is published, file by file: nothing is missing and nothing slips in.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";

import { installPackage } from "../support/installed.mjs";

const typed = (path) => [`dist/${path}.d.ts`, `dist/${path}.js`];
const artefact = (name) => [
  `dist/wasm/${name}.fallback.d.ts`,
  `dist/wasm/${name}.fallback.js`,
  `dist/wasm/${name}.inline.d.ts`,
  `dist/wasm/${name}.inline.js`,
  `dist/wasm/${name}.wasm`,
  `dist/wasm/${name}.wasm.d.ts`,
  `dist/wasm/${name}_bg.d.ts`,
  `dist/wasm/${name}_bg.js`,
];

const program = (path) => `dist/${path}.js`;

const MODULES = [
  "CHANGELOG.md",
  "LICENSE-APACHE",
  "LICENSE-MIT",
  "README.md",
  "package.json",
  "schema.json",
  "dist/build.json",
  "dist/cjs/package.json",
  ...["backend", "guard", "index", "primitives"].flatMap((entry) =>
    [entry, `${entry}.edge`, `${entry}.fallback`, `${entry}.slim`].flatMap(typed),
  ),
  ...["callback", "presets"].flatMap(typed),
  ...[
    "abort",
    "backend",
    "client",
    "cookies",
    "database",
    "errors",
    "events",
    "fedcm",
    "fetch",
    "form",
    "guard",
    "keyring",
    "lock",
    "logout",
    "options",
    "outcome",
    "possession",
    "primitives",
    "registration",
    "relay",
    "resource",
    "seal",
    "sessions",
    "storage",
    "tab",
    "tend",
    "verdicts",
    "windows",
  ].flatMap((n) => typed(`lib/${n}`)),
  ...[
    "backend",
    "client",
    "edge",
    "engine",
    "fallback",
    "guard",
    "held",
    "inline",
    "primitives",
    "slim",
  ].flatMap((n) => typed(`load/${n}`)),
  ...["backend", "client", "guard", "primitives"].flatMap(artefact),
  ...[
    "account",
    "browser",
    "checker",
    "command",
    "config-test",
    "configuration",
    "debug",
    "decode",
    "doctor",
    "document",
    "failure",
    "help",
    "home",
    "introspect",
    "login",
    "loopback",
    "main",
    "manual",
    "own-token",
    "pattern",
    "preset",
    "probe",
    "process-lock",
    "provider",
    "redis",
    "schema",
    "selftest",
    "serve",
    "setting",
    "signal",
    "simulator",
    "terminal",
    "token-text",
    "vault",
  ].map((n) => program(`cli/${n}`)),
  ...[
    "decide",
    "forward",
    "log",
    "metrics",
    "plugin",
    "proxy",
    "rate",
    "replay",
    "route",
    "send",
    "service",
    "shared-answers",
  ].map((n) => program(`server/${n}`)),
  ...["backend", "client", "guard", "primitives"].flatMap((n) => typed(`api/${n}`)),
  ...[
    "cloudflare",
    "connect",
    "express",
    "guard-source",
    "hono",
    "react",
    "serviceworker",
    "shared-cache",
  ].flatMap((n) => typed(`adapters/${n}`)),
];

/** All modules are there once more for require(), but those for edge runtimes. */
const twins = MODULES.filter((file) => /\.(js|d\.ts)$/.test(file))
  .filter((file) => !/(\bedge|\.wasm)\.(js|d\.ts)$|^dist\/(cli|server)\//.test(file))
  .map((file) => file.replace("dist/", "dist/cjs/"));

const EXPECTED = [...MODULES, ...twins].sort();

let installed;
before(() => {
  installed = installPackage("tarball");
});

test("the tarball holds exactly these files", () => {
  assert.deepEqual(installed.files, EXPECTED);
});

test("nothing is installed besides it", () => {
  const { dependencies, peerDependencies, peerDependenciesMeta } = JSON.parse(
    readFileSync(join(installed.project, "node_modules/gatepass/package.json"), "utf8"),
  );
  assert.equal(dependencies, undefined);
  // Frameworks are there already where their adapters are imported; a keyring and a Redis are
  // for who wants them.
  assert.deepEqual(Object.keys(peerDependencies), [
    "@connectrpc/connect",
    "@napi-rs/keyring",
    "@redis/client",
    "hono",
    "react",
  ]);
  for (const name of Object.keys(peerDependencies)) {
    assert.deepEqual(peerDependenciesMeta[name], { optional: true });
  }
});

test("package.json exports what tools/lib/entries.mjs says", async () => {
  const { manifestEntries } = await import("../../tools/lib/entries.mjs");
  const { parseMatrix } = await import("../../tools/lib/matrix.mjs");
  const root = new URL("../../", import.meta.url);
  const { artefacts } = await parseMatrix(readFileSync(new URL("wasm-pack.toml", root), "utf8"));
  const manifest = JSON.parse(readFileSync(new URL("package.json", root), "utf8"));
  const { exports, sideEffects } = manifestEntries(artefacts);
  // Order decides which condition wins.
  assert.equal(JSON.stringify(manifest.exports), JSON.stringify(exports));
  assert.deepEqual(manifest.sideEffects, sideEffects);
});

test("it says with which tools it was made and what came out", () => {
  const dist = join(installed.project, "node_modules/gatepass/dist");
  const { tools, artefacts } = JSON.parse(readFileSync(join(dist, "build.json"), "utf8"));
  for (const name of ["rustc", "wasm-pack", "wasm-bindgen", "binaryen", "esbuild", "typescript"]) {
    assert.match(tools[name], /^\d+\.\d+\.\d+/, name);
  }
  assert.deepEqual(Object.keys(artefacts), ["client", "backend", "guard", "primitives"]);
  for (const [name, { sha256 }] of Object.entries(artefacts)) {
    const wasm = readFileSync(join(dist, "wasm", `${name}.wasm`));
    assert.equal(createHash("sha256").update(wasm).digest("hex"), sha256);
  }
});

test("no file reachable from an edge entry compiles bytes", () => {
  // Next refuses to build middleware in which it finds one of these calls.
  const seen = new Set();
  const dist = join(installed.project, "node_modules/gatepass/dist");
  const visit = (path) => {
    if (seen.has(path) || !path.endsWith(".js")) return;
    seen.add(path);
    const text = readFileSync(path, "utf8");
    assert.doesNotMatch(text, /WebAssembly\.(compile|instantiate)/, path);
    for (const [, imported] of text.matchAll(/from\s+"(\.[^"]+)"/g))
      visit(join(path, "..", imported));
  };
  visit(join(dist, "index.edge.js"));
  visit(join(dist, "backend.edge.js"));
  visit(join(dist, "guard.edge.js"));
  visit(join(dist, "primitives.edge.js"));
  assert.ok(seen.size >= 10);
});

test("no path of the machine that built it is inside", () => {
  const home = process.env["HOME"] ?? "/home";
  for (const file of installed.files) {
    const bytes = readFileSync(join(installed.project, "node_modules/gatepass", file), "latin1");
    for (const path of [home, process.cwd(), ".cargo/registry"]) {
      assert.ok(!bytes.includes(path), `${file} holds ${path}`);
    }
  }
});
