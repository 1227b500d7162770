// Runs every suite, each as child processes, and adds them up. `npm test` is this file, and so is
// what CI runs.
//
//   node tools/test.mjs              all suites, from nothing: set-up and build are part of it
//   node tools/test.mjs NAME...      some of them
//
// A failing suite does not stop the others. The last line is `N passed, N failed`.

import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";

import { count } from "./lib/count.mjs";
import { Failure, runMain } from "./lib/failure.mjs";
import { logDir, root, stateDir } from "./lib/paths.mjs";
import { run, tail } from "./lib/process.mjs";
import { bold, heading, red, step } from "./lib/terminal.mjs";
import { setup } from "./setup.mjs";

/**
 * A suite that hangs is a failure too; the longest one takes about two minutes on two cores when
 * nothing is compiled.
 */
const LIMIT_MS = 20 * 60_000;

const SHOWN_ON_FAILURE = 80;

/**
 * @typedef {object} Command
 * @property {string} program
 * @property {string[]} args
 * @property {NodeJS.ProcessEnv} env
 *
 * @typedef {object} Suite
 * @property {string} name
 * @property {import("./lib/count.mjs").Counting} counting
 * @property {boolean} [built] needs dist/
 * @property {boolean} [browser] needs Chromium
 * @property {boolean} [programs] needs Redis, nginx, a keyring, Firefox or WebKitGTK
 * @property {boolean} [python] uses programs from Python's registry
 * @property {boolean} [onlyByName] does not run when no suite is named
 * @property {(tools: import("./setup.mjs").Tools) => Command[]} commands run one after the other, until one fails
 *
 * @typedef {import("./lib/count.mjs").Count & { name: string, seconds: number }} Result
 */

/**
 * The quick ones that fail most often first.
 *
 * @type {Suite[]}
 */
