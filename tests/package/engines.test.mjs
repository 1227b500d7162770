// Which engine runs where: WebAssembly, its translation where a host has none or refuses it, and
// what a program brings; by import and by require().

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
  ({ project } = installPackage("engines"));
  for (const file of [
    "package/scenario.mjs",
    "package/fetch-scenario.mjs",
    "support/provider.mjs",
  ]) {
    copyFileSync(testFile(file), join(project, file.replace(/.*\//, "")));
  }
});

function run(source, { flags = [], file = "main.mjs" } = {}) {
  const path = join(project, file);
  writeFileSync(path, source);
  const printed = execFileSync(process.execPath, [...flags, path], {
    encoding: "utf8",
    stdio: "pipe",
    timeout: 120_000,
    cwd: project,
  });
  return JSON.parse(printed);
}

const SCENARIO = `
  import { scenario } from "./scenario.mjs";
  import { fetchScenario } from "./fetch-scenario.mjs";
  import { makeProvider } from "./provider.mjs";
  const all = async (gatepass, guarding) => [
    gatepass.engine() ?? null,
    await scenario(gatepass, guarding, makeProvider),
    await fetchScenario(gatepass.createClient, makeProvider),
    [gatepass.engine(), guarding.engine()],
  ];
`;

const of = (kind) => [null, EXPECTED, EXPECTED_FETCH, [kind, kind]];

test("the same sign-in, guard and calls as JavaScript", () => {
  const result = run(`${SCENARIO}
    console.log(JSON.stringify(await all(await import("gatepass/js"), await import("gatepass/guard/js"))));
  `);
  assert.deepEqual(result, of("js"));
});

/**
 * Node's own fetch is partly WebAssembly, which it compiles when it is first met. That it cannot, or
 * did before the test looks, is not the package's affair.
 */
const OWN = `
  process.on("unhandledRejection", (error) => {
    if (!error.stack.includes("node:internal/deps/undici")) throw error;
  });
  new Response("");
  await new Promise((resolve) => setTimeout(resolve, 50));
`;

test("the default entry where the host has no WebAssembly", () => {
  const result = run(
    `${SCENARIO} ${OWN}
    if (typeof WebAssembly !== "undefined") throw new Error("there is one");
    console.log(JSON.stringify(await all(await import("gatepass"), await import("gatepass/guard"))));
  `,
    { flags: ["--jitless"] },
  );
  assert.deepEqual(result, of("js"));
});

test("the default entry where the host refuses every module, whatever it says", () => {
  const result = run(`${SCENARIO} ${OWN}
    WebAssembly.compile = () => Promise.reject(new EvalError("not in this house"));
    console.log(JSON.stringify(await all(await import("gatepass"), await import("gatepass/guard"))));
  `);
  assert.deepEqual(result, of("js"));
});

test("require() gives the same, with one GatepassError for both", () => {
  const source = (name) => `
    const gatepass = require("gatepass${name}");
    const guarding = require("gatepass/guard${name}");
    process.on("unhandledRejection", (error) => {
      if (!error.stack.includes("node:internal/deps/undici")) throw error;
    });
    import("./all.mjs").then(async ({ all }) => {
      const isOne = gatepass.GatepassError === guarding.GatepassError;
      console.log(JSON.stringify([isOne, ...(await all(gatepass, guarding))]));
    });
  `;
  writeFileSync(join(project, "all.mjs"), `${SCENARIO} export { all };`);
  assert.deepEqual(run(source(""), { file: "main.cjs" }), [true, ...of("wasm")]);
  assert.deepEqual(run(source("/js"), { file: "main.cjs" }), [true, ...of("js")]);
  assert.deepEqual(run(source(""), { file: "main.cjs", flags: ["--jitless"] }), [
    true,
    ...of("js"),
  ]);
});

test("wsm_13 wsm_26 slim runs what it is given: a module, one of another realm, bytes, a response of no type, a promise", () => {
  const given = {
    module: (file) => `new WebAssembly.Module(readFileSync(${file}))`,
    foreign: (file) =>
      `runInNewContext("new WebAssembly.Module(bytes)", { bytes: readFileSync(${file}) })`,
    bytes: (file) => `readFileSync(${file})`,
    buffer: (file) => `new Uint8Array(readFileSync(${file})).buffer`,
    response: (file) => `new Response(readFileSync(${file}))`,
    promise: (file) => `Promise.resolve(readFileSync(${file}))`,
  };
  for (const [name, expression] of Object.entries(given)) {
    const file = (artefact) =>
      `createRequire(import.meta.url).resolve("gatepass/${artefact}.wasm")`;
    const result = run(`${SCENARIO}
      import { readFileSync } from "node:fs";
      import { createRequire } from "node:module";
      import { runInNewContext } from "node:vm";
      const gatepass = await import("gatepass/slim");
      const guarding = await import("gatepass/guard/slim");
      const early = await gatepass.createClient({ issuer: "https://as.example", clientId: "x" })
        .catch(({ code, at }) => [code, at]);
      const wrong = await gatepass.init(new Uint8Array([1, 2, 3])).catch(({ code, cause }) => [code, cause.name]);
      const none = await gatepass.init("/client.wasm").catch(({ code, at }) => [code, at]);
      await Promise.all([gatepass.init(${expression(file("client"))}), guarding.init(${expression(file("guard"))})]);
      await gatepass.init(${expression(file("client"))});
      console.log(JSON.stringify([early, wrong, none, (await all(gatepass, guarding)).slice(1)]));
    `);
    const expected = [
      ["config_invalid", "init"],
      ["unsupported_host", "CompileError"],
      ["config_invalid", "init"],
      of("wasm").slice(1),
    ];
    assert.deepEqual(result, expected, name);
  }
});

test("entries beside each other, in any order: WebAssembly before its translation, both before slim", () => {
  const orders = [
    [["", "/slim"], "wasm"],
    [["/slim", ""], "wasm"],
    [["", "/js"], "wasm"],
    [["/js", ""], "wasm"],
    [["/js", "/slim"], "js"],
    [["/slim", "/js"], "js"],
    [["/slim", "", "/js"], "wasm"],
  ];
  // What asks for an instance, of each kind of entry.
  const uses = {
    gatepass: `createClient({ issuer: "https://as.example", clientId: "x" })`,
    "gatepass/backend": `createClient({ issuer: "https://as.example", clientId: "x", clientAuth: { method: "none" } })`,
    "gatepass/guard": `createGuard({ issuer: "https://as.example", audience: "x" })`,
    "gatepass/primitives": `createPkce()`,
  };
  for (const [forms, expected] of orders) {
    for (const isCommonJs of [false, true]) {
      const load = isCommonJs ? "require" : "await import";
      const result = run(
        `(async () => {
          const kinds = [];
          ${Object.entries(uses)
            .map(
              ([name, use]) => `{
                const entries = [${forms.map((form) => `${load}("${name}${form}")`)}];
                for (const entry of entries) await entry.${use};
                kinds.push(...entries.map(({ engine }) => engine()));
              }`,
            )
            .join("\n")}
          console.log(JSON.stringify(kinds));
        })();`,
        { file: isCommonJs ? "main.cjs" : "main.mjs" },
      );
      const kinds = Object.keys(uses).flatMap(() => forms.map(() => expected));
      assert.deepEqual(result, kinds, `${load} ${forms}`);
    }
  }
});

test("slim is given its module beside the translation too", () => {
  const result = run(`
    import { readFileSync } from "node:fs";
    import { createRequire } from "node:module";
    import { engine, init } from "gatepass/guard/slim";
    import "gatepass/guard/js";
    await init(readFileSync(createRequire(import.meta.url).resolve("gatepass/guard.wasm")));
    console.log(JSON.stringify(engine()));
  `);
  assert.equal(result, "wasm");
});

test("what fails for another reason is told, and tried again", () => {
  const result = run(`
    import { createClient, engine } from "gatepass";
    const options = { issuer: "https://as.example", clientId: "spa" };
    const { instantiate, compile } = WebAssembly;
    const outcomes = [];
    const attempt = async () => {
      const error = await createClient(options).then(() => null, (error) => error);
      outcomes.push(error && [error.code, error.at, error.cause.name], engine() ?? null);
    };
    WebAssembly.instantiate = () => Promise.reject(new WebAssembly.LinkError("no such import"));
    await attempt();
    WebAssembly.instantiate = () => Promise.reject(new RangeError("out of memory"));
    await attempt();
    WebAssembly.instantiate = instantiate;
    // Bytes that were damaged on their way: this host has nothing against WebAssembly.
    WebAssembly.compile = (bytes) => compile(bytes.length > 8 ? bytes.slice(9) : bytes);
    const other = await import("gatepass/guard");
    const damaged = await other.createGuard({ issuer: "https://as.example", audience: "api" })
      .catch((error) => [error.code, error.cause.name]);
    WebAssembly.compile = compile;
    await Promise.all([attempt(), attempt(), attempt()]);
    console.log(JSON.stringify([outcomes, damaged]));
  `);
  assert.deepEqual(result, [
    [
      ["unsupported_host", "WebAssembly", "LinkError"],
      null,
      ["unsupported_host", "WebAssembly", "RangeError"],
      null,
      null,
      "wasm",
      null,
      "wasm",
      null,
      "wasm",
    ],
    ["unsupported_host", "CompileError"],
  ]);
});

test("it is compiled once, however many ask for it at once", () => {
  const result = run(`
    import { createClient } from "gatepass";
    const { compile } = WebAssembly;
    let count = 0;
    WebAssembly.compile = (bytes) => (count++, compile(bytes));
    const options = { issuer: "https://as.example", clientId: "spa" };
    await Promise.all(Array.from({ length: 20 }, () => createClient(options)));
    console.log(JSON.stringify(count));
  `);
  assert.equal(result, 1);
});

test("the translation runs nothing at load either", () => {
  const result = run(`
    const used = [];
    const watch = (object, name) => {
      const original = object[name];
      object[name] = (...args) => (used.push(name), original.apply(object, args));
    };
    watch(Date, "now");
    watch(crypto, "getRandomValues");
    const before = process.memoryUsage().arrayBuffers;
    await import("gatepass/js");
    await import("gatepass/guard/js");
    const grown = process.memoryUsage().arrayBuffers - before;
    console.log(JSON.stringify([used, grown < 1_000_000]));
  `);
  assert.deepEqual(result, [[], true]);
});
