// What is published, file by file: nothing is missing and nothing slips in.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { before, test } from "node:test";

import { installPackage } from "../support/installed.mjs";

const typed = (path) => [`dist/${path}.d.ts`, `dist/${path}.js`];
const artefact = (name) => [
  `dist/wasm/${name}.inline.d.ts`,
  `dist/wasm/${name}.inline.js`,
  `dist/wasm/${name}.wasm`,
  `dist/wasm/${name}.wasm.d.ts`,
  `dist/wasm/${name}_bg.d.ts`,
  `dist/wasm/${name}_bg.js`,
];

const program = (path) => `dist/${path}.js`;

const EXPECTED = [
  "CHANGELOG.md",
  "LICENSE-APACHE",
  "LICENSE-MIT",
  "README.md",
  "package.json",
  ...[
    "backend",
    "backend.edge",
    "callback",
    "guard",
    "guard.edge",
    "index",
    "index.edge",
    "presets",
  ].flatMap(typed),
  ...[
    "backend",
    "client",
    "database",
    "errors",
    "events",
    "fetch",
    "form",
    "guard",
    "keyring",
    "lock",
    "options",
    "outcome",
    "possession",
    "relay",
    "storage",
    "tend",
    "verdicts",
    "windows",
  ].flatMap((n) => typed(`lib/${n}`)),
  ...["shared-cache"].flatMap((n) => typed(`adapters/${n}`)),
  ...["backend", "client", "edge", "engine", "guard", "inline"].flatMap((n) => typed(`load/${n}`)),
  ...["backend", "client", "guard"].flatMap(artefact),
  ...[
    "checker",
    "command",
    "configuration",
    "document",
    "failure",
    "help",
    "main",
    "pattern",
    "preset",
    "serve",
    "setting",
    "terminal",
  ].map((n) => program(`cli/${n}`)),
  ...["decide", "forward", "log", "metrics", "plugin", "proxy", "route", "service"].map((n) =>
    program(`server/${n}`),
  ),
].sort();

let installed;
before(() => {
  installed = installPackage("tarball");
});

test("the tarball holds exactly these files", () => {
  assert.deepEqual(installed.files, EXPECTED);
});

test("nothing is installed besides it", () => {
  const { dependencies, peerDependencies } = JSON.parse(
    readFileSync(join(installed.project, "node_modules/gatepass/package.json"), "utf8"),
  );
  assert.equal(dependencies, undefined);
  assert.equal(peerDependencies, undefined);
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