const SUITES = [
  {
    name: "fmt",
    counting: "check",
    commands: ({ nativeEnv }) => [cargo(nativeEnv, "fmt", "--all", "--check")],
  },
  {
    name: "prettier",
    counting: "check",
    commands: ({ env }) => [{ program: "prettier", args: ["--check", "."], env }],
  },
  {
    name: "tools",
    counting: "node",
    commands: ({ env }) => [nodeTests(env, "tools/lib")],
  },
  {
    name: "tools-types",
    counting: "check",
    commands: ({ env }) => [tsc(env, "tools")],
  },
  {
    name: "clippy",
    counting: "check",
    commands: ({ nativeEnv }) => [
      cargo(nativeEnv, "clippy", "--all-targets", "--all-features", "--", "-D", "warnings"),
    ],
  },
  {
    // Also each role alone: that is how they are shipped, and where code only the other role uses
    // shows up as dead.
    name: "clippy-wasm",
    counting: "check",
    commands: ({ env }) =>
      [
        [],
        ["--no-default-features", "--features=client"],
        ["--no-default-features", "--features=backend"],
        ["--no-default-features", "--features=guard"],
        ["--no-default-features", "--features=primitives"],
      ].map((features) =>
        cargo(
          env,
          "clippy",
          "--lib",
          "--target=wasm32-unknown-unknown",
          ...features,
          "--",
          "-D",
          "warnings",
        ),
      ),
  },
  {
    name: "doc",
    counting: "check",
    commands: ({ nativeEnv }) => [
      cargo({ ...nativeEnv, RUSTDOCFLAGS: "-D warnings" }, "doc", "--no-deps", "--all-features"),
    ],
  },
  {
    name: "rust",
    counting: "cargo",
    // Without backtraces: twenty lines each would push the failed assertions out of what is shown.
    commands: ({ nativeEnv }) => [
      cargo({ ...nativeEnv, RUST_BACKTRACE: "0" }, "test", "--all-features", "--no-fail-fast"),
      // What the published client is built with in place of libraries passes the same tests.
      cargo(nativeEnv, "test", "--lib", "--no-default-features", "--features=client,guard"),
    ],
  },
  {
    name: "boundary-node",
    counting: "cargo",
    commands: ({ env }) => [wasmTests(env, "--node")],
  },
  {
    name: "boundary-chrome",
    counting: "cargo",
    browser: true,
    commands: ({ env, chromium, chromedriver }) => [
      wasmTests(
        {
          ...env,
          WASM_BINDGEN_TEST_WEBDRIVER_JSON: webdriverSettings(chromium),
        },
        "--headless",
        "--chrome",
        `--chromedriver=${chromedriver}`,
      ),
    ],
  },
  {
    name: "build",
    counting: "check",
    commands: ({ env }) => [node(env, "tools/build.mjs")],
  },
  {
    name: "types",
    counting: "check",
    built: true,
    commands: ({ env }) =>
      ["tests/types", "tests/types/examples", "tests/types/node"].map((path) => tsc(env, path)),
  },
  {
    name: "package",
    counting: "node",
    built: true,
    programs: true,
    commands: ({ env }) => [nodeTests(env, "tests/package")],
  },
  {
    name: "cli",
    counting: "node",
    built: true,
    browser: true,
    programs: true,
    python: true,
    commands: ({ env, chromium }) => [nodeTests({ ...env, CHROME: chromium }, "tests/cli")],
  },
  {
    // The same tests with the translation to JavaScript in place of WebAssembly.
    name: "package-js",
    counting: "node",
    built: true,
    programs: true,
    python: true,
    commands: ({ env }) => [
      nodeTests(
        { ...env, GATEPASS_ENGINE: "js" },
        ["tests/package", "tests/interop"],
        isAboutWhatRuns,
      ),
    ],
  },
  {
    name: "interop",
    counting: "node",
    built: true,
    python: true,
    commands: ({ env }) => [nodeTests(env, "tests/interop")],
  },
  {
    name: "publint",
    counting: "check",
    built: true,
    commands: ({ env }) => [{ program: "publint", args: ["run", ".", "--strict"], env }],
  },
  {
    // What every public name says of itself.
    name: "docs",
    counting: "node",
    built: true,
    commands: ({ env }) => [nodeTests(env, "tests/docs")],
  },
  {
    name: "attw",
    counting: "check",
    built: true,
    // Without `exports` (node10) only the package itself resolves; a module of WebAssembly is none of
    // CommonJS.
    commands: ({ env }) => [
      {
        program: "attw",
        args: [
          "--pack",
          ".",
          "--profile",
          "node16",
          "--exclude-entrypoints",
          "client.wasm",
          "backend.wasm",
          "guard.wasm",
          "primitives.wasm",
        ],
        env,
      },
    ],
  },
  {
    name: "readme",
    counting: "node",
    built: true,
    browser: true,
    commands: ({ env, chromium }) => [nodeTests({ ...env, CHROME: chromium }, "tests/readme")],
  },
  {
    name: "browser",
    counting: "node",
    built: true,
    browser: true,
    commands: ({ env, chromium }) => [nodeTests({ ...env, CHROME: chromium }, "tests/browser")],
  },
  {
    // Firefox, WebKitGTK and the providers in Python are no part of set-up outside CI: what is not
    // installed is skipped by its name there, in CI it fails.
    name: "browsers",
    counting: "node",
    built: true,
    browser: true,
    programs: true,
    python: true,
    commands: ({ env, chromium }) => [nodeTests({ ...env, CHROME: chromium }, "tests/browsers")],
  },
  {
    // `npm run chaos` is the same for longer.
    name: "chaos",
    counting: "node",
    built: true,
    browser: true,
    commands: ({ env, chromium }) => [nodeTests({ ...env, CHROME: chromium }, "tests/chaos")],
  },
  {
    name: "adapters",
    counting: "node",
    built: true,
    browser: true,
    commands: ({ env, chromium }) => [nodeTests({ ...env, CHROME: chromium }, "tests/adapters")],
  },
  {
    name: "size",
    counting: "sum",
    built: true,
    commands: ({ env }) => [node(env, "tools/size.mjs")],
  },
  {
    // The package in bundlers and runtimes. The frameworks, which take minutes each, stand apart.
    name: "matrix",
    counting: "sum",
    built: true,
    browser: true,
    commands: ({ env }) => [node(env, "tools/package.mjs", "light")],
  },
  {
    name: "matrix-heavy",
    counting: "sum",
    built: true,
    browser: true,
    onlyByName: true,
    commands: ({ env }) => [node(env, "tools/package.mjs", "heavy")],
  },
  {
    // Compiles everything once more.
    name: "reproducible",
    counting: "sum",
    built: true,
    onlyByName: true,
    commands: ({ env }) => [node(env, "tools/reproducible.mjs")],
  },
  {
    name: "e2e",
    counting: "sum",
    built: true,
    browser: true,
    commands: ({ env }) => [node(env, "tools/demo.mjs", "--headless")],
  },
];

/**
 * @param {NodeJS.ProcessEnv} env
 * @param {string[]} args
 * @returns {Command}
 */
function cargo(env, ...args) {
  return { program: "cargo", args, env };
}

/**
 * @param {NodeJS.ProcessEnv} env
 * @param {string[]} args
 * @returns {Command}
 */
function node(env, ...args) {
  return { program: process.execPath, args, env };
}

/**
 * @param {NodeJS.ProcessEnv} env
 * @param {string} project
 * @returns {Command}
 */
function tsc(env, project) {
  return { program: "tsc", args: ["-p", project, "--pretty", "false"], env };
}

/**
 * The library's own tests and the boundary's; the other test files are native.
 *
 * @param {NodeJS.ProcessEnv} env
 * @param {string[]} where
 * @returns {Command}
 */
function wasmTests(env, ...where) {
  const args = ["test", ...where, "--mode=no-install", "--", "--lib", "--test=boundary*"];
  return { program: "wasm-pack", args, env };
}

/**
 * Whether a test is about what the package does, and not about how it is loaded.
 *
 * @param {string} file
 */
function isAboutWhatRuns(file) {
  return !["differential.test.mjs", "engines.test.mjs", "tarball.test.mjs"].includes(file);
}

/**
 * The files by name: Node 20 does not expand patterns.
 *
 * @param {NodeJS.ProcessEnv} env
 * @param {string | string[]} folders
 * @param {(file: string) => boolean} [isWanted]
 * @returns {Command}
 */
function nodeTests(env, folders, isWanted = () => true) {
  const files = [folders].flat().flatMap((folder) => {
    const path = join(root, folder);
    const found = existsSync(path)
      ? readdirSync(path).filter((file) => file.endsWith(".test.mjs") && isWanted(file))
      : [];
    // Without a file `node --test` would go looking for tests everywhere.
    if (found.length === 0) throw new Failure(`${folder} holds no *.test.mjs.`);
    return found.sort().map((file) => `${folder}/${file}`);
  });
  return node(env, "--test", "--test-reporter=spec", ...files);
}

/**
 * chromedriver would start the first browser it knows; this names the one that set-up found.
 *
 * @param {string | undefined} chromium
 */
function webdriverSettings(chromium) {
  const file = join(stateDir, "webdriver.json");
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, JSON.stringify({ "goog:chromeOptions": { binary: chromium } }));
  return file;
}

/**
 * @param {Suite} suite
 * @param {import("./setup.mjs").Tools} tools
 * @param {string} [obstacle] why the suite cannot run
 * @returns {Promise<Result>}
 */
async function runSuite(suite, tools, obstacle) {
  const log = join(logDir, `test-${suite.name}.log`);
  const started = performance.now();
  let output = "";
  /** @type {Result | undefined} */
  let result;
  await step(suite.name, async (it) => {
    const counted = obstacle === undefined ? await attempt() : refusal(obstacle);
    result = { ...counted, name: suite.name, seconds: (performance.now() - started) / 1000 };
    if (suite.counting !== "check" || counted.failed > 0) it.detail(describe(counted));
    return counted.failed === 0;
  });

  if (result === undefined) throw new Error("a suite ended without a result");
  if (result.failed > 0 && output !== "") {
    const text = tail(output, SHOWN_ON_FAILURE).replace(/^/gm, "       ");
    process.stdout.write(`\n${text}\n\n       everything it printed: ${relative(root, log)}\n\n`);
  }
  return result;

  async function attempt() {
    let code = 0;
    try {
      for (const [index, { program, args, env }] of suite.commands(tools).entries()) {
        const ended = await run(program, args, {
          cwd: root,
          env,
          log,
          append: index > 0,
          timeout: LIMIT_MS,
        });
        code = ended.code;
        output += ended.output;
        if (code !== 0) break;
      }
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      return refusal(error.message);
    }
    return count(suite.counting, code, output);
  }
}

/**
 * @param {string} complaint
 * @returns {import("./lib/count.mjs").Count}
 */
function refusal(complaint) {
  return { passed: 0, failed: 1, skipped: 0, skippedNames: [], complaint };
}

/** @param {import("./lib/count.mjs").Count} counted */
function describe({ passed, failed, skipped, complaint }) {
  const parts = [`${passed} passed`];
  if (failed > 0) parts.push(`${failed} failed`);
  if (skipped > 0) parts.push(`${skipped} skipped`);
  return complaint === "" ? parts.join(", ") : `${parts.join(", ")}: ${complaint}`;
}

/**
 * The suites of that name, in our order, and the build before those that need it.
 *
 * @param {readonly string[]} names
 */
function choose(names) {
  const unknown = names.find((name) => !SUITES.some((suite) => suite.name === name));
  if (unknown !== undefined) {
    throw new Failure(
      `There is no suite "${unknown}". There are: ${SUITES.map(({ name }) => name).join(", ")}.`,
    );
  }
  if (names.length === 0) return SUITES.filter(({ onlyByName }) => !onlyByName);
  const wanted = SUITES.filter(({ name }) => names.includes(name));
  return wanted.some(({ built }) => built)
    ? SUITES.filter((suite) => suite.name === "build" || wanted.includes(suite))
    : wanted;
}

/** @param {readonly Result[]} results */
function printTable(results) {
  const sum = (/** @type {(result: Result) => number} */ of) =>
    results.reduce((total, each) => total + of(each), 0);
  const row = (/** @type {(string | number)[]} */ [name, ...numbers]) =>
    `  ${String(name).padEnd(18)}${numbers.map((number) => String(number).padStart(9)).join("")}`;

  process.stdout.write(`\n${bold(row(["suite", "passed", "failed", "skipped", "seconds"]))}\n`);
  for (const { name, passed, failed, skipped, seconds } of results) {
    const line = row([name, passed, failed, skipped, seconds.toFixed(1)]);
    process.stdout.write(`${failed > 0 ? red(line) : line}\n`);
  }
  const [passed, failed, skipped] = [
    sum((it) => it.passed),
    sum((it) => it.failed),
    sum((it) => it.skipped),
  ];
  process.stdout.write(
    `${bold(row(["all", passed, failed, skipped, sum((it) => it.seconds).toFixed(1)]))}\n`,
  );

  const skippedNames = results.flatMap((result) =>
    result.skippedNames.map((name) => `  ${result.name}: ${name}`),
  );
  if (skippedNames.length > 0) process.stdout.write(`\nSkipped:\n${skippedNames.join("\n")}\n`);
  process.stdout.write(
    `\n${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}\n`,
  );
  return failed === 0;
}

await runMain(async () => {
  const suites = choose(process.argv.slice(2));
  const tools = await setup({
    browser: suites.some((suite) => suite.browser),
    lint: true,
    programs: suites.some((suite) => suite.programs),
    python: suites.some((suite) => suite.python),
  });
  heading("Tests");
  /** @type {Result[]} */
  const results = [];
  for (const suite of suites) {
    const buildFailed = results.some(({ name, failed }) => name === "build" && failed > 0);
    const obstacle = suite.built && buildFailed ? "not run, because the build failed" : undefined;
    results.push(await runSuite(suite, tools, obstacle));
  }
  return printTable(results);
});
